/** `columnwise` on WebGPU. */
import columnwiseCode from "./columnwise.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import type { ColumnwiseOperands } from "./columnwise.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { bind, bindRows, bindWhole, columnRanges, rowTiles } from "../gpu/row_tiles.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import { GROUP_THREADS, withTwoFloat } from "../gpu/dispatch.ts";

const columnwise: GpuOp = {
  name: "columnwise",
  code: withTwoFloat(columnwiseCode),
  constants: { THREADS: GROUP_THREADS },
};

/**
 * See `columnwiseSweep`. Errors are fed forward as pairs of floats (48 bits), so that signs are the CPU's but for ties
 * beyond that.
 *
 * @param codes rows × cols: signs of the kept weights are changed, groups and masks are not
 * @param errors rows × cols, overwritten
 */
export function gpuColumnwise(
  context: GpuContext,
  codes: Matrix<"u8">,
  errors: Matrix,
  options: ColumnwiseOperands,
): void {
  const { w, factor, scales, salient } = options, { rows, cols } = w, stride = scalesPerBlock(options);
  for (const tile of rowTiles(context, rows, { scratch: 2 * cols, cols, work: cols })) {
    const fed = context.scratch("f32", 2 * cols * tile.rows);
    const { bindings, offsets } = bind([
      bindRows(w, tile, "read"),
      bindWhole(factor),
      bindRows(scales, tile, "read"),
      bindRows(codes, tile, "read_write"),
      bindRows(errors, tile, "read_write"),
    ], fed);
    for (const { from, to } of columnRanges(cols, (col) => col + 8)) {
      const params = [tile.rows, cols, from, to, salient ? 1 : 0, stride, ...offsets];
      context.run(columnwise, bindings, params, [Math.ceil(tile.rows / GROUP_THREADS)]);
    }
    context.release(fed);
  }
}
