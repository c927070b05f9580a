/** `importance` and the sums it needs, on WebGPU. */
import columnSumsCode from "./column_sums.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import type { ImportanceMetric, ScoreOptions } from "./importance.ts";
import importanceCode from "./importance.wgsl" with { type: "text" };
import meanOfSumsCode from "./mean_of_sums.wgsl" with { type: "text" };
import rowSumsCode from "./row_sums.wgsl" with { type: "text" };
import type { GpuBuffer, GpuContext } from "../gpu/op.ts";
import {
  denseOffset,
  grid,
  reads,
  readsBuffer,
  rowWindows,
  withTwoFloat,
  writes,
  writesBuffer,
} from "../gpu/dispatch.ts";

const COLUMN_SUMS = { name: "column_sums", code: withTwoFloat(columnSumsCode) };
const ROW_SUMS = { name: "row_sums", code: withTwoFloat(rowSumsCode) };
const MEAN_OF_SUMS = { name: "mean_of_sums", code: withTwoFloat(meanOfSumsCode) };
const IMPORTANCE = { name: "importance", code: withTwoFloat(importanceCode) };

const METRICS = {
  "hessian": 0,
  "hessian-squared": 0,
  "magnitude": 1,
  "wanda": 1,
  "ria": 2,
  "si": 3,
  "random": 4,
} as const satisfies Record<ImportanceMetric, number>;

/** Rows of one dispatch of column sums: llvmpipe silently leaves a thread's loops after 65535 rounds, one for 16 rows. */
const SUMMED_ROWS = 2 ** 19;

/**
 * Adds the column sums of a matrix to pairs of floats.
 *
 * @param sums 2 · cols floats
 * @param options.rounded 1 × cols, which gets the sums so far
 */
export function gpuColumnSums(
  context: GpuContext,
  sums: GpuBuffer,
  values: Matrix,
  { absolute, rounded }: { readonly absolute: boolean; readonly rounded?: Matrix },
): void {
  const { cols } = values, pairs = writesBuffer(sums);
  for (const { rows, read: [{ binding, offset }] } of rowWindows(context, { read: [values], most: SUMMED_ROWS })) {
    context.run(
      COLUMN_SUMS,
      [binding, pairs, rounded ? writes(rounded) : pairs],
      [rows, cols, offset, Number(absolute), Number(rounded !== undefined), rounded ? denseOffset(rounded) : 0],
      grid(context, cols, 16),
    );
  }
}

/** See `absoluteSums`. */
export function gpuAbsoluteSums(
  context: GpuContext,
  rowSums: Matrix,
  columnSums: Matrix,
  moments: Matrix,
  w: Matrix,
): void {
  const columnAt = denseOffset(columnSums), rowAt = denseOffset(rowSums), momentsAt = denseOffset(moments);
  const columnPairs = context.scratch("f32", 2 * w.cols),
    rowPairs = context.scratch("f32", 2 * w.rows, { zeroed: false });
  gpuColumnSums(context, columnPairs, w, { absolute: true, rounded: columnSums });
  context.release(columnPairs);
  for (const { row, rows, read: [{ binding, offset }] } of rowWindows(context, { read: [w] })) {
    context.run(
      ROW_SUMS,
      [binding, binding, binding, binding, writes(rowSums)],
      [rows, w.cols, offset, 0, 0, 0, 0, rowAt + row, 1],
      grid(context, rows, 1),
    );
  }
  const count = Math.max(w.rows * w.cols, 1), leading = Math.fround(count);
  for (const step of [0, 1]) {
    for (const { row, rows, read: [{ binding, offset }] } of rowWindows(context, { read: [w] })) {
      context.run(
        ROW_SUMS,
        [binding, reads(rowSums), reads(columnSums), reads(moments), writesBuffer(rowPairs)],
        [rows, w.cols, offset, 1 + step, rowAt + row, columnAt, momentsAt, 2 * row, 2],
        grid(context, rows, 1),
      );
    }
    context.run(
      MEAN_OF_SUMS,
      [readsBuffer(rowPairs), writes(moments)],
      [w.rows, { f32: leading }, { f32: count - leading }, step, momentsAt + step],
      [1],
    );
  }
  context.release(rowPairs);
}

/**
 * See `importance`.
 *
 * @throws {TypeError} when the metric needs a vector that was not given
 */
export function gpuImportance(context: GpuContext, out: Matrix, w: Matrix, options: ScoreOptions): void {
  const { metric, seed, firstColumn = 0 } = options;
  const given = (
    name: "diagonalU" | "inverseDiagonal" | "inputNorm" | "rowSums" | "columnSums" | "moments",
  ): Matrix => {
    const m = options[name];
    if (!m) throw new TypeError(`Cannot score weights by metric "${metric}" as "${name}" is missing`);
    return m;
  };
  const vectors = {
    "hessian": () => given("diagonalU"),
    "hessian-squared": () => given("inverseDiagonal"),
    "magnitude": () => w,
    "wanda": () => given("inputNorm"),
    "ria": () => given("inputNorm"),
    "si": () => given("inputNorm"),
    "random": () => w,
  } as const satisfies Record<ImportanceMetric, () => Matrix>;
  if (metric === "random" && seed === undefined) {
    throw new TypeError(`Cannot score weights by metric "random" as "seed" is missing`);
  }
  const relative = metric === "ria" || metric === "si";
  const vector = vectors[metric](), moments = metric === "si" ? given("moments") : w;
  const rowSums = relative ? given("rowSums") : w, columnSums = relative ? given("columnSums") : w;
  const vectorsAt = [vector, rowSums, columnSums, moments].map(denseOffset);
  for (const { row, rows, written: [score], read: [weights] } of rowWindows(context, { written: [out], read: [w] })) {
    // What a metric does not read is bound to the weights.
    const bind = (m: Matrix) => m === w ? weights.binding : reads(m);
    context.run(
      IMPORTANCE,
      [score.binding, weights.binding, bind(vector), bind(rowSums), bind(columnSums), bind(moments)],
      [
        rows,
        w.cols,
        METRICS[metric],
        score.offset,
        weights.offset,
        ...vectorsAt,
        (seed ?? 0) >>> 0,
        firstColumn,
        row,
        Number(metric === "magnitude"),
      ],
      grid(context, rows * w.cols),
    );
  }
}
