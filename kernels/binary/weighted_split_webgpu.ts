/** The operations of ARB-X's search on WebGPU. */
import { type Matrix, matrix, part } from "../device.ts";
import {
  denseOffset,
  grid,
  reads,
  readsBuffer,
  rowWindows,
  WINDOW_ELEMENTS,
  withTwoFloat,
  writesBuffer,
} from "../gpu/dispatch.ts";
import { type GpuContext, WINDOW_ALIGNMENT } from "../gpu/op.ts";
import { bindMatrix } from "../gpu/window.ts";
import { gpuOrderStatistics, percentilePlaces, withOrderKeys } from "../scores/ops.ts";
import levelsCode from "./segment_levels.wgsl" with { type: "text" };
import codesCode from "./threshold_codes.wgsl" with { type: "text" };
import partsCode from "./threshold_parts.wgsl" with { type: "text" };
import bestCode from "./weighted_best.wgsl" with { type: "text" };
import residualsCode from "./weighted_residuals.wgsl" with { type: "text" };
import type { ChoiceOperands, ResidualOperands, SplitOperands } from "./weighted_split.ts";

const PARTS = { name: "threshold_parts", code: partsCode };
const LEVELS = { name: "segment_levels", code: withTwoFloat(withOrderKeys(levelsCode)) };
const RESIDUALS = { name: "weighted_residuals", code: withTwoFloat(residualsCode) };
const BEST = { name: "weighted_best", code: bestCode };
const CODES = { name: "threshold_codes", code: codesCode };

/** Scratch that is written before it is read. */
const UNSET = { zeroed: false };

/** See `splitCandidatesOf`. */
export function gpuSplitCandidates(context: GpuContext, out: Matrix, { values, salient }: SplitOperands): void {
  const { rows, cols } = values, size = rows * cols, salientAt = denseOffset(salient);
  const keys = matrix(context.scratch("f32", size, UNSET), rows, cols);
  const sizes = matrix(context.scratch("f32", size, UNSET), rows, cols);
  const counted = matrix(context.scratch("u8", size, UNSET), rows, cols);
  // No ranks: nothing is pruned, and any numbers do.
  const ranks = matrix(context.scratch("u8", size), rows, cols);
  const windows = rowWindows(context, { read: [values, ranks], written: [keys, sizes, counted] });
  for (const { rows, read: [value, rank], written } of windows) {
    context.run(
      PARTS,
      [value.binding, reads(salient), rank.binding, ...written.map(({ binding }) => binding)],
      [rows, cols, 0, 0, 0, value.offset, salientAt, rank.offset, ...written.map(({ offset }) => offset)],
      grid(context, rows * cols),
    );
  }
  const none = matrix(context.scratch("u8", cols), 1, cols), candidates = out.cols;
  const seen = { salient: none, rank: counted, pruned: 1 };
  const wanted = gpuOrderStatistics(context, { values: sizes, seen }, { percentiles: candidates });
  const { first, step, parts } = percentilePlaces(candidates), to = bindMatrix(out, "read_write");
  // The shader writes from the first element of its binding on.
  if (to.offset !== 0) {
    throw new RangeError(
      `Cannot write candidates as they must begin at a multiple of ${WINDOW_ALIGNMENT}: current value is ${out.offset}`,
    );
  }
  context.run(
    LEVELS,
    [readsBuffer(wanted), to.binding],
    [candidates, first, step, parts],
    grid(context, candidates),
  );
  for (const buffer of [wanted, none.buffer, ranks.buffer, counted.buffer, sizes.buffer, keys.buffer]) {
    context.release(buffer);
  }
}

/** See `splitResidualsOf`. */
export function gpuSplitResiduals(
  context: GpuContext,
  out: Matrix,
  { values, salient, rest, candidates, first }: ResidualOperands,
): void {
  const { rows, cols } = values, count = out.rows / rows;
  // Several candidates at once where that fits a binding, else rows of one after the other.
  const room = Math.min(context.bindable, WINDOW_ELEMENTS) - WINDOW_ALIGNMENT;
  const atOnce = Math.max(1, Math.min(count, Math.floor(room / (rows * cols))));
  for (let k = 0; k < count; k += atOnce) {
    const some = Math.min(atOnce, count - k);
    for (const { row, rows: seen, read } of rowWindows(context, { read: [values, rest] })) {
      const [value, left] = read;
      const to = bindMatrix(part(out, { row: k * rows + row, rows: some * seen }), "read_write");
      context.run(
        RESIDUALS,
        [value.binding, reads(salient), left.binding, reads(candidates), to.binding],
        [
          ...[seen, cols, first + k, some],
          ...[value.offset, denseOffset(salient), left.offset, denseOffset(candidates), to.offset],
        ],
        grid(context, seen * some),
      );
    }
  }
}

/** See `cutByBest`. */
export function gpuChooseSplit(
  context: GpuContext,
  codes: Matrix<"u8">,
  { values, salient, candidates, errors, firstGroup }: ChoiceOperands,
): void {
  const cuts = context.scratch("f32", 2, UNSET);
  const places = [candidates.cols, denseOffset(candidates), denseOffset(errors)];
  context.run(BEST, [reads(candidates), reads(errors), writesBuffer(cuts)], places, [1]);
  const { cols } = values, salientAt = denseOffset(salient);
  for (const { rows, read: [value], written: [out] } of rowWindows(context, { read: [values], written: [codes] })) {
    context.run(
      CODES,
      [value.binding, reads(salient), readsBuffer(cuts), out.binding],
      [rows, cols, 0, firstGroup, value.offset, salientAt, out.offset],
      grid(context, rows * cols),
    );
  }
  context.release(cuts);
}
