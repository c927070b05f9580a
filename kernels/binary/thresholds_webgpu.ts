/** `searchThresholds` on WebGPU. */
import { type Matrix, matrix } from "../device.ts";
import { denseOffset, grid, reads, readsBuffer, rowWindows, withTwoFloat, writesBuffer } from "../gpu/dispatch.ts";
import type { GpuBuffer, GpuContext } from "../gpu/op.ts";
import { gpuColumnSums, gpuOrderStatistics, percentilePlaces, withOrderKeys } from "../scores/ops.ts";
import levelsCode from "./segment_levels.wgsl" with { type: "text" };
import chooseCode from "./threshold_choose.wgsl" with { type: "text" };
import codesCode from "./threshold_codes.wgsl" with { type: "text" };
import gainsCode from "./threshold_gains.wgsl" with { type: "text" };
import partsCode from "./threshold_parts.wgsl" with { type: "text" };
import prefixesCode from "./threshold_prefixes.wgsl" with { type: "text" };
import sortCode from "./threshold_sort.wgsl" with { type: "text" };
import type { ThresholdOperands } from "./thresholds.ts";

const PARTS = { name: "threshold_parts", code: partsCode };
const LEVELS = { name: "segment_levels", code: withTwoFloat(withOrderKeys(levelsCode)) };
const SORT = { name: "threshold_sort", code: sortCode };
const PREFIXES = { name: "threshold_prefixes", code: withTwoFloat(prefixesCode) };
const GAINS = { name: "threshold_gains", code: withTwoFloat(gainsCode) };
const CHOOSE = { name: "threshold_choose", code: withTwoFloat(chooseCode) };
const CODES = { name: "threshold_codes", code: codesCode };

/** Elements of scratch that one dispatch may take, and comparisons that it may make, which a watchdog limits. */
const MOST_SCRATCH = 2 ** 23, MOST_COMPARED = 2 ** 30;

/** Scratch that is written before it is read. */
const UNSET = { zeroed: false };

/** See `searchThresholds`. */
export function gpuSearchThresholds(context: GpuContext, codes: Matrix<"u8">, options: ThresholdOperands): void {
  const { values, salient, first } = options, { rows, cols } = values, size = rows * cols;
  const keys = matrix(context.scratch("f32", size, UNSET), rows, cols);
  const levels = candidateLevels(context, keys, options);
  const cuts = chooseCuts(context, keys, levels, options);
  const salientAt = denseOffset(salient);
  for (const { rows, read: [bound], written: [out] } of rowWindows(context, { read: [values], written: [codes] })) {
    context.run(
      CODES,
      [bound.binding, reads(salient), readsBuffer(cuts), out.binding],
      [rows, cols, wantedMark(options), first, bound.offset, salientAt, out.offset],
      grid(context, rows * cols),
    );
  }
  for (const buffer of [keys.buffer, levels, cuts]) context.release(buffer);
}

function wantedMark({ within }: ThresholdOperands): number {
  return Number(within === "salient");
}

/** @param keys rows × cols, overwritten by what is to be sorted */
function candidateLevels(context: GpuContext, keys: Matrix, options: ThresholdOperands): GpuBuffer {
  const { values, salient, rank, pruned, candidates, percentiles } = options, { rows, cols } = values;
  const size = rows * cols, salientAt = denseOffset(salient);
  const sizes = matrix(context.scratch("f32", size, UNSET), rows, cols);
  const counted = matrix(context.scratch("u8", size, UNSET), rows, cols);
  const windows = rowWindows(context, { read: [values, rank], written: [keys, sizes, counted] });
  for (const { rows, read: [value, ranks], written } of windows) {
    context.run(
      PARTS,
      [value.binding, reads(salient), ranks.binding, ...written.map(({ binding }) => binding)],
      [
        ...[rows, cols, wantedMark(options), pruned, Number(percentiles === "positive")],
        ...[value.offset, salientAt, ranks.offset, ...written.map(({ offset }) => offset)],
      ],
      grid(context, rows * cols),
    );
  }
  const none = matrix(context.scratch("u8", cols), 1, cols);
  const seen = { salient: none, rank: counted, pruned: 1 };
  const wanted = gpuOrderStatistics(context, { values: sizes, seen }, { percentiles: candidates });
  const levels = context.scratch("f32", candidates, UNSET), { first, step, parts } = percentilePlaces(candidates);
  context.run(
    LEVELS,
    [readsBuffer(wanted), writesBuffer(levels)],
    [candidates, first, step, parts],
    grid(context, candidates),
  );
  for (const buffer of [wanted, none.buffer, sizes.buffer, counted.buffer]) context.release(buffer);
  return levels;
}

/** Two cuts, of which the second lies above all scores where one is wanted. */
function chooseCuts(context: GpuContext, keys: Matrix, levels: GpuBuffer, options: ThresholdOperands): GpuBuffer {
  const { candidates, order, doubled } = options, { rows, cols } = keys, perRow = 2 * candidates;
  const scratch = Math.min(MOST_SCRATCH, context.bindable);
  const most = Math.min(scratch / (2 * (cols + 1)), scratch / perRow, MOST_COMPARED / cols ** 2);
  const step = Math.max(1, Math.min(rows, Math.floor(most)));
  const sorted = context.scratch("f32", step * cols, UNSET), gains = context.scratch("f32", step * perRow, UNSET);
  const prefixes = context.scratch("f32", 2 * step * (cols + 1), UNSET);
  const totals = context.scratch("f32", 2 * perRow), cuts = context.scratch("f32", 2, UNSET);
  for (const { rows, read: [bound] } of rowWindows(context, { read: [keys], most: step })) {
    const wide = grid(context, rows * cols);
    context.run(SORT, [bound.binding, writesBuffer(sorted)], [rows, cols, bound.offset], wide);
    context.run(PREFIXES, [readsBuffer(sorted), writesBuffer(prefixes)], [rows, cols], grid(context, rows));
    context.run(
      GAINS,
      [readsBuffer(sorted), readsBuffer(prefixes), readsBuffer(levels), writesBuffer(gains)],
      [rows, cols, candidates, order, Number(doubled)],
      grid(context, rows * candidates),
    );
    gpuColumnSums(context, totals, matrix(gains, rows, perRow), { absolute: false });
  }
  context.run(
    CHOOSE,
    [readsBuffer(totals), readsBuffer(levels), writesBuffer(cuts)],
    [candidates, Number(doubled)],
    [1],
  );
  for (const buffer of [sorted, gains, prefixes, totals]) context.release(buffer);
  return cuts;
}
