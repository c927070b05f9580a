/** `searchSegments` on WebGPU. */
import type { Device, Matrix } from "./device.ts";
import { gpuOrderStatistics, percentilePlaces, withOrderKeys } from "./order_statistics_webgpu.ts";
import binsCode from "./segment_bins.wgsl" with { type: "text" };
import codesCode from "./segment_codes.wgsl" with { type: "text" };
import cutsCode from "./segment_cuts.wgsl" with { type: "text" };
import doublesCode from "./segment_doubles.wgsl" with { type: "text" };
import gainSumsCode from "./segment_gain_sums.wgsl" with { type: "text" };
import gainsCode from "./segment_gains.wgsl" with { type: "text" };
import levelsCode from "./segment_levels.wgsl" with { type: "text" };
import prefixesCode from "./segment_prefixes.wgsl" with { type: "text" };
import type { GpuBinding, GpuBuffer, GpuContext } from "./webgpu_context.ts";
import { denseOffset, grid, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

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

type Options = Parameters<Device["searchSegments"]>[1];

/** See `Device.searchSegments`. */
export function gpuSearchSegments(context: GpuContext, codes: Matrix<"u8">, options: Options): void {
  const { w, salient, splitPoints } = options, { rows, cols } = w;
  const cuts = context.scratch("f32", Math.max(splitPoints, 1));
  if (splitPoints > 0) chooseCuts(context, cuts, options);
  context.run(
    CODES,
    [reads(w), reads(salient), { buffer: cuts, access: "read" }, writes(codes)],
    [rows, cols, splitPoints, denseOffset(w), denseOffset(salient), denseOffset(codes)],
    grid(context, rows * cols),
  );
  context.release(cuts);
}

function chooseCuts(context: GpuContext, cuts: GpuBuffer, options: Options): void {
  const { w, salient, rank, pruned, splitPoints, search, candidates } = options;
  const doubled = splitPoints === 2 && search === "doubled", { first, step, parts } = percentilePlaces(candidates);
  const wanted = gpuOrderStatistics(context, { values: w, seen: { salient, rank, pruned } }, {
    percentiles: candidates,
  });
  const levels = context.scratch("f32", candidates);
  context.run(
    LEVELS,
    [readsBuffer(wanted), writesBuffer(levels)],
    [0, candidates, first, step, parts],
    grid(context, candidates),
  );
  context.release(wanted);
  const count = doubled ? 2 * candidates : candidates, width = count + 2;
  const bounds = doubled ? context.scratch("f32", count) : levels;
  if (doubled) {
    context.run(DOUBLES, [readsBuffer(levels), writesBuffer(bounds)], [candidates], grid(context, count));
  }
  const gains = segmentGains(context, bounds, width, options);
  const best = context.scratch("f32", BEST_WORDS * (splitPoints + 1) * width);
  context.run(
    CUTS,
    [readsBuffer(gains), readsBuffer(bounds), readsBuffer(levels), writesBuffer(best), writesBuffer(cuts)],
    [0, width, doubled ? 0 : splitPoints, candidates],
    [1],
  );
  for (const buffer of [gains, best, levels]) context.release(buffer);
  if (doubled) context.release(bounds);
}

/** Pairs of floats: the gain of every segment, by its first and last bound; see `segmentGains`. */
function segmentGains(context: GpuContext, bounds: GpuBuffer, width: number, options: Options): GpuBuffer {
  const { w, values = w, columnWeight, salient, rank, pruned } = options, { rows, cols } = w;
  const bins = context.scratch("u32", rows * cols), weighted = columnWeight !== undefined;
  context.run(
    BINS,
    [reads(w), reads(salient), reads(rank), readsBuffer(bounds), writesBuffer(bins)],
    [rows, cols, width - 2, pruned, denseOffset(w), denseOffset(salient), denseOffset(rank)],
    grid(context, rows * cols),
  );
  const length = width * width, sums = weighted ? 8 : 4, perRow = 2 * sums * width;
  const work = CHUNK_ROWS * Math.max(sums * cols, length);
  const chunks = Math.max(
    1,
    Math.floor(
      Math.min(
        MOST_SCRATCH / (CHUNK_ROWS * perRow),
        MOST_SCRATCH / (2 * length),
        MOST_SUMS / work,
        rows / CHUNK_ROWS + 1,
      ),
    ),
  );
  const tile = chunks * CHUNK_ROWS;
  const prefixes = context.scratch("f32", Math.min(tile, rows) * perRow);
  const parts = context.scratch("f32", chunks * 2 * length), totals = context.scratch("f32", 2 * length);
  for (let row = 0; row < rows; row += tile) {
    const some = Math.min(tile, rows - row), someChunks = Math.ceil(some / CHUNK_ROWS);
    context.run(
      PREFIXES,
      [readsBuffer(bins), reads(values), reads(columnWeight ?? values), writesBuffer(prefixes)],
      [0, some, cols, sums, width, row, denseOffset(values), columnWeight ? denseOffset(columnWeight) : 0],
      grid(context, some * sums),
    );
    context.run(
      GAINS,
      [readsBuffer(prefixes), writesBuffer(parts)],
      [0, some, width, CHUNK_ROWS, Number(weighted)],
      [Math.ceil(length / 64), someChunks],
    );
    context.run(GAIN_SUMS, [readsBuffer(parts), writesBuffer(totals)], [0, length, someChunks], grid(context, length));
  }
  for (const buffer of [bins, prefixes, parts]) context.release(buffer);
  return totals;
}

function readsBuffer(buffer: GpuBuffer): GpuBinding {
  return { buffer, access: "read" };
}

function writesBuffer(buffer: GpuBuffer): GpuBinding {
  return { buffer, access: "read_write" };
}
