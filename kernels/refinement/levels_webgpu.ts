/** `decodeRefined` and `takeGroups` on WebGPU. */
import type { Matrix } from "../device.ts";
import { denseOffset, grid, reads, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import decodeCode from "./decode_refined.wgsl" with { type: "text" };
import type { RefinedOperands, TakenGroups } from "./levels.ts";
import takeCode from "./take_groups.wgsl" with { type: "text" };

const DECODE: GpuOp = { name: "decode_refined", code: withTwoFloat(decodeCode) };
const TAKE: GpuOp = { name: "take_groups", code: takeCode };

/** See `decodeRefinedBlock`. */
export function gpuDecodeRefined(
  context: GpuContext,
  out: Matrix,
  { codes, scales, columnScales, doubled, single }: RefinedOperands,
): void {
  const { cols } = out, products = columnScales === undefined ? [0, 0] : [1, denseOffset(columnScales)];
  for (const { rows, written: [result], read } of rowWindows(context, { written: [out], read: [codes, scales] })) {
    const [code, scale] = read;
    // Without column scales their place holds another operand, which is not read.
    const columns = columnScales === undefined ? code.binding : reads(columnScales);
    context.run(
      DECODE,
      [result.binding, code.binding, scale.binding, columns],
      [rows, cols, doubled, single, products[0], result.offset, code.offset, scale.offset, products[1]],
      grid(context, rows * cols),
    );
  }
}

/** See `groupsOf`. */
export function gpuTakeGroups(context: GpuContext, out: Matrix<"u8">, { codes, first, count }: TakenGroups): void {
  const { cols } = out;
  for (const { rows, written: [to], read: [from] } of rowWindows(context, { written: [out], read: [codes] })) {
    const size = rows * cols;
    context.run(TAKE, [from.binding, to.binding], [size, first, count, from.offset, to.offset], grid(context, size));
  }
}
