/** `startScales` and `pruneCodes` on WebGPU. */
import type { Device, Matrix } from "./device.ts";
import pruneCode from "./prune.wgsl" with { type: "text" };
import startScalesCode from "./start_scales.wgsl" with { type: "text" };
import type { GpuContext } from "./webgpu_context.ts";
import { denseOffset, grid, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

const START_SCALES = { name: "start_scales", code: withTwoFloat(startScalesCode) };
const PRUNE = { name: "prune", code: pruneCode };

/** See `Device.startScales`. */
export function gpuStartScales(
  context: GpuContext,
  codes: Matrix<"u8">,
  scales: Matrix,
  options: Parameters<Device["startScales"]>[2],
): void {
  const { w, rank, pruned, salientPruned, segments, salient } = options, { rows, cols } = w;
  context.run(
    START_SCALES,
    [writes(codes), writes(scales), reads(w), reads(rank)],
    [
      0,
      rows,
      cols,
      segments,
      Number(salient),
      pruned,
      salientPruned,
      ...[codes, scales, w, rank].map(denseOffset),
    ],
    grid(context, rows),
  );
}

/** See `Device.prune`. */
export function gpuPrune(context: GpuContext, codes: Matrix<"u8">, options: Parameters<Device["prune"]>[1]): void {
  const { rank, pruned } = options, length = codes.rows * codes.cols;
  context.run(
    PRUNE,
    [writes(codes), reads(rank)],
    [length, denseOffset(codes), denseOffset(rank), pruned],
    grid(context, length),
  );
}
