/** The search for thresholds of scores. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type ThresholdOperands, thresholdSearch } from "./thresholds.ts";
import { gpuSearchThresholds } from "./thresholds_webgpu.ts";

/** codes := groups of scores, and nothing else; see `thresholdSearch`. */
export const searchThresholds: Op<[codes: Matrix<"u8">, options: ThresholdOperands]> = {
  name: "searchThresholds",
  cpu(_, codes, { values, salient, rank, ...settings }) {
    const { rows, cols } = values;
    thresholdSearch(dense(codes), {
      ...settings,
      values: dense(values),
      salient: dense(salient),
      rank: dense(rank),
      rows,
      cols,
    });
  },
  gpu: gpuSearchThresholds,
};
