/** The search for salient columns. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type SalientOperands, salientSearch } from "./salient.ts";
import { gpuSearchSalient } from "./salient_webgpu.ts";

/** salient (1 × cols) := 1 where a column is worth a second sign; see `salientSearch`. */
export const searchSalient: Op<[salient: Matrix<"u8">, options: SalientOperands]> = {
  name: "searchSalient",
  cpu(_, salient, { score, values, columnWeight, rank, pruned, most, coarse }) {
    salientSearch(dense(salient), {
      score: dense(score),
      values: dense(values),
      columnWeight: columnWeight && dense(columnWeight),
      rank: dense(rank),
      pruned,
      rows: score.rows,
      cols: score.cols,
      most,
      coarse,
    });
  },
  gpu: gpuSearchSalient,
};
