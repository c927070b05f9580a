/** `rankNM` on WebGPU. */
import type { Device, Matrix } from "./device.ts";
import { matrix } from "./device.ts";
import fillCode from "./fill.wgsl" with { type: "text" };
import { gpuColumnSums } from "./importance_webgpu.ts";
import { gpuOrderStatistics, withOrderKeys } from "./order_statistics_webgpu.ts";
import rankPlacesCode from "./rank_places.wgsl" with { type: "text" };
import rankRunsCode from "./rank_runs.wgsl" with { type: "text" };
import rankTiesCode from "./rank_ties.wgsl" with { type: "text" };
import rankTiesAfterCode from "./rank_ties_after.wgsl" with { type: "text" };
import type { GpuContext } from "./webgpu_context.ts";
import { denseOffset, grid, reads, readsBuffer, rowWindows, writes, writesBuffer } from "./webgpu_dispatch.ts";

const FILL = { name: "fill", code: fillCode };
const RANK_RUNS = { name: "rank_runs", code: rankRunsCode };
const RANK_TIES = { name: "rank_ties", code: withOrderKeys(rankTiesCode) };
const RANK_TIES_AFTER = { name: "rank_ties_after", code: rankTiesAfterCode };
const RANK_PLACES = { name: "rank_places", code: withOrderKeys(rankPlacesCode) };

/** As in the shaders. */
const TILE = 256;

/**
 * See `Device.rank`.
 *
 * @throws {RangeError} when `of` is not 1..256, or does not divide the columns for `semi-structured`
 */
export function gpuRank(
  context: GpuContext,
  out: Matrix<"u8">,
  score: Matrix,
  { of, type }: Parameters<Device["rank"]>[2],
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
  const length = score.rows * score.cols, at = denseOffset(score), bounds = of - 1;
  if (length === 0) return;
  if (bounds === 0) {
    return fill(context, out, 0);
  }
  const wanted = gpuOrderStatistics(context, { values: score }, { of });
  const tiles = Math.ceil(length / TILE), counts = context.scratch("u32", tiles * bounds);
  const found = readsBuffer(wanted), groups = grid(context, length);
  context.run(
    RANK_TIES,
    [writesBuffer(counts), reads(score), found],
    [length, at, bounds],
    groups,
  );
  context.run(RANK_TIES_AFTER, [writesBuffer(counts)], [tiles, bounds], [bounds]);
  context.run(
    RANK_PLACES,
    [writes(out), reads(score), found, readsBuffer(counts)],
    [length, at, bounds, copies, denseOffset(out)],
    groups,
  );
  context.release(counts);
  context.release(wanted);
}
