/** The search for segments. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import type { SegmentOperands } from "./segment_gains.ts";
import { segmentSearch } from "./segments.ts";
import { gpuSearchSegments } from "./segments_webgpu.ts";

/** codes := the group of each weight, and nothing else; see `segmentSearch`. */
export const searchSegments: Op<[codes: Matrix<"u8">, options: SegmentOperands]> = {
  name: "searchSegments",
  cpu(_, codes, { w, values, columnWeight, salient, rank, pruned, splitPoints, search, candidates, coarse }) {
    segmentSearch(dense(codes), {
      w: dense(w),
      values: values && dense(values),
      columnWeight: columnWeight && dense(columnWeight),
      salient: dense(salient),
      rank: dense(rank),
      pruned,
      rows: w.rows,
      cols: w.cols,
      splitPoints,
      search,
      candidates,
      coarse,
    });
  },
  gpu: gpuSearchSegments,
};
