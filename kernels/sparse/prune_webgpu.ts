/** Pruning of column blocks on WebGPU. */
import pruneColumnsCode from "./prune_columns.wgsl" with { type: "text" };
import pruneScoresCode from "./prune_scores.wgsl" with { type: "text" };
import pruneWeightsCode from "./prune_weights.wgsl" with { type: "text" };
import rowLargestCode from "./row_largest.wgsl" with { type: "text" };
import storedValueCode from "./stored_value.wgsl" with { type: "text" };
import { type Matrix, matrix, part } from "../device.ts";
import { grid, GROUP_THREADS, withTwoFloat, writesBuffer } from "../gpu/dispatch.ts";
import type { GpuBuffer, GpuContext, GpuOp } from "../gpu/op.ts";
import { bind, bindRows, bindWhole, columnRanges, type RowTile, rowTiles } from "../gpu/row_tiles.ts";
import { copy } from "../matrix/ops.ts";
import { rank } from "../scores/ops.ts";
import type { PruneColumnsOperands } from "./prune_columns.ts";

const ROW_LARGEST: GpuOp = { name: "row_largest", code: rowLargestCode };
const PRUNE_WEIGHTS: GpuOp = { name: "prune_weights", code: `${storedValueCode}\n${pruneWeightsCode}` };
const PRUNE_SCORES: GpuOp = { name: "prune_scores", code: withTwoFloat(pruneScoresCode) };
const PRUNE_COLUMNS: GpuOp = {
  name: "prune_columns",
  code: withTwoFloat(`${storedValueCode}\n${pruneColumnsCode}`),
  constants: { THREADS: GROUP_THREADS },
};

/** See `pruneWeights`. */
export function gpuPruneWeights(
  context: GpuContext,
  values: Matrix,
  kept: Matrix<"u8">,
  w: Matrix,
  { rank, pruned, half }: { readonly rank: Matrix<"u8">; readonly pruned: number; readonly half: boolean },
): void {
  const { rows, cols } = w;
  for (const tile of rowTiles(context, rows, { scratch: 1, cols, work: cols })) {
    const largest = largestOf(context, w, tile, half);
    const { bindings, offsets } = bind([
      bindRows(w, tile, "read"),
      bindRows(rank, tile, "read"),
      bindRows(values, tile, "read_write"),
      bindRows(kept, tile, "read_write"),
    ], largest);
    const params = [tile.rows * cols, cols, pruned, Number(half), ...offsets];
    context.run(PRUNE_WEIGHTS, bindings, params, grid(context, tile.rows * cols));
    context.release(largest);
  }
}

/**
 * See `pruneColumnsSweep`. Errors are fed forward as pairs of floats (48 bits), so that masks are the CPU's but for ties beyond that.
 *
 * @param kept rows × cols, overwritten
 */
export function gpuPruneColumns(
  context: GpuContext,
  values: Matrix,
  kept: Matrix<"u8">,
  errors: Matrix,
  { w, factor, masks, pruned, half }: PruneColumnsOperands,
): void {
  const { rows, cols } = w, run = "rank" in masks ? cols : masks.of;
  // The sweep finds ranks where it leaves marks.
  if ("rank" in masks) copy.gpu(context, kept, masks.rank);
  for (const tile of rowTiles(context, rows, { scratch: 2 * cols, cols, work: cols })) {
    const fed = context.scratch("f32", 2 * cols * tile.rows), largest = largestOf(context, w, tile, half);
    const { bindings, offsets } = bind([
      bindRows(w, tile, "read"),
      bindWhole(factor),
      bindRows(values, tile, "read_write"),
      bindRows(kept, tile, "read_write"),
      bindRows(errors, tile, "read_write"),
    ], largest);
    for (let first = 0; first < cols; first += run) {
      if (!("rank" in masks)) {
        chooseMask(context, part(kept, { row: tile.first, rows: tile.rows, col: first, cols: run }), {
          ...{ w, factor, tile, first, fed, columnWeight: masks.columnWeight },
        });
      }
      for (const { from, to } of columnRanges(run, (col) => first + col + 8)) {
        const params = [tile.rows, cols, first + from, first + to, pruned, Number(half), ...offsets];
        const groups = Math.ceil(tile.rows / GROUP_THREADS);
        context.run(PRUNE_COLUMNS, [...bindings, writesBuffer(fed)], params, [groups]);
      }
    }
    context.release(fed);
    context.release(largest);
  }
}

/** Ranks some columns of a tile by what errors so far have made of them. */
function chooseMask(
  context: GpuContext,
  out: Matrix<"u8">,
  { w, factor, tile, first, fed, columnWeight }: Pick<PruneColumnsOperands, "w" | "factor"> & {
    readonly tile: RowTile;
    readonly first: number;
    readonly fed: GpuBuffer;
    readonly columnWeight: Matrix;
  },
): void {
  const { rows, cols } = out;
  const scores = matrix(context.scratch("f32", rows * cols, { zeroed: false }), rows, cols);
  const ranks = matrix(context.scratch("u8", rows * cols, { zeroed: false }), rows, cols);
  const { bindings, offsets } = bind([bindRows(w, tile, "read"), bindWhole(factor), bindWhole(columnWeight)], fed);
  const [from, by, weight] = bindings;
  const params = [rows, w.cols, first, cols, ...offsets];
  context.run(
    PRUNE_SCORES,
    [from, by, weight, writesBuffer(scores.buffer), writesBuffer(fed)],
    params,
    grid(context, rows * cols),
  );
  rank.gpu(context, ranks, scores, { of: cols, type: "semi-structured" });
  copy.gpu(context, out, ranks);
  context.release(scores.buffer);
  context.release(ranks.buffer);
}

/** The bits of the largest magnitude of each row of a tile, where kept weights are rounded. */
function largestOf(context: GpuContext, w: Matrix, tile: RowTile, half: boolean): GpuBuffer<"u32"> {
  const largest = context.scratch("u32", tile.rows);
  if (!half) return largest;
  const { bindings, offsets } = bind([bindRows(w, tile, "read")], largest);
  for (const { from, to } of columnRanges(w.cols, () => 1)) {
    const groups = Math.ceil(tile.rows / GROUP_THREADS);
    context.run(ROW_LARGEST, bindings, [tile.rows, w.cols, from, to, ...offsets], [groups]);
  }
  return largest;
}
