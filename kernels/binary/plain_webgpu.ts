/** `startPlain` and `rescale` on WebGPU. */
import type { Matrix } from "../device.ts";
import type { GpuContext } from "../gpu/op.ts";
import { grid, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";
import type { PlainOperands, RescaleOperands } from "./plain.ts";
import rescaleCode from "./rescale.wgsl" with { type: "text" };
import startPlainCode from "./start_plain.wgsl" with { type: "text" };

const START_PLAIN = { name: "start_plain", code: withTwoFloat(startPlainCode) };
const RESCALE = { name: "rescale", code: withTwoFloat(rescaleCode) };

/** See `startPlain`. */
export function gpuStartPlain(context: GpuContext, codes: Matrix<"u8">, scales: Matrix, options: PlainOperands): void {
  const { w, rank, pruned } = options, { cols } = w;
  for (const { rows, written, read } of rowWindows(context, { written: [codes, scales], read: [w, rank] })) {
    const bound = [...written, ...read];
    context.run(
      START_PLAIN,
      bound.map(({ binding }) => binding),
      [rows, cols, pruned, ...bound.map(({ offset }) => offset)],
      grid(context, rows),
    );
  }
}

/** See `rescale`. */
export function gpuRescale(context: GpuContext, scales: Matrix, { decoded, target, product }: RescaleOperands): void {
  const { cols } = decoded;
  for (const { rows, written, read } of rowWindows(context, { written: [scales], read: [decoded, target, product] })) {
    const bound = [...written, ...read];
    context.run(
      RESCALE,
      bound.map(({ binding }) => binding),
      [rows, cols, ...bound.map(({ offset }) => offset)],
      grid(context, rows),
    );
  }
}
