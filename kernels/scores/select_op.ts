/** Ranks of weights by their scores. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type PruningType, rankNM } from "./select.ts";
import { gpuRank } from "./select_webgpu.ts";

/** out := the rank of each weight, so that "keep N" is rank ≥ of − N; see `rankNM`. */
export const rank: Op<
  [out: Matrix<"u8">, score: Matrix, options: { readonly of: number; readonly type: PruningType }]
> = {
  name: "rank",
  cpu: (_, out, score, options) => rankNM(dense(out), dense(score), { rows: score.rows, cols: score.cols, ...options }),
  gpu: gpuRank,
};
