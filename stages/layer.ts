/**
 * One linear layer through fine-search, spbo and compensate: the loop over its column blocks, on any device.
 *
 * Not where layers come from (`calibrate.ts`) or go to (`pack.ts`), and not the choice of cores (`layer_pool.ts`).
 */
import {
  type BlockShape,
  type Device,
  type DeviceBuffer,
  type ElementArrays,
  type ElementType,
  type Matrix,
  matrix,
  part,
} from "../kernels/device.ts";
import { addEnergy } from "../kernels/error.ts";
import { type Factor, factorHessian, inverseDiagonal, releaseFactor } from "../kernels/factor.ts";
import { type QuantizedLayer, scalesPerBlock } from "../kernels/quantized_layer.ts";
import { triangleLength } from "../kernels/triangle.ts";
import type { Recipe } from "../runner/schema.ts";

/** The recipe's stages that a layer's result depends on. */
export type LayerStages = Pick<Recipe["stages"], "fine-search" | "spbo" | "compensate" | "pack">;

/** What is needed to choose a layer's masks. The arrays are handed over: they must not be used after the call. */
export interface MaskJob {
  /** For people, in errors and events. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** rows × cols */
  readonly weight: Float32Array;
  /** Packed upper triangle of the undamped Hessian (`packUpper`); H = I where only weights matter. */
  readonly upper?: Float32Array;
  /** M of N:M. */
  readonly of: number;
  readonly stages: LayerStages;
}

/** One layer to compress. */
export interface LayerJob extends MaskJob {
  /** N of N:M. */
  readonly keep: number;
  /** rows × cols: ranks from `searchMasks` (mask_from: original); else each column block is ranked on its updated weights. */
  readonly ranks?: Uint8Array;
}

/** Seconds by stage. */
export type LayerSeconds = Readonly<Record<"fine-search" | "spbo" | "compensate", number>>;

/** A compressed layer and how far it is from the original. */
export interface LayerResult {
  readonly name: string;
  readonly layer: QuantizedLayer;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) on the undamped H; 0 for a layer without energy. */
  readonly error: number;
  readonly seconds: LayerSeconds;
}

/** A layer's masks for every N. */
export interface MaskResult {
  readonly name: string;
  /** rows × cols: "keep N" is rank ≥ of − N. */
  readonly ranks: Uint8Array;
  readonly seconds: LayerSeconds;
}

/**
 * Compresses one layer (PBS²P, arXiv 2502.01705), as ALGORITHM.md §1 has it.
 *
 * With G the feedback of the blocks so far, the target of block b is T_b = W_b + (G_{<b}·R_{<b,b})·U_bb. After it is binarized to Q_b, exact: G_b = W_b − Q_b;
 * diagonal and columnwise: G_b = (W_b − T_b) + D_b·U_bb with D_b = (T_b − Q_b)·diag(U_bb)⁻¹, or GPTQ's column errors. So R alone is
 * needed, and no later block of W is rewritten.
 *
 * @throws {RangeError} when shapes or N:M do not fit, or the Hessian is not positive definite after damping
 */
export async function quantizeLayer(device: Device, job: LayerJob): Promise<LayerResult> {
  checkJob(job);
  if (!(Number.isInteger(job.keep) && job.keep >= 1 && job.keep <= job.of)) {
    throw new RangeError(
      `Cannot compress layer "${job.name}" as keep must be 1..${job.of}: current value is ${job.keep}`,
    );
  }
  const scope = new Scope(device);
  try {
    const { rows, cols, stages } = job, { spbo } = stages, group = spbo.group_size;
    const type = stages["fine-search"].type, keep = type === "none" ? job.of : job.keep;
    const shape = { segments: spbo.split_points + 1, salient: spbo.salient };
    const blocks = Math.ceil(cols / group), perRow = blocks * scalesPerBlock(shape);
    const codes = scope.matrix("u8", rows, cols), scales = scope.matrix("f32", rows, perRow);
    const energies = scope.matrix("f32", 1, 2);
    const layer = openLayer(device, scope, job);
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    device.section("compensate");
    addEnergy(device, part(energies, { cols: 1 }), layer.weight, layer.packed);
    quantizeBlocks(device, scope, { job, layer, shape, pruned: job.of - keep, codes, scales });
    addEnergy(device, part(energies, { col: 1 }), layer.weight, layer.packed);
    const [codesOut, scalesOut, [before, after], [bad]] = await device.download(
      [codes.buffer, scales.buffer, energies.buffer, status.buffer],
    );
    if (bad > 0) throw singular(job, bad - 1);
    return {
      name: job.name,
      layer: { rows, cols, groupSize: group, keep, of: job.of, type, ...shape, codes: codesOut, scales: scalesOut },
      error: before > 0 ? after / before : 0,
      seconds: secondsOf(device),
    };
  } finally {
    scope.close();
  }
}

/**
 * Ranks all weights of a layer on its original weights (`mask_from: original`), so that one search serves every N.
 *
 * @throws {RangeError} when shapes do not fit, or the Hessian is not positive definite after damping
 */
export async function searchMasks(device: Device, job: MaskJob): Promise<MaskResult> {
  checkJob(job);
  const scope = new Scope(device);
  try {
    const { rows, cols, stages } = job, group = stages.spbo.group_size;
    const ranks = scope.matrix("u8", rows, cols);
    const layer = openLayer(device, scope, job);
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    device.section("fine-search");
    const first = Math.min(group, cols);
    const block = scope.buffer("f32", rows * first), scores = scope.buffer("f32", rows * first);
    const blockRanks = scope.buffer("u8", rows * first);
    for (let col = 0; col < cols; col += group) {
      const width = Math.min(group, cols - col);
      const w = matrix(block, rows, width), score = matrix(scores, rows, width), rank = matrix(blockRanks, rows, width);
      device.copy(w, part(layer.weight, { col, cols: width }));
      scoreBlock(device, score, w, { job, layer, col });
      device.rank(rank, score, { of: job.of, type: stages["fine-search"].type });
      device.copy(part(ranks, { col, cols: width }), rank);
    }
    const [ranksOut, [bad]] = await device.download([ranks.buffer, status.buffer]);
    if (bad > 0) throw singular(job, bad - 1);
    return { name: job.name, ranks: ranksOut, seconds: secondsOf(device) };
  } finally {
    scope.close();
  }
}

/** A layer on the device. Vectors are 1 × cols; without a Hessian they are those of H = I. */
interface OpenLayer {
  /** rows × cols; dead columns are zero. Becomes the error, block by block. */
  readonly weight: Matrix;
  readonly packed: DeviceBuffer<"f32"> | undefined;
  readonly factor: Factor | undefined;
  readonly diagonalU: Matrix;
  /** 1/U_jj */
  readonly inverseU: Matrix;
  /** 1/U_jj² */
  readonly columnWeight: Matrix;
  /** √H_jj */
  readonly inputNorm: Matrix;
  readonly inverseDiagonal: Matrix | undefined;
  readonly rowSums: Matrix | undefined;
  readonly columnSums: Matrix | undefined;
  readonly moments: Matrix | undefined;
}

function openLayer(device: Device, scope: Scope, job: MaskJob): OpenLayer {
  const { rows, cols, stages } = job, { metric } = stages["fine-search"];
  device.section("compensate");
  const weight = matrix(scope.upload("f32", job.weight), rows, cols);
  const packed = job.upper && scope.upload("f32", job.upper);
  const factor = packed &&
    scope.factor(
      factorHessian(device, packed, { size: cols, group: stages.spbo.group_size, damping: stages.compensate.damping }),
    );
  const ones = () => matrix(scope.upload("f32", new Float32Array(cols).fill(1)), 1, cols);
  const diagonalU = factor?.diagonalU ?? ones();
  const inverseU = scope.matrix("f32", 1, cols), columnWeight = scope.matrix("f32", 1, cols);
  device.power(inverseU, diagonalU, -1);
  device.power(columnWeight, diagonalU, -2);
  let inputNorm: Matrix;
  if (factor) {
    device.clearColumns(weight, factor.diagonal);
    inputNorm = scope.matrix("f32", 1, cols);
    device.power(inputNorm, factor.diagonal, 0.5);
  } else inputNorm = ones();
  device.section("fine-search");
  let squares: Matrix | undefined;
  if (metric === "hessian-squared") squares = factor ? scope.own(inverseDiagonal(device, factor)) : ones();
  if (metric !== "ria" && metric !== "si") {
    const none = { rowSums: undefined, columnSums: undefined, moments: undefined };
    return { weight, packed, factor, diagonalU, inverseU, columnWeight, inputNorm, inverseDiagonal: squares, ...none };
  }
  const rowSums = scope.matrix("f32", 1, rows), columnSums = scope.matrix("f32", 1, cols);
  const moments = scope.matrix("f32", 1, 2);
  device.absoluteSums(rowSums, columnSums, moments, weight);
  const sums = { rowSums, columnSums, moments };
  return { weight, packed, factor, diagonalU, inverseU, columnWeight, inputNorm, inverseDiagonal: squares, ...sums };
}

interface BlockLoop {
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

function quantizeBlocks(device: Device, scope: Scope, loop: BlockLoop): void {
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
    device.copy(block.w, block.source);
    device.copy(block.target, block.source);
    const before = part(feedback, { rows: col });
    if (layer.packed) device.unpack(block.gram, layer.packed, { size: cols, row: col, col });
    if (layer.factor && feedsBack && col > 0) {
      const panel = part(layer.factor.panels[b], { rows: col });
      device.gemm(block.product, before, panel, { transposeA: true });
      device.gemm(block.target, block.product, layer.factor.inverses[b], { beta: 1 });
    }
    device.section("fine-search");
    if (ranks) device.copy(block.rank, part(ranks, { col, cols: block.w.cols }));
    else {
      scoreBlock(device, block.score, block.target, { job, layer, col });
      device.rank(block.rank, block.score, { of: job.of, type: stages["fine-search"].type });
    }
    device.section("spbo");
    binarizeBlock(device, loop, block);
    device.section("compensate");
    if (mode === "columnwise" && layer.factor) {
      const factor = layer.factor.inverses[b];
      device.columnwise(block.codes, block.scratch, { ...loop.shape, w: block.target, factor, scales: block.scales });
    }
    device.decode(block.decoded, { ...loop.shape, codes: block.codes, scales: block.scales });
    if (layer.factor && feedsBack && col + group < cols) {
      feedBack(device, part(feedback, { row: col, rows: block.w.cols }), block, {
        mode,
        inverse: layer.factor.inverses[b],
        inverseU: part(layer.inverseU, { col, cols: block.w.cols }),
      });
    }
    device.subtract(block.source, block.w, block.decoded);
    device.copy(part(codes, { col, cols: block.w.cols }), block.codes);
    device.copy(part(scales, { col: b * perBlock, cols: perBlock }), block.scales);
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
function scoreBlock(
  device: Device,
  out: Matrix,
  w: Matrix,
  { job, layer, col }: { readonly job: MaskJob; readonly layer: OpenLayer; readonly col: number },
): void {
  const { metric, seed } = job.stages["fine-search"];
  const cut = (m: Matrix | undefined) => m && part(m, { col, cols: w.cols });
  device.importance(out, w, {
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
  if (block.order.buffer !== block.score.buffer) device.importance(block.order, w, { metric: "hessian", diagonalU });
  const columnWeight = part(layer.columnWeight, { col: block.col, cols: w.cols });
  const targets = typeof spbo.search_target === "string"
    ? { salient: spbo.search_target, segments: spbo.search_target }
    : spbo.search_target;
  const judged = (target: "weights" | "weighted" | "scores") => ({
    values: target === "scores" ? block.order : w,
    columnWeight: target === "weighted" ? columnWeight : undefined,
  });
  if (shape.salient) {
    device.searchSalient(salient, { ...seen, ...judged(targets.salient), score: block.order, most: spbo.salient_max });
  }
  device.searchSegments(codes, {
    ...seen,
    ...judged(targets.segments),
    w,
    salient,
    splitPoints: splitPoints(spbo.split_points),
    search: spbo.split_search,
    candidates: spbo.candidates,
  });
  if (spbo.solver === "none") device.startScales(codes, scales, { ...shape, rank, w, pruned, salientPruned: pruned });
  else device.startScales(codes, scales, { ...shape, ...seen, w, salientPruned: 0 });
  const rounds = { ...shape, rank, pruned, w, gram, codes, iterations: spbo.iterations };
  if (spbo.solver === "alternate") device.alternate(scales, { ...rounds, schedule: spbo.schedule });
  device.prune(codes, { rank, pruned });
  const solveJoint = () => {
    device.gemm(block.product, w, gram);
    device.solveJoint(scales, { ...shape, target: block.product, gram, codes });
  };
  if (spbo.solver === "joint") solveJoint();
  for (let sweep = 0; sweep < spbo.resign; sweep++) {
    device.decode(block.decoded, { ...shape, codes, scales });
    device.subtract(block.scratch, w, block.decoded);
    device.gemm(block.product, block.scratch, gram);
    device.resign(codes, { ...shape, residual: block.product, gram, scales });
    if (spbo.solver === "joint") solveJoint();
    else device.alternate(scales, { ...rounds, schedule: "oneshot" });
  }
  // Before the errors are formed, so that compensation sees what will be stored.
  if (pack.scales === "f16") device.roundHalf(scales);
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
  if (mode === "exact") return device.subtract(out, block.w, block.decoded, { transposed: true });
  if (mode === "diagonal") device.subtract(block.scratch, block.target, block.decoded, { scale: inverseU });
  device.subtract(out, block.w, block.target, { transposed: true });
  device.gemm(out, inverse, block.scratch, { transposeA: true, transposeB: true, beta: 1 });
}

/** Remembers what a layer allocates, to free it at its end. */
class Scope {
  readonly #device: Device;
  readonly #buffers: DeviceBuffer[] = [];
  readonly #factors: Factor[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  buffer<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    const buffer = this.#device.alloc(type, length);
    this.#buffers.push(buffer);
    return buffer;
  }

  matrix<T extends ElementType>(type: T, rows: number, cols: number): Matrix<T> {
    return matrix(this.buffer(type, rows * cols), rows, cols);
  }

  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T> {
    const buffer = this.#device.upload(type, data);
    this.#buffers.push(buffer);
    return buffer;
  }

  own(m: Matrix): Matrix {
    this.#buffers.push(m.buffer);
    return m;
  }

  factor(factor: Factor): Factor {
    this.#factors.push(factor);
    return factor;
  }

  close(): void {
    for (const factor of this.#factors) releaseFactor(this.#device, factor);
    for (const buffer of this.#buffers) this.#device.release(buffer);
  }
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

function secondsOf(device: Device): LayerSeconds {
  const spent = device.spent();
  return {
    "fine-search": spent["fine-search"] ?? 0,
    spbo: spent.spbo ?? 0,
    compensate: spent.compensate ?? 0,
  };
}

function singular({ name, cols, stages }: MaskJob, pivot: number): RangeError {
  return new RangeError(
    `Cannot factor the Hessian of layer "${name}" as pivot ${pivot} of ${cols} must be positive: ` +
      `raise stages.compensate.damping, whose current value is ${stages.compensate.damping}`,
  );
}

function checkJob({ name, rows, cols, weight, upper, of, stages }: MaskJob): void {
  const fail = (what: string, wanted: string | number, found: string | number) => {
    throw new RangeError(`Cannot compress layer "${name}" as ${what} must be ${wanted}: current value is ${found}`);
  };
  if (weight.length !== rows * cols) fail(`the weights of ${rows}×${cols}`, rows * cols, weight.length);
  if (upper && upper.length !== triangleLength(cols)) {
    fail("the Hessian's triangle", triangleLength(cols), upper.length);
  }
  if (stages["fine-search"].type !== "semi-structured") return;
  if (cols % of !== 0) fail("its inputs", `a multiple of ${of}`, cols);
  if (stages.spbo.group_size % of !== 0 && stages.spbo.group_size < cols) {
    fail("stages.spbo.group_size", `a multiple of ${of}`, stages.spbo.group_size);
  }
}
