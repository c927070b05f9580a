/** `Device.alternate` on WebGPU: the forms of every group and level, then the rounds over them. */
import { scheduleSteps } from "./alternate.ts";
import formsCode from "./alternate_forms.wgsl" with { type: "text" };
import roundsCode from "./alternate_rounds.wgsl" with { type: "text" };
import type { Device, Matrix } from "./device.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { LANES, rowTiles } from "./row_tiles_webgpu.ts";
import type { GpuContext, GpuOp } from "./webgpu_context.ts";
import { denseOffset, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

/** Forms of one group and level, each a pair of floats. */
const FORMS = 9;

const forms: GpuOp = { name: "alternate forms", code: withTwoFloat(formsCode), constants: { LANES } };
const rounds: GpuOp = { name: "alternate rounds", code: withTwoFloat(roundsCode), constants: { LANES } };

/**
 * See `alternateRounds`. Sums are kept as pairs of floats (48 bits), so that scales are those of float64 sums, rounded
 * once, unless S is singular beyond that.
 *
 * @param scales rows × scales of a row: the start on entry, the optimised ones on return
 */
export function gpuAlternate(context: GpuContext, scales: Matrix, options: Parameters<Device["alternate"]>[1]): void {
  const { w, gram, codes, rank, segments, salient, pruned, iterations } = options;
  const { rows, cols } = w, steps = scheduleSteps(options), groups = segments + 1, stride = scalesPerBlock(options);
  const perRow = groups * steps * FORMS * 2;
  const at = { w: denseOffset(w), gram: denseOffset(gram), codes: denseOffset(codes), rank: denseOffset(rank) };
  const scalesAt = denseOffset(scales);
  for (const tile of rowTiles(rows, { scratch: perRow, work: cols * cols })) {
    const scratch = context.scratch("f32", tile.rows * perRow);
    context.run(
      forms,
      [
        reads(w),
        reads(gram),
        reads(codes),
        reads(rank),
        { buffer: scratch, access: "read_write" },
      ],
      [0, tile.first, tile.rows, cols, segments, steps, pruned, at.w, at.gram, at.codes, at.rank],
      [tile.rows],
    );
    context.run(
      rounds,
      [{ buffer: scratch, access: "read_write" }, writes(scales)],
      [0, tile.first, tile.rows, salient ? 0 : 1, salient ? 1 : 0, steps, iterations, stride, scalesAt],
      [Math.ceil(tile.rows / LANES), salient ? groups : segments],
    );
    context.release(scratch);
  }
}
