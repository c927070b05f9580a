/** `decodeBlock` on WebGPU. */
import decodeCode from "./decode.wgsl" with { type: "text" };
import type { Device, Matrix } from "./device.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import type { GpuContext } from "./webgpu_context.ts";
import { denseOffset, grid, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

const DECODE = { name: "decode", code: withTwoFloat(decodeCode) };

/** See `Device.decode`. */
export function gpuDecode(context: GpuContext, out: Matrix, options: Parameters<Device["decode"]>[1]): void {
  const { codes, scales, salient } = options, { rows, cols } = out;
  context.run(
    DECODE,
    [writes(out), reads(codes), reads(scales)],
    [0, rows, cols, ...[out, codes, scales].map(denseOffset), scalesPerBlock(options), Number(salient)],
    grid(context, rows * cols),
  );
}
