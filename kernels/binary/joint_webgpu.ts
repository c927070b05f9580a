/** `solveJoint` on WebGPU: the normal equations of every row, then their solution. */
import type { Matrix } from "../device.ts";
import type { JointOperands } from "./joint.ts";
import solveCode from "./joint_solve.wgsl" with { type: "text" };
import systemCode from "./joint_system.wgsl" with { type: "text" };
import { gpuMemberLists, listElements } from "./member_lists_webgpu.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { bind, bindRows, bindWhole, columnRanges, rowTiles } from "../gpu/row_tiles.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import { GROUP_THREADS, readsBuffer, withTwoFloat, writesBuffer } from "../gpu/dispatch.ts";

/** As `JointOptions.ridge` by default. */
const RIDGE = 1e-6;

const system: GpuOp = { name: "joint system", code: withTwoFloat(systemCode), constants: { THREADS: GROUP_THREADS } };
const solve: GpuOp = { name: "joint solve", code: withTwoFloat(solveCode), constants: { THREADS: GROUP_THREADS } };

/**
 * See `jointSolution`. Sums and the factor are kept as pairs of floats (48 bits), as the ridge of 1e-6 leaves float32 none.
 *
 * @param scales rows × scales of a row, overwritten
 */
export function gpuSolveJoint(
  context: GpuContext,
  scales: Matrix,
  { target, gram, codes, segments, salient }: JointOperands,
): void {
  const { rows, cols } = target, size = scalesPerBlock({ segments, salient }), groups = segments + 1;
  const perRow = size * (size + 1) * 2;
  for (
    const tile of rowTiles(context, rows, {
      scratch: Math.max(perRow, listElements(groups, cols)),
      cols,
      work: groups * cols * cols,
    })
  ) {
    const scratch = context.scratch("f32", tile.rows * perRow);
    const members = gpuMemberLists(context, codes, tile, { groups });
    const [products, s] = [bindRows(target, tile, "read"), bindWhole(gram)];
    const second = bind([bindRows(scales, tile, "read_write")], scratch);
    const bindings = [products.binding, s.binding, readsBuffer(members), writesBuffer(scratch)];
    for (const { from, to } of columnRanges(cols, () => groups * (cols + 2 * GROUP_THREADS), GROUP_THREADS)) {
      const params = [tile.rows, cols, from, to, groups, salient ? 1 : 0, size, products.at, s.at];
      context.run(system, bindings, params, [tile.rows]);
    }
    const workgroups = Math.ceil(tile.rows / GROUP_THREADS);
    context.run(solve, second.bindings, [tile.rows, size, { f32: RIDGE }, ...second.offsets], [workgroups]);
    for (const buffer of [scratch, members]) context.release(buffer);
  }
}
