/** Pruning of column blocks: after a mask, or column by column. */
import { dense } from "../cpu_buffer.ts";
import { expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type PruneColumnsOperands, pruneColumnsSweep } from "./prune_columns.ts";
import { gpuPruneColumns, gpuPruneWeights } from "./prune_webgpu.ts";
import { rowUnit, storedValue } from "./stored_value.ts";

/**
 * values := w where the rank is ≥ `pruned`, rounded to float16 (`storedValue`) if `half`, else 0; kept := 1 there, else 0. All are
 * rows × cols.
 */
export const pruneWeights: Op<
  [
    values: Matrix,
    kept: Matrix<"u8">,
    w: Matrix,
    options: { readonly rank: Matrix<"u8">; readonly pruned: number; readonly half: boolean },
  ]
> = {
  name: "pruneWeights",
  check(values, kept, { rows, cols }, { rank }) {
    for (const m of [values, kept, rank]) expectShape("pruneWeights", m, rows, cols);
  },
  cpu(_, values, kept, w, { rank, pruned, half }) {
    const [out, marks, from, ranks] = [dense(values), dense(kept), dense(w), dense(rank)], { cols } = w;
    for (let start = 0; start < from.length; start += cols) {
      const unit = half ? rowUnit(from, start, cols) : 1;
      for (let at = start; at < start + cols; at++) {
        const stays = ranks[at] >= pruned;
        marks[at] = stays ? 1 : 0;
        out[at] = !stays ? 0 : half ? storedValue(from[at], unit) : from[at];
      }
    }
  },
  gpu: gpuPruneWeights,
};

/** Prunes column by column and feeds errors forward; errors (rows × cols) := what is left to feed on; see `pruneColumnsSweep`. */
export const pruneColumns: Op<
  [values: Matrix, kept: Matrix<"u8">, errors: Matrix, options: PruneColumnsOperands]
> = {
  name: "pruneColumns",
  check(values, kept, errors, { w: { rows, cols }, factor, masks }) {
    for (const m of [values, kept, errors]) expectShape("pruneColumns", m, rows, cols);
    expectShape("pruneColumns", factor, cols, cols);
    if ("rank" in masks) return expectShape("pruneColumns", masks.rank, rows, cols);
    expectShape("pruneColumns", masks.columnWeight, 1, cols);
    if (cols % masks.of === 0) return;
    throw new RangeError(`Cannot prune columns as there must be a multiple of ${masks.of}: current value is ${cols}`);
  },
  cpu(_, values, kept, errors, { w, factor, masks, ...rest }) {
    pruneColumnsSweep(dense(values), dense(kept), dense(errors), {
      ...rest,
      w: dense(w),
      factor: dense(factor),
      rows: w.rows,
      cols: w.cols,
      masks: "rank" in masks ? { rank: dense(masks.rank) } : { ...masks, columnWeight: dense(masks.columnWeight) },
    });
  },
  gpu: gpuPruneColumns,
};
