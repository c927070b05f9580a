/** `roundGrid` and `decodeGrid` on WebGPU. */
import decodeCode from "./decode.wgsl" with { type: "text" };
import levelsCode from "./levels.wgsl" with { type: "text" };
import roundCode from "./round.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import { grid as groupsOf, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";
import type { GpuContext } from "../gpu/op.ts";
import type { DecodeGridOperands, RoundGridOperands } from "./round.ts";

const ROUND = { name: "round_grid", code: withTwoFloat(`${levelsCode}\n${roundCode}`) };
const DECODE = { name: "decode_grid", code: decodeCode };

/** See `roundGrid`. */
export function gpuRoundGrid(context: GpuContext, codes: Matrix<"u8">, options: RoundGridOperands): void {
  const { w, scales, zeros, bits, grid } = options, { cols } = w;
  for (const { rows, written, read } of rowWindows(context, { written: [codes], read: [w, scales, zeros] })) {
    const bound = [...written, ...read];
    context.run(
      ROUND,
      bound.map(({ binding }) => binding),
      [rows, cols, 2 ** bits - 1, Number(grid === "sign"), ...bound.map(({ offset }) => offset)],
      groupsOf(context, rows * cols),
    );
  }
}

/** See `decodeGrid`. */
export function gpuDecodeGrid(context: GpuContext, out: Matrix, options: DecodeGridOperands): void {
  const { codes, scales, zeros, grid } = options, { cols } = out, { groupSize = cols } = options;
  for (const { rows, written, read } of rowWindows(context, { written: [out], read: [codes, scales, zeros] })) {
    const bound = [...written, ...read];
    context.run(
      DECODE,
      bound.map(({ binding }) => binding),
      [rows, cols, groupSize, Number(grid === "sign"), ...bound.map(({ offset }) => offset)],
      groupsOf(context, rows * cols),
    );
  }
}
