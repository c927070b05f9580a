/** Scores of weights, and the sums that some of them need. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { absoluteSumsOf, importanceOf, relativeMoments, type ScoreOptions } from "./importance.ts";
import { gpuAbsoluteSums, gpuImportance } from "./importance_webgpu.ts";

/** Sums of |w| by row (1 × rows) and column (1 × cols), and moments (1 × 2) of the sum of both ratios. */
export const absoluteSums: Op<[rowSums: Matrix, columnSums: Matrix, moments: Matrix, w: Matrix]> = {
  name: "absoluteSums",
  cpu(_, rowSums, columnSums, moments, w) {
    const sums = absoluteSumsOf(dense(w), w.rows, w.cols);
    dense(rowSums).set(sums.rowSums);
    dense(columnSums).set(sums.columnSums);
    const { mean, deviation } = relativeMoments(dense(w), sums.rowSums, sums.columnSums);
    dense(moments).set([mean, deviation]);
  },
  gpu: gpuAbsoluteSums,
};

/** out := how important each weight is; see `importanceOf`. */
export const importance: Op<[out: Matrix, w: Matrix, options: ScoreOptions]> = {
  name: "importance",
  cpu(_, out, w, options) {
    const { metric, seed, firstColumn } = options;
    const vector = (m: Matrix | undefined) => m && dense(m);
    const moments = vector(options.moments);
    importanceOf(dense(out), dense(w), {
      rows: w.rows,
      cols: w.cols,
      metric,
      diagonalU: vector(options.diagonalU),
      inverseDiagonal: vector(options.inverseDiagonal),
      inputNorm: vector(options.inputNorm),
      rowSums: vector(options.rowSums),
      columnSums: vector(options.columnSums),
      moments: moments && { mean: moments[0], deviation: moments[1] },
      seed,
      firstColumn,
    });
  },
  gpu: gpuImportance,
};
