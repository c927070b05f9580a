/** How row kernels on WebGPU share their work out among dispatches. */
import type { ElementType, Matrix } from "../device_buffer.ts";
import { type GpuBinding, WINDOW_ALIGNMENT } from "./op.ts";
import { denseOffset } from "./dispatch.ts";

/** Consecutive rows of one dispatch. */
export interface RowTile {
  readonly first: number;
  readonly rows: number;
}

/** What one row takes of a dispatch. */
export interface RowCost {
  /** Elements of scratch. */
  readonly scratch: number;
  /** Elements of the widest matrix that is bound. */
  readonly cols: number;
  /** Rounds of inner loops, over all threads. */
  readonly work: number;
}

// Of one dispatch: scratch well below any adapter's binding, and time below a watchdog's.
const MOST_SCRATCH = 2 ** 23, MOST_WORK = 2 ** 30;

/**
 * Cuts rows into dispatches.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const limits = { bindable: 2 ** 25, limits: { maxComputeWorkgroupsPerDimension: 65535 } };
 * assert.deepEqual(rowTiles(limits, 5, { scratch: 2 ** 22, cols: 8, work: 1 }), [
 *   { first: 0, rows: 2 },
 *   { first: 2, rows: 2 },
 *   { first: 4, rows: 1 },
 * ]);
 * ```
 */
export function rowTiles(
  { bindable, limits }: {
    readonly bindable: number;
    readonly limits: Pick<GPUSupportedLimits, "maxComputeWorkgroupsPerDimension">;
  },
  rows: number,
  { scratch, cols, work }: RowCost,
): RowTile[] {
  const bound = Math.min((bindable - WINDOW_ALIGNMENT) / cols, Math.min(MOST_SCRATCH, bindable) / scratch);
  const most = Math.min(bound, MOST_WORK / work, limits.maxComputeWorkgroupsPerDimension);
  const step = Math.max(1, Math.floor(most)), tiles: RowTile[] = [];
  for (let first = 0; first < rows; first += step) tiles.push({ first, rows: Math.min(step, rows - first) });
  return tiles;
}

/** Some rows of a matrix as a binding, and the element of it at which they begin. */
export interface BoundRows {
  readonly binding: GpuBinding;
  readonly at: number;
}

/**
 * Binds the rows of a tile.
 *
 * @throws {RangeError} when the matrix has gaps, or does not lie in its buffer
 */
export function bindRows(m: Matrix<ElementType>, tile: RowTile, access: GpuBinding["access"]): BoundRows {
  const begin = denseOffset(m) + tile.first * m.cols, at = begin % WINDOW_ALIGNMENT;
  return { binding: { buffer: m.buffer, access, first: begin - at, count: at + tile.rows * m.cols }, at };
}

/** Binds all of a matrix without gaps, to be read. */
export function bindWhole(m: Matrix<ElementType>): BoundRows {
  return bindRows(m, { first: 0, rows: m.rows }, "read");
}

/** Binds matrices and, last, scratch of the row kernels; `offsets` are the matrices' in the order given. */
export function bind(
  bound: readonly BoundRows[],
  scratch: GpuBinding["buffer"],
): { readonly bindings: readonly GpuBinding[]; readonly offsets: readonly number[] } {
  const bindings = [...bound.map(({ binding }) => binding), { buffer: scratch, access: "read_write" } as const];
  return { bindings, offsets: bound.map(({ at }) => at) };
}

/** Consecutive columns of one dispatch. */
export interface ColumnRange {
  readonly from: number;
  readonly to: number;
}

// Of one thread of one dispatch: Mesa's llvmpipe silently leaves all loops after 65535 rounds in total, and a watchdog ends long ones.
const MOST_ROUNDS = 60_000;

/**
 * Cuts columns into dispatches.
 *
 * @param cost loop rounds of one thread for the column, or for the step of columns that begins at it
 * @param step columns that stay together
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(columnRanges(5, () => 20_000), [{ from: 0, to: 3 }, { from: 3, to: 5 }]);
 * assert.deepEqual(columnRanges(5, () => 50_000, 4), [{ from: 0, to: 4 }, { from: 4, to: 5 }]);
 * ```
 */
export function columnRanges(cols: number, cost: (column: number) => number, step = 1): ColumnRange[] {
  const ranges: ColumnRange[] = [];
  for (let from = 0, to = 0; from < cols; from = to) {
    let rounds = cost(from);
    to = from + step;
    while (to < cols && rounds + cost(to) <= MOST_ROUNDS) {
      rounds += cost(to);
      to += step;
    }
    to = Math.min(to, cols);
    ranges.push({ from, to });
  }
  return ranges;
}
