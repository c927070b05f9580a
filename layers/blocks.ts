/** The column blocks of a layer: from target to what the method makes of it, and the feedback of their errors. */
import { type Device, type DeviceBuffer, type ElementType, type Matrix, matrix, part } from "../kernels/device.ts";
import { copy, gemm, subtract, unpack } from "../kernels/matrix/ops.ts";
import { rank } from "../kernels/scores/ops.ts";
import { feedBack } from "./feedback.ts";
import type { LayerJob } from "./job.ts";
import type { Block, MethodRun } from "./methods/method.ts";
import type { OpenLayer } from "./open.ts";
import type { Scope } from "./scope.ts";
import { scoreBlock } from "./score.ts";

/** A layer and what quantizes it. */
export interface BlockLoop {
  readonly job: LayerJob;
  readonly layer: OpenLayer;
  readonly run: MethodRun;
  /** The method, which seconds are credited to. */
  readonly name: string;
  /** Columns of a block. */
  readonly group: number;
}

/**
 * Enqueues all blocks of a layer, first to last. The layer's weights become W − Ŵ.
 *
 * @throws {RangeError} when the method cannot do what the recipe asks for
 */
export function quantizeBlocks(device: Device, scope: Scope, { job, layer, run, name, group }: BlockLoop): void {
  const { rows, cols, settings: { search, feedback: { mode } } } = job;
  if (mode === "columnwise" && run.columnwise === undefined) {
    throw new RangeError(
      `Cannot compress layer "${job.name}" as ${name} does not go column by column: ` +
        "stages.compensate.mode must be diagonal, exact or none: current value is columnwise",
    );
  }
  const feedsBack = mode !== "none" && layer.factor !== undefined && cols > group;
  // Transposed, so that what the blocks so far have left is contiguous.
  const feedback = scope.matrix("f32", cols, rows);
  const ranks = job.ranks && matrix(scope.upload("u8", job.ranks), rows, cols);
  const make = blockMaker(scope, { job, layer, group });
  for (let index = 0, col = 0; col < cols; index++, col += group) {
    const block = make(index, col);
    device.section("compensate");
    device.run(copy, block.w, block.source);
    device.run(copy, block.target, block.source);
    const before = part(feedback, { rows: col });
    if (layer.packed) device.run(unpack, block.gram, layer.packed, { size: cols, row: col, col });
    if (layer.factor && feedsBack && col > 0) {
      const panel = part(layer.factor.panels[index], { rows: col });
      device.run(gemm, block.product, before, panel, { transposeA: true });
      device.run(gemm, block.target, block.product, layer.factor.inverses[index], { beta: 1 });
    }
    device.section("fine-search");
    if (ranks) device.run(copy, block.rank, part(ranks, { col, cols: block.w.cols }));
    else {
      scoreBlock(device, block.score, block.target, { job, layer, col });
      device.run(rank, block.rank, block.score, { of: job.of, type: search.type });
    }
    device.section(name);
    run.block(block);
    device.section("compensate");
    if (mode === "columnwise" && layer.factor) run.columnwise?.(block, layer.factor.inverses[index]);
    run.decode(block);
    if (layer.factor && feedsBack && col + group < cols) {
      feedBack(device, part(feedback, { row: col, rows: block.w.cols }), block, {
        mode,
        inverse: layer.factor.inverses[index],
        inverseU: part(layer.inverseU, { col, cols: block.w.cols }),
      });
    }
    device.run(subtract, block.source, block.w, block.decoded);
    run.store(block);
  }
  device.release(feedback.buffer);
}

/** The buffers of a block, shared by all blocks of a layer. */
function blockMaker(
  scope: Scope,
  { job, layer, group }: Pick<BlockLoop, "job" | "layer" | "group">,
): (index: number, col: number) => Block {
  const { rows, cols } = job, width = Math.min(group, cols);
  const f32 = () => scope.buffer("f32", rows * width);
  const w = f32(), target = f32(), score = f32(), decoded = f32(), scratch = f32(), product = f32();
  const rank = scope.buffer("u8", rows * width), gram = scope.buffer("f32", width * width);
  return (index, col) => {
    const cut = Math.min(width, cols - col);
    const fit = <T extends ElementType>(buffer: DeviceBuffer<T>) => matrix(buffer, rows, cut);
    return {
      index,
      col,
      source: part(layer.weight, { col, cols: cut }),
      w: fit(w),
      target: fit(target),
      gram: layer.packed ? matrix(gram, cut, cut) : matrix(scope.upload("f32", identity(cut)), cut, cut),
      score: fit(score),
      rank: fit(rank),
      decoded: fit(decoded),
      scratch: fit(scratch),
      product: fit(product),
    };
  };
}

function identity(size: number): Float32Array {
  const out: Float32Array = new Float32Array(size * size);
  for (let i = 0; i < size; i++) out[i * (size + 1)] = 1;
  return out;
}

/** Ranks all of a layer's weights on what they are, block by block. */
export function rankBlocks(
  device: Device,
  scope: Scope,
  { job, layer, group, ranks }: Pick<BlockLoop, "layer" | "group"> & {
    readonly job: Pick<LayerJob, "rows" | "cols" | "of" | "settings" | "name" | "weight">;
    /** rows × cols */
    readonly ranks: Matrix<"u8">;
  },
): void {
  const { rows, cols, of, settings: { search } } = job, first = Math.min(group, cols);
  const block = scope.buffer("f32", rows * first), scores = scope.buffer("f32", rows * first);
  const blockRanks = scope.buffer("u8", rows * first);
  for (let col = 0; col < cols; col += group) {
    const width = Math.min(group, cols - col);
    const w = matrix(block, rows, width), score = matrix(scores, rows, width), found = matrix(blockRanks, rows, width);
    device.run(copy, w, part(layer.weight, { col, cols: width }));
    scoreBlock(device, score, w, { job, layer, col });
    device.run(rank, found, score, { of, type: search.type });
    device.run(copy, part(ranks, { col, cols: width }), found);
  }
}
