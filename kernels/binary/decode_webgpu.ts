/** `decodeBlock` on WebGPU. */
import decodeCode from "./decode.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import type { DecodeOperands } from "./decode.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import type { GpuContext } from "../gpu/op.ts";
import { grid, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";

const DECODE = { name: "decode", code: withTwoFloat(decodeCode) };

/** See `decode`. */
export function gpuDecode(context: GpuContext, out: Matrix, options: DecodeOperands): void {
  const { codes, scales, salient } = options, { cols } = out, { groupSize = cols } = options;
  const perBlock = scalesPerBlock(options), perRow = Math.ceil(cols / groupSize) * perBlock;
  for (const { rows, written, read } of rowWindows(context, { written: [out], read: [codes, scales] })) {
    const bound = [...written, ...read];
    context.run(
      DECODE,
      bound.map(({ binding }) => binding),
      [rows, cols, ...bound.map(({ offset }) => offset), perRow, perBlock, groupSize, Number(salient)],
      grid(context, rows * cols),
    );
  }
}
