/** The members of each row's groups on WebGPU: lists, so that sums over pairs visit nothing else. */
import type { Matrix } from "../device.ts";
import listsCode from "./member_lists.wgsl" with { type: "text" };
import { bindRows, type RowTile } from "../gpu/row_tiles.ts";
import type { GpuBuffer, GpuContext, GpuOp } from "../gpu/op.ts";
import { GROUP_THREADS, writesBuffer } from "../gpu/dispatch.ts";

const op: GpuOp = { name: "member lists", code: listsCode, constants: { THREADS: GROUP_THREADS } };

/** Rounds of one thread's loops, as in `gpu/row_tiles.ts`. */
const MOST_ROUNDS = 60_000;

/** Elements that the lists of one row take. */
export function listElements(lists: number, cols: number): number {
  return lists + 1 + cols;
}

/**
 * Lists the kept weights of some rows by group, and with a rank by the step at whose end they leave.
 *
 * @param options.rank weights that leave before the first step are in no list
 * @returns rows × `listElements`: ends of the lists, then column · 16384 + list · 8 + low bits of the code; to be released
 */
export function gpuMemberLists(
  context: GpuContext,
  codes: Matrix<"u8">,
  tile: RowTile,
  { groups, steps = 1, pruned = 0, rank = codes }: {
    readonly groups: number;
    readonly steps?: number;
    readonly pruned?: number;
    readonly rank?: Matrix<"u8">;
  },
): GpuBuffer {
  const lists = groups * steps;
  const out = context.scratch("u32", tile.rows * listElements(lists, codes.cols), { zeroed: false });
  const [from, order] = [bindRows(codes, tile, "read"), bindRows(rank, tile, "read")];
  const passes = 2 * codes.cols + 3 * lists <= MOST_ROUNDS ? [[1, 1]] : [[1, 0], [0, 1]];
  for (const pass of passes) {
    context.run(
      op,
      [from.binding, order.binding, writesBuffer(out)],
      [tile.rows, codes.cols, lists, steps, pruned, from.at, order.at, ...pass],
      [Math.ceil(tile.rows / GROUP_THREADS)],
    );
  }
  return out;
}
