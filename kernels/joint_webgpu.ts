/** `Device.solveJoint` on WebGPU: the normal equations of every row, then their solution. */
import type { Device, Matrix } from "./device.ts";
import solveCode from "./joint_solve.wgsl" with { type: "text" };
import systemCode from "./joint_system.wgsl" with { type: "text" };
import { scalesPerBlock } from "./quantized_layer.ts";
import { LANES, rowTiles } from "./row_tiles_webgpu.ts";
import type { GpuContext, GpuOp } from "./webgpu_context.ts";
import { denseOffset, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

/** As `JointOptions.ridge` by default. */
const RIDGE = 1e-6;

const system: GpuOp = { name: "joint system", code: withTwoFloat(systemCode), constants: { LANES } };
const solve: GpuOp = { name: "joint solve", code: withTwoFloat(solveCode), constants: { LANES } };

/**
 * See `solveJoint`. Sums and the factor are kept as pairs of floats (48 bits), as the ridge of 1e-6 leaves float32 none.
 *
 * @param scales rows × scales of a row, overwritten
 */
export function gpuSolveJoint(
  context: GpuContext,
  scales: Matrix,
  { target, gram, codes, segments, salient }: Parameters<Device["solveJoint"]>[1],
): void {
  const { rows, cols } = target, size = scalesPerBlock({ segments, salient }), groups = segments + 1;
  const perRow = size * (size + 1) * 2;
  const at = { target: denseOffset(target), gram: denseOffset(gram), codes: denseOffset(codes) };
  const scalesAt = denseOffset(scales);
  for (const tile of rowTiles(rows, { scratch: perRow, work: groups * cols * cols })) {
    const scratch = context.scratch("f32", tile.rows * perRow);
    context.run(
      system,
      [
        reads(target),
        reads(gram),
        reads(codes),
        { buffer: scratch, access: "read_write" },
      ],
      [0, tile.first, tile.rows, cols, groups, salient ? 1 : 0, size, at.target, at.gram, at.codes],
      [tile.rows],
    );
    context.run(
      solve,
      [{ buffer: scratch, access: "read_write" }, writes(scales)],
      [0, tile.first, tile.rows, size, scalesAt, { f32: RIDGE }],
      [Math.ceil(tile.rows / LANES)],
    );
    context.release(scratch);
  }
}
