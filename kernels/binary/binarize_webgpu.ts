/** `startScales` and `prune` on WebGPU. */
import type { Matrix } from "../device.ts";
import type { StartOperands } from "./binarize.ts";
import type { SeenOptions } from "./quantized_layer.ts";
import pruneCode from "./prune.wgsl" with { type: "text" };
import startScalesCode from "./start_scales.wgsl" with { type: "text" };
import type { GpuContext } from "../gpu/op.ts";
import { grid, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";

const START_SCALES = { name: "start_scales", code: withTwoFloat(startScalesCode) };
const PRUNE = { name: "prune", code: pruneCode };

/** See `startScales`. */
export function gpuStartScales(
  context: GpuContext,
  codes: Matrix<"u8">,
  scales: Matrix,
  options: StartOperands,
): void {
  const { w, rank, pruned, salientPruned, segments, salient } = options, { cols } = w;
  for (const { rows, written, read } of rowWindows(context, { written: [codes, scales], read: [w, rank] })) {
    const bound = [...written, ...read];
    context.run(
      START_SCALES,
      bound.map(({ binding }) => binding),
      [rows, cols, segments, Number(salient), pruned, salientPruned, ...bound.map(({ offset }) => offset)],
      grid(context, rows),
    );
  }
}

/** See `prune`. */
export function gpuPrune(context: GpuContext, codes: Matrix<"u8">, options: SeenOptions): void {
  const { rank, pruned } = options, { cols } = codes;
  for (const { rows, written, read } of rowWindows(context, { written: [codes], read: [rank] })) {
    const bound = [...written, ...read];
    context.run(
      PRUNE,
      bound.map(({ binding }) => binding),
      [rows * cols, ...bound.map(({ offset }) => offset), pruned],
      grid(context, rows * cols),
    );
  }
}
