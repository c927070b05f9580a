/** The column blocks of a layer: from target to codes and scales, and the feedback of their errors. */
import {
  alternate,
  type BlockShape,
  columnwise,
  decode,
  prune,
  resign,
  scalesPerBlock,
  searchSalient,
  searchSegments,
  solveJoint,
  startScales,
} from "../kernels/binary/ops.ts";
import { type Device, type DeviceBuffer, type ElementType, type Matrix, matrix, part } from "../kernels/device.ts";
import type { LayerJob, LayerStages, MaskJob } from "./layer.ts";
import type { OpenLayer, Scope } from "./open.ts";
import { copy, gemm, roundHalf, subtract, unpack } from "../kernels/matrix/ops.ts";
import { importance, rank } from "../kernels/scores/ops.ts";

/** A layer and where its result goes. */
export interface BlockLoop {
  readonly job: LayerJob;
  readonly layer: OpenLayer;
  readonly shape: BlockShape;
  /** M − N */
  readonly pruned: number;
  /** rows × cols */
  readonly codes: Matrix<"u8">;
  /** rows × (blocks · scales of a block) */
  readonly scales: Matrix;
}

/** What one column block works on; all contiguous, but `source`, its window in the layer's weights. */
interface Block {
  readonly col: number;
  readonly source: Matrix;
  /** rows × width: the weights, and what is to be met once earlier errors are fed back. */
  readonly w: Matrix;
  readonly target: Matrix;
  /** width × width: S, the undamped block of H. */
  readonly gram: Matrix;
  readonly score: Matrix;
  /** Hessian scores, which order the salient columns whatever the metric. */
  readonly order: Matrix;
  readonly rank: Matrix<"u8">;
  readonly salient: Matrix<"u8">;
  readonly codes: Matrix<"u8">;
  readonly scales: Matrix;
  /** rows × width, decoded. */
  readonly decoded: Matrix;
  readonly scratch: Matrix;
  readonly product: Matrix;
}

/** Enqueues all blocks of a layer, first to last. The layer's weights become W − Ŵ. */
export function quantizeBlocks(device: Device, scope: Scope, loop: BlockLoop): void {
  const { job, layer, codes, scales } = loop, { rows, cols, stages } = job;
  const group = stages.spbo.group_size, { mode } = stages.compensate;
  const feedsBack = mode !== "none" && layer.factor !== undefined && cols > group;
  // Transposed, so that what the blocks so far have left is contiguous.
  const feedback = scope.matrix("f32", cols, rows);
  const ranks = job.ranks && matrix(scope.upload("u8", job.ranks), rows, cols);
  const perBlock = scalesPerBlock(loop.shape);
  const make = blockMaker(scope, loop);
  for (let b = 0, col = 0; col < cols; b++, col += group) {
    const block = make(col);
    device.section("compensate");
    device.run(copy, block.w, block.source);
    device.run(copy, block.target, block.source);
    const before = part(feedback, { rows: col });
    if (layer.packed) device.run(unpack, block.gram, layer.packed, { size: cols, row: col, col });
    if (layer.factor && feedsBack && col > 0) {
      const panel = part(layer.factor.panels[b], { rows: col });
      device.run(gemm, block.product, before, panel, { transposeA: true });
      device.run(gemm, block.target, block.product, layer.factor.inverses[b], { beta: 1 });
    }
    device.section("fine-search");
    if (ranks) device.run(copy, block.rank, part(ranks, { col, cols: block.w.cols }));
    else {
      scoreBlock(device, block.score, block.target, { job, layer, col });
      device.run(rank, block.rank, block.score, { of: job.of, type: stages["fine-search"].type });
    }
    device.section("spbo");
    binarizeBlock(device, loop, block);
    device.section("compensate");
    if (mode === "columnwise" && layer.factor) {
      const factor = layer.factor.inverses[b];
      device.run(columnwise, block.codes, block.scratch, {
        ...loop.shape,
        w: block.target,
        factor,
        scales: block.scales,
      });
    }
    device.run(decode, block.decoded, { ...loop.shape, codes: block.codes, scales: block.scales });
    if (layer.factor && feedsBack && col + group < cols) {
      feedBack(device, part(feedback, { row: col, rows: block.w.cols }), block, {
        mode,
        inverse: layer.factor.inverses[b],
        inverseU: part(layer.inverseU, { col, cols: block.w.cols }),
      });
    }
    device.run(subtract, block.source, block.w, block.decoded);
    device.run(copy, part(codes, { col, cols: block.w.cols }), block.codes);
    device.run(copy, part(scales, { col: b * perBlock, cols: perBlock }), block.scales);
  }
  device.release(feedback.buffer);
}

/** The buffers of a block, shared by all blocks of a layer. */
function blockMaker(scope: Scope, { job, layer, shape }: BlockLoop): (col: number) => Block {
  const { rows, cols, stages } = job, width = Math.min(stages.spbo.group_size, cols);
  const f32 = () => scope.buffer("f32", rows * width);
  const w = f32(), target = f32(), score = f32(), order = f32(), decoded = f32(), scratch = f32(), product = f32();
  const rank = scope.buffer("u8", rows * width), codes = scope.buffer("u8", rows * width);
  const salient = scope.buffer("u8", width), gram = scope.buffer("f32", width * width);
  const scales = scope.matrix("f32", rows, scalesPerBlock(shape));
  return (col) => {
    const cut = Math.min(width, cols - col);
    const fit = <T extends ElementType>(buffer: DeviceBuffer<T>) => matrix(buffer, rows, cut);
    return {
      col,
      source: part(layer.weight, { col, cols: cut }),
      w: fit(w),
      target: fit(target),
      gram: layer.packed ? matrix(gram, cut, cut) : matrix(scope.upload("f32", identity(cut)), cut, cut),
      score: fit(score),
      order: stages["fine-search"].metric === "hessian" && !job.ranks ? fit(score) : fit(order),
      rank: fit(rank),
      salient: matrix(salient, 1, cut),
      codes: fit(codes),
      scales,
      decoded: fit(decoded),
      scratch: fit(scratch),
      product: fit(product),
    };
  };
}

/** Scores one column block by the recipe's metric. */
export function scoreBlock(
  device: Device,
  out: Matrix,
  w: Matrix,
  { job, layer, col }: { readonly job: MaskJob; readonly layer: OpenLayer; readonly col: number },
): void {
  const { metric, seed } = job.stages["fine-search"];
  const cut = (m: Matrix | undefined) => m && part(m, { col, cols: w.cols });
  device.run(importance, out, w, {
    metric,
    diagonalU: cut(layer.diagonalU),
    inverseDiagonal: cut(layer.inverseDiagonal),
    inputNorm: cut(layer.inputNorm),
    rowSums: layer.rowSums,
    columnSums: cut(layer.columnSums),
    moments: layer.moments,
    seed,
    firstColumn: col,
  });
}

/** Groups, signs and scales of one column block whose ranks are known. */
function binarizeBlock(device: Device, loop: BlockLoop, block: Block): void {
  const { job, layer, shape, pruned } = loop, { spbo, pack } = job.stages;
  const { target: w, rank, salient, codes, scales, gram } = block;
  const seen = { rank, pruned: spbo.split_on === "kept" ? pruned : 0 };
  const diagonalU = part(layer.diagonalU, { col: block.col, cols: w.cols });
  if (block.order.buffer !== block.score.buffer) {
    device.run(importance, block.order, w, { metric: "hessian", diagonalU });
  }
  const columnWeight = part(layer.columnWeight, { col: block.col, cols: w.cols });
  const targets = typeof spbo.search_target === "string"
    ? { salient: spbo.search_target, segments: spbo.search_target }
    : spbo.search_target;
  const coarse = spbo.search_grid === "coarse";
  const judged = (target: "weights" | "weighted" | "scores") => ({
    values: target === "scores" ? block.order : w,
    columnWeight: target === "weighted" ? columnWeight : undefined,
  });
  if (shape.salient) {
    device.run(searchSalient, salient, {
      ...seen,
      ...judged(targets.salient),
      score: block.order,
      most: spbo.salient_max,
      coarse,
    });
  }
  device.run(searchSegments, codes, {
    ...seen,
    ...judged(targets.segments),
    w,
    salient,
    splitPoints: splitPoints(spbo.split_points),
    search: spbo.split_search,
    candidates: spbo.candidates,
    coarse,
  });
  if (spbo.solver === "none") {
    device.run(startScales, codes, scales, { ...shape, rank, w, pruned, salientPruned: pruned });
  } else device.run(startScales, codes, scales, { ...shape, ...seen, w, salientPruned: 0 });
  const rounds = { ...shape, rank, pruned, w, gram, codes, iterations: spbo.iterations };
  if (spbo.solver === "alternate") device.run(alternate, scales, { ...rounds, schedule: spbo.schedule });
  device.run(prune, codes, { rank, pruned });
  const solve = () => {
    device.run(gemm, block.product, w, gram);
    device.run(solveJoint, scales, { ...shape, target: block.product, gram, codes });
  };
  if (spbo.solver === "joint") solve();
  for (let sweep = 0; sweep < spbo.resign; sweep++) {
    device.run(decode, block.decoded, { ...shape, codes, scales });
    device.run(subtract, block.scratch, w, block.decoded);
    device.run(gemm, block.product, block.scratch, gram);
    device.run(resign, codes, { ...shape, residual: block.product, gram, scales });
    if (spbo.solver === "joint") solve();
    else device.run(alternate, scales, { ...rounds, schedule: "oneshot" });
  }
  // Before the errors are formed, so that compensation sees what will be stored.
  if (pack.scales === "f16") device.run(roundHalf, scales);
}

/** Gᵀ of one block, from its weights, target and decoded values. */
function feedBack(
  device: Device,
  out: Matrix,
  block: Block,
  { mode, inverse, inverseU }: {
    readonly mode: LayerStages["compensate"]["mode"];
    readonly inverse: Matrix;
    readonly inverseU: Matrix;
  },
): void {
  if (mode === "exact") return device.run(subtract, out, block.w, block.decoded, { transposed: true });
  if (mode === "diagonal") device.run(subtract, block.scratch, block.target, block.decoded, { scale: inverseU });
  device.run(subtract, out, block.w, block.target, { transposed: true });
  device.run(gemm, out, inverse, block.scratch, { transposeA: true, transposeB: true, beta: 1 });
}

function identity(size: number): Float32Array {
  const out = new Float32Array(size * size);
  for (let i = 0; i < size; i++) out[i * (size + 1)] = 1;
  return out;
}

function splitPoints(count: number): 0 | 1 | 2 | 3 {
  if (count === 0 || count === 1 || count === 2 || count === 3) return count;
  throw new RangeError(`Cannot split weights as split_points must be 0..3: current value is ${count}`);
}
