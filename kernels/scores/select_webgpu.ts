/** `rankNM` on WebGPU. */
import { type Matrix, matrix, part } from "../device.ts";
import type { PruningType } from "./select.ts";
import { gpuColumnSums } from "./importance_webgpu.ts";
import { gpuOrderStatistics, withOrderKeys } from "./order_statistics_webgpu.ts";
import rankPlacesCode from "./rank_places.wgsl" with { type: "text" };
import rankRunsCode from "./rank_runs.wgsl" with { type: "text" };
import rankTiesCode from "./rank_ties.wgsl" with { type: "text" };
import rankTiesAfterCode from "./rank_ties_after.wgsl" with { type: "text" };
import { type GpuContext, WINDOW_ALIGNMENT } from "../gpu/op.ts";
import { denseOffset, FILL, grid, readsBuffer, rowWindows, WINDOW_ELEMENTS, writesBuffer } from "../gpu/dispatch.ts";
import { bindMatrix } from "../gpu/window.ts";

const RANK_RUNS = { name: "rank_runs", code: rankRunsCode };
const RANK_TIES = { name: "rank_ties", code: withOrderKeys(rankTiesCode) };
const RANK_TIES_AFTER = { name: "rank_ties_after", code: rankTiesAfterCode };
const RANK_PLACES = { name: "rank_places", code: withOrderKeys(rankPlacesCode) };

/** As in the shaders. */
const TILE = 256;

/**
 * See `rank`.
 *
 * @throws {RangeError} when `of` is not 1..256, or does not divide the columns for `semi-structured`
 */
export function gpuRank(
  context: GpuContext,
  out: Matrix<"u8">,
  score: Matrix,
  { of, type }: { readonly of: number; readonly type: PruningType },
): void {
  const { rows, cols } = score;
  if (!(Number.isInteger(of) && of >= 1 && of <= 256)) {
    throw new RangeError(`Cannot rank weights as "of" must be an integer of 1..256: current value is ${of}`);
  }
  switch (type) {
    case "semi-structured":
      if (cols % of !== 0) {
        throw new RangeError(`Cannot rank weights as columns must be a multiple of ${of}: current value is ${cols}`);
      }
      for (const { rows, written, read } of rowWindows(context, { written: [out], read: [score] })) {
        context.run(
          RANK_RUNS,
          [written[0].binding, read[0].binding],
          [rows * cols, of, written[0].offset, read[0].offset],
          grid(context, rows * cols),
        );
      }
      return;
    case "unstructured":
      return rankAll(context, out, score, of, 1);
    case "structured": {
      const pairs = context.scratch("f32", 2 * cols),
        totals = matrix(context.scratch("f32", cols, { zeroed: false }), 1, cols);
      gpuColumnSums(context, pairs, score, { absolute: false, rounded: totals });
      rankAll(context, out, totals, of, rows);
      context.release(pairs);
      return context.release(totals.buffer);
    }
    case "none":
      return fill(context, out, of - 1);
    default:
      throw new TypeError(`Cannot rank weights for pruning type "${type satisfies never}"`);
  }
}

function fill(context: GpuContext, out: Matrix<"u8">, value: number): void {
  for (const { rows, written: [{ binding, offset }] } of rowWindows(context, { written: [out] })) {
    context.run(FILL, [binding], [rows * out.cols, offset, value], grid(context, rows * out.cols));
  }
}

/** Ranks all values in one order and writes the ranks `copies` times. */
function rankAll(context: GpuContext, out: Matrix<"u8">, score: Matrix, of: number, copies: number): void {
  const length = score.rows * score.cols, bounds = of - 1;
  if (length === 0) return;
  if (bounds === 0) return fill(context, out, 0);
  const values = { ...score, offset: denseOffset(score), rows: 1, cols: length, stride: length };
  const ranks = { ...out, offset: denseOffset(out), rows: copies, cols: length, stride: length };
  const found = gpuOrderStatistics(context, { values: score }, { of }), tiles = Math.ceil(length / TILE);
  const counts = matrix(context.scratch("u32", tiles * bounds), tiles, bounds), later = context.scratch("u32", bounds);
  const bindable = Math.min(context.bindable, WINDOW_ELEMENTS) - WINDOW_ALIGNMENT;
  const step = Math.max(1, Math.floor(bindable / Math.max(TILE, bounds)));
  const windows = Array.from({ length: Math.ceil(tiles / step) }, (_, i) => {
    const rows = Math.min(step, tiles - i * step), col = i * step * TILE, cols = Math.min(rows * TILE, length - col);
    return {
      col,
      cols,
      score: bindMatrix(part(values, { col, cols }), "read"),
      equal: part(counts, { row: i * step, rows }),
    };
  });
  for (const { cols, score, equal } of windows) {
    const counted = bindMatrix(equal, "read_write");
    context.run(
      RANK_TIES,
      [counted.binding, score.binding, readsBuffer(found)],
      [cols, score.offset, bounds, counted.offset],
      grid(context, cols),
    );
  }
  for (const { equal } of windows.toReversed()) {
    const summed = bindMatrix(equal, "read_write");
    context.run(RANK_TIES_AFTER, [summed.binding, writesBuffer(later)], [equal.rows, bounds, summed.offset], [bounds]);
  }
  for (const { col, cols, score, equal } of windows) {
    const after = bindMatrix(equal, "read"), most = Math.max(1, Math.floor((bindable - cols) / length) + 1);
    for (let row = 0; row < copies; row += most) {
      const rows = Math.min(most, copies - row), to = bindMatrix(part(ranks, { row, rows, col, cols }), "read_write");
      context.run(
        RANK_PLACES,
        [to.binding, score.binding, readsBuffer(found), after.binding],
        [cols, score.offset, bounds, after.offset, rows, to.offset, length],
        grid(context, cols),
      );
    }
  }
  for (const buffer of [counts.buffer, later, found]) context.release(buffer);
}
