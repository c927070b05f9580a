/** `resign` on WebGPU. */
import type { Matrix } from "../device.ts";
import type { ResignOperands } from "./resign.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import resignCode from "./resign.wgsl" with { type: "text" };
import { bind, bindRows, bindWhole, columnRanges, rowTiles } from "../gpu/row_tiles.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import { GROUP_THREADS, withTwoFloat } from "../gpu/dispatch.ts";

/** Elements of a change, as the shader aligns it. */
const CHANGE = 4;

const resign: GpuOp = { name: "resign", code: withTwoFloat(resignCode), constants: { THREADS: GROUP_THREADS } };

/**
 * See `resignSweep`. Costs are compared as pairs of floats (48 bits), so that signs are the CPU's but for ties beyond
 * that.
 *
 * @param codes rows × cols: signs of the kept weights are changed, groups and masks are not
 */
export function gpuResign(context: GpuContext, codes: Matrix<"u8">, options: ResignOperands): void {
  const { residual, gram, scales, salient } = options, { rows, cols } = residual, stride = scalesPerBlock(options);
  for (const tile of rowTiles(context, rows, { scratch: CHANGE * (1 + cols), cols, work: cols })) {
    const changes = context.scratch("f32", CHANGE * (1 + cols) * tile.rows);
    const { bindings, offsets } = bind([
      bindRows(residual, tile, "read"),
      bindWhole(gram),
      bindRows(scales, tile, "read"),
      bindRows(codes, tile, "read_write"),
    ], changes);
    for (const { from, to } of columnRanges(cols, (col) => col + 8)) {
      const params = [tile.rows, cols, from, to, salient ? 1 : 0, stride, ...offsets];
      context.run(resign, bindings, params, [Math.ceil(tile.rows / GROUP_THREADS)]);
    }
    context.release(changes);
  }
}
