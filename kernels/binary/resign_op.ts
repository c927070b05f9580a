/** A sweep over the signs. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type ResignOperands, resignSweep } from "./resign.ts";
import { gpuResign } from "./resign_webgpu.ts";

/** Gives each kept weight in turn the signs that lower its row's error most; see `resignSweep`. */
export const resign: Op<[codes: Matrix<"u8">, options: ResignOperands]> = {
  name: "resign",
  cpu(_, codes, { residual, gram, scales, segments, salient }) {
    const { rows, cols } = residual, shape = { rows, cols, segments, salient };
    resignSweep(dense(codes), { ...shape, residual: dense(residual), gram: dense(gram), scales: dense(scales) });
  },
  gpu: gpuResign,
};
