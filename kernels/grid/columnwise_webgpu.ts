/** `columnwiseGrid` on WebGPU. */
import columnwiseCode from "./columnwise.wgsl" with { type: "text" };
import levelsCode from "./levels.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import { GROUP_THREADS, withTwoFloat } from "../gpu/dispatch.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import { bind, bindRows, bindWhole, columnRanges, rowTiles } from "../gpu/row_tiles.ts";
import type { ColumnwiseGridOperands } from "./columnwise.ts";

const COLUMNWISE: GpuOp = {
  name: "columnwise_grid",
  code: withTwoFloat(`${levelsCode}\n${columnwiseCode}`),
  constants: { THREADS: GROUP_THREADS },
};

/**
 * See `columnwiseGridSweep`. Errors are fed forward as pairs of floats (48 bits), so that codes are the CPU's but for ties beyond that.
 *
 * @param codes rows × cols, overwritten
 * @param errors rows × cols, overwritten
 */
export function gpuColumnwiseGrid(
  context: GpuContext,
  codes: Matrix<"u8">,
  errors: Matrix,
  { w, factor, scales, zeros, bits }: ColumnwiseGridOperands,
): void {
  const { rows, cols } = w;
  for (const tile of rowTiles(context, rows, { scratch: 2 * cols, cols, work: cols })) {
    const fed = context.scratch("f32", 2 * cols * tile.rows);
    const { bindings, offsets } = bind([
      bindRows(w, tile, "read"),
      bindWhole(factor),
      bindRows(scales, tile, "read"),
      bindRows(zeros, tile, "read"),
      bindRows(codes, tile, "read_write"),
      bindRows(errors, tile, "read_write"),
    ], fed);
    for (const { from, to } of columnRanges(cols, (col) => col + 8)) {
      const params = [tile.rows, cols, from, to, 2 ** bits - 1, ...offsets];
      context.run(COLUMNWISE, bindings, params, [Math.ceil(tile.rows / GROUP_THREADS)]);
    }
    context.release(fed);
  }
}
