/** GPTQ's order inside one column block. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type ColumnwiseOperands, columnwiseSweep } from "./columnwise.ts";
import { gpuColumnwise } from "./columnwise_webgpu.ts";

/** Rounds column by column and feeds errors forward; errors (rows × cols) := GPTQ's; see `columnwiseSweep`. */
export const columnwise: Op<[codes: Matrix<"u8">, errors: Matrix, options: ColumnwiseOperands]> = {
  name: "columnwise",
  cpu(_, codes, errors, { w, factor, scales, segments, salient }) {
    const { rows, cols } = w, shape = { rows, cols, segments, salient };
    columnwiseSweep(dense(codes), dense(errors), {
      ...shape,
      w: dense(w),
      factor: dense(factor),
      scales: dense(scales),
    });
  },
  gpu: gpuColumnwise,
};
