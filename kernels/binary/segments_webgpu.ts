/** `searchSegments` on WebGPU. */
import { type Matrix, matrix } from "../device.ts";
import type { SegmentOperands } from "./segment_gains.ts";
import { gpuOrderStatistics, percentilePlaces, withOrderKeys } from "../scores/ops.ts";
import binsCode from "./segment_bins.wgsl" with { type: "text" };
import codesCode from "./segment_codes.wgsl" with { type: "text" };
import cutsCode from "./segment_cuts.wgsl" with { type: "text" };
import doublesCode from "./segment_doubles.wgsl" with { type: "text" };
import gainSumsCode from "./segment_gain_sums.wgsl" with { type: "text" };
import gainsCode from "./segment_gains.wgsl" with { type: "text" };
import levelsCode from "./segment_levels.wgsl" with { type: "text" };
import prefixesCode from "./segment_prefixes.wgsl" with { type: "text" };
import type { GpuBuffer, GpuContext } from "../gpu/op.ts";
import {
  denseOffset,
  grid,
  GROUP_THREADS,
  reads,
  readsBuffer,
  rowWindows,
  withTwoFloat,
  writesBuffer,
} from "../gpu/dispatch.ts";

const LEVELS = { name: "segment_levels", code: withTwoFloat(withOrderKeys(levelsCode)) };
const DOUBLES = { name: "segment_doubles", code: doublesCode };
const BINS = { name: "segment_bins", code: binsCode };
const PREFIXES = { name: "segment_prefixes", code: withTwoFloat(prefixesCode) };
const GAINS = { name: "segment_gains", code: withTwoFloat(gainsCode) };
const GAIN_SUMS = { name: "segment_gain_sums", code: withTwoFloat(gainSumsCode) };
const CUTS = { name: "segment_cuts", code: withTwoFloat(cutsCode) };
const CODES = { name: "segment_codes", code: codesCode };

/** Rows whose gains one thread adds up. */
const CHUNK_ROWS = 64;

/** Elements of scratch that one dispatch may take, and sums that it may make, which a watchdog limits. */
const MOST_SCRATCH = 2 ** 23, MOST_SUMS = 2 ** 29;

/** As in the shader: a vec3f takes as much as a vec4f. */
const BEST_WORDS = 4;

/** Scratch that is written before it is read. */
const UNSET = { zeroed: false };

/** See `searchSegments`. */
export function gpuSearchSegments(context: GpuContext, codes: Matrix<"u8">, options: SegmentOperands): void {
  const { w, salient, splitPoints } = options, { cols } = w;
  const cuts = context.scratch("f32", Math.max(splitPoints, 1), UNSET);
  if (splitPoints > 0) chooseCuts(context, cuts, options);
  const salientAt = denseOffset(salient);
  for (const { rows, read: [bound], written: [out] } of rowWindows(context, { read: [w], written: [codes] })) {
    context.run(
      CODES,
      [bound.binding, reads(salient), readsBuffer(cuts), out.binding],
      [rows, cols, splitPoints, bound.offset, salientAt, out.offset],
      grid(context, rows * cols),
    );
  }
  context.release(cuts);
}

function chooseCuts(context: GpuContext, cuts: GpuBuffer, options: SegmentOperands): void {
  const { w, salient, rank, pruned, splitPoints, search, candidates, coarse = false } = options;
  const doubled = splitPoints === 2 && search === "doubled", { first, step, parts } = percentilePlaces(candidates);
  const wanted = gpuOrderStatistics(context, { values: w, seen: { salient, rank, pruned } }, {
    percentiles: candidates,
  });
  const levels = context.scratch("f32", candidates, UNSET);
  context.run(
    LEVELS,
    [readsBuffer(wanted), writesBuffer(levels)],
    [candidates, first, step, parts],
    grid(context, candidates),
  );
  context.release(wanted);
  const count = doubled ? 2 * candidates : candidates, width = count + 2;
  const bounds = doubled ? context.scratch("f32", count, UNSET) : levels;
  if (doubled) {
    context.run(DOUBLES, [readsBuffer(levels), writesBuffer(bounds)], [candidates], grid(context, count));
  }
  const gains = segmentGains(context, bounds, width, options);
  const best = context.scratch("f32", BEST_WORDS * (splitPoints + 1) * width, UNSET);
  context.run(
    CUTS,
    [readsBuffer(gains), readsBuffer(bounds), readsBuffer(levels), writesBuffer(best), writesBuffer(cuts)],
    [width, doubled ? 0 : splitPoints, candidates, coarse && splitPoints > 1 ? 2 : 1],
    [1],
  );
  for (const buffer of [gains, best, levels]) context.release(buffer);
  if (doubled) context.release(bounds);
}

/** Pairs of floats: the gain of every segment, by its first and last bound; see `segmentGains`. */
function segmentGains(context: GpuContext, bounds: GpuBuffer, width: number, options: SegmentOperands): GpuBuffer {
  const { w, values = w, columnWeight } = options, { rows, cols } = w;
  const bins = matrix(context.scratch("u32", rows * cols, UNSET), rows, cols);
  findBins(context, bins, bounds, width, options);
  const length = width * width, sums = columnWeight ? 8 : 4, perRow = 2 * sums * width;
  const scratch = Math.min(MOST_SCRATCH, context.bindable);
  const most = Math.min(
    scratch / (CHUNK_ROWS * perRow),
    scratch / (2 * length),
    MOST_SUMS / (CHUNK_ROWS * Math.max(sums * cols, length)),
    rows / CHUNK_ROWS + 1,
  );
  const step = CHUNK_ROWS * Math.max(1, Math.floor(most));
  const prefixes = context.scratch("f32", Math.min(step, rows) * perRow, UNSET);
  const parts = context.scratch("f32", step / CHUNK_ROWS * 2 * length, UNSET);
  const totals = context.scratch("f32", 2 * length);
  for (const { rows, read: [bin, value] } of rowWindows(context, { read: [bins, values], most: step })) {
    const chunks = Math.ceil(rows / CHUNK_ROWS);
    context.run(
      PREFIXES,
      [bin.binding, value.binding, columnWeight ? reads(columnWeight) : value.binding, writesBuffer(prefixes)],
      [rows, cols, sums, width, bin.offset, value.offset, columnWeight ? denseOffset(columnWeight) : 0],
      grid(context, rows * sums),
    );
    context.run(
      GAINS,
      [readsBuffer(prefixes), writesBuffer(parts)],
      [rows, width, CHUNK_ROWS, Number(columnWeight !== undefined)],
      [Math.ceil(length / GROUP_THREADS), chunks],
    );
    context.run(GAIN_SUMS, [readsBuffer(parts), writesBuffer(totals)], [length, chunks], grid(context, length));
  }
  for (const buffer of [bins.buffer, prefixes, parts]) context.release(buffer);
  return totals;
}

function findBins(
  context: GpuContext,
  bins: Matrix<"u32">,
  bounds: GpuBuffer,
  width: number,
  { w, salient, rank, pruned }: SegmentOperands,
): void {
  const salientAt = denseOffset(salient);
  for (
    const { rows, read: [bound, ranks], written: [out] } of rowWindows(context, { read: [w, rank], written: [bins] })
  ) {
    context.run(
      BINS,
      [bound.binding, reads(salient), ranks.binding, readsBuffer(bounds), out.binding],
      [rows, w.cols, width - 2, pruned, bound.offset, salientAt, ranks.offset, out.offset],
      grid(context, rows * w.cols),
    );
  }
}
