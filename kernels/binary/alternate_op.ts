/** Stepwise pruning with binarization optimisation. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type AlternateOperands, alternateRounds } from "./alternate.ts";
import { gpuAlternate } from "./alternate_webgpu.ts";

/** Optimises scales in rounds, with the signs fixed; see `alternateRounds`. */
export const alternate: Op<[scales: Matrix, options: AlternateOperands]> = {
  name: "alternate",
  cpu(_, scales, { w, gram, codes, rank, ...rest }) {
    const { rows, cols } = w;
    const arrays = { w: dense(w), gram: dense(gram), codes: dense(codes), rank: dense(rank) };
    alternateRounds(dense(scales), { ...rest, ...arrays, rows, cols });
  },
  gpu: gpuAlternate,
};
