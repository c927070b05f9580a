/** How row kernels on WebGPU share their work out among dispatches. */

/** Lanes of a workgroup of the row kernels. */
export const LANES = 64;

/** Consecutive rows of one dispatch. */
export interface RowTile {
  readonly first: number;
  readonly rows: number;
}

// What one dispatch may take: scratch well below the smallest binding that adapters promise, and time below a watchdog's.
const MOST_SCRATCH = 2 ** 23, MOST_WORK = 2 ** 30, MOST_WORKGROUPS = 65535;

/**
 * Cuts rows into dispatches.
 *
 * @param perRow.scratch elements of scratch that a row takes
 * @param perRow.work rounds of inner loops that a row takes, over all lanes
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(rowTiles(5, { scratch: 2 ** 22, work: 1 }), [
 *   { first: 0, rows: 2 },
 *   { first: 2, rows: 2 },
 *   { first: 4, rows: 1 },
 * ]);
 * ```
 */
export function rowTiles(rows: number, perRow: { readonly scratch: number; readonly work: number }): RowTile[] {
  const most = Math.min(MOST_SCRATCH / perRow.scratch, MOST_WORK / perRow.work, MOST_WORKGROUPS);
  const step = Math.max(1, Math.floor(most)), tiles: RowTile[] = [];
  for (let first = 0; first < rows; first += step) tiles.push({ first, rows: Math.min(step, rows - first) });
  return tiles;
}

/** Consecutive columns of one dispatch. */
export interface ColumnRange {
  readonly from: number;
  readonly to: number;
}

/**
 * Cuts the columns of a sweep, where column j looks back at j others, into dispatches.
 *
 * @param most pairs of columns in one dispatch
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(columnRanges(4, 3), [{ from: 0, to: 3 }, { from: 3, to: 4 }]);
 * ```
 */
export function columnRanges(cols: number, most: number = 2 ** 19): ColumnRange[] {
  const ranges: ColumnRange[] = [];
  for (let from = 0, to = 0, pairs = 0; from < cols; from = to, pairs = 0) {
    do pairs += to++; while (to < cols && pairs + to <= most);
    ranges.push({ from, to });
  }
  return ranges;
}
