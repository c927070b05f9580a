/** `fitGrid` and `gridZeros` on WebGPU. */
import fitCode from "./fit.wgsl" with { type: "text" };
import zerosCode from "./zeros.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import { grid as groupsOf, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";
import type { GpuContext } from "../gpu/op.ts";
import type { FitOperands, ZeroOperands } from "./fit.ts";

const FIT = { name: "fit_grid", code: withTwoFloat(fitCode) };
const ZEROS = { name: "grid_zeros", code: withTwoFloat(zerosCode) };

/** See `fitGrid`. */
export function gpuFitGrid(context: GpuContext, scales: Matrix, lows: Matrix, { w, bits, grid }: FitOperands): void {
  for (const { rows, written, read } of rowWindows(context, { written: [scales, lows], read: [w] })) {
    const bound = [...written, ...read];
    context.run(
      FIT,
      bound.map(({ binding }) => binding),
      [rows, w.cols, 2 ** bits - 1, Number(grid === "sign"), ...bound.map(({ offset }) => offset)],
      groupsOf(context, rows),
    );
  }
}

/** See `gridZeros`. */
export function gpuGridZeros(context: GpuContext, zeros: Matrix<"u8">, { scales, lows, bits }: ZeroOperands): void {
  for (const { rows, written, read } of rowWindows(context, { written: [zeros], read: [scales, lows] })) {
    const bound = [...written, ...read];
    context.run(
      ZEROS,
      bound.map(({ binding }) => binding),
      [rows, 2 ** bits - 1, ...bound.map(({ offset }) => offset)],
      groupsOf(context, rows),
    );
  }
}
