/**
 * A matrix of many rows in strips of rows that are quantized by themselves, and the bits that each may have.
 *
 * Rows do not depend on each other given the Hessian, so strips bound what is worked on at once, and may be worked on side by side.
 */

/** Shape of a matrix, and the rows of a strip; the last strip may have fewer. */
export interface Strips {
  readonly rows: number;
  readonly cols: number;
  readonly strip: number;
}

/** Weights of a strip, at most, unless a row has more. */
const STRIP_WEIGHTS = 1 << 22;

/**
 * Cuts a matrix, into strips that are as long as each other but for the last.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { stripsOf } from "./strips.ts";
 *
 * assert.deepEqual(stripsOf(49_152, 576), { rows: 49_152, cols: 576, strip: 7022 });
 * assert.deepEqual(stripsOf(10, 4), { rows: 10, cols: 4, strip: 10 });
 * ```
 */
export function stripsOf(rows: number, cols: number): Strips {
  const count = Math.min(rows, Math.ceil(rows * cols / STRIP_WEIGHTS));
  return { rows, cols, strip: Math.ceil(rows / count) };
}

/** First rows of the strips, and how many rows each has. */
export function eachStrip({ rows, strip }: Strips): { readonly row: number; readonly rows: number }[] {
  return Array.from(
    { length: Math.ceil(rows / strip) },
    (_, i) => ({ row: i * strip, rows: Math.min(strip, rows - i * strip) }),
  );
}

/** Bits a weight that a strip has at least and at most. */
const LEAST_BITS = 0.1, MOST_BITS = 12;

/**
 * Shares bits among strips so that all of them are as far off, as reverse waterfilling has it (Cover & Thomas, Elements of Information
 * Theory, 10.3.3): where columns of a strip are twice as large, their weights get a bit more.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { stripBits } from "./strips.ts";
 *
 * const weight = Float32Array.of(1, -1, 2, -2);
 * assert.deepEqual(stripBits(weight, { rows: 2, cols: 2, strip: 1 }, 3).map((bits) => bits.toFixed(6)), ["2.500000", "3.500000"]);
 * ```
 * @param weight rows × cols
 * @param bits a weight, of the whole matrix: from 0.1 to 12
 * @returns bits a weight of each strip, whose mean over rows is `bits`
 */
export function stripBits(weight: Float32Array, strips: Strips, bits: number): number[] {
  const { rows, cols } = strips, cut = eachStrip(strips);
  const sizes = cut.map(({ row, rows }) => logSize(weight.subarray(row * cols, (row + rows) * cols), cols));
  const given = (level: number) => sizes.map((size) => Math.min(MOST_BITS, Math.max(LEAST_BITS, size + level)));
  const mean = (shares: readonly number[]) => shares.reduce((sum, each, i) => sum + each * cut[i].rows, 0) / rows;
  const finite = sizes.filter(Number.isFinite);
  let low = -Math.max(0, ...finite) - MOST_BITS, high = MOST_BITS - Math.min(0, ...finite);
  if (finite.length === 0) return cut.map(() => bits);
  // Bisection to the last bit of a float64.
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (mean(given(middle)) > bits) high = middle;
    else low = middle;
  }
  return given(low);
}

/** Mean over columns of log2 of their root mean square; columns of zeros are left out. −∞ where all are. */
function logSize(weight: Float32Array, cols: number): number {
  const squares = new Float64Array(cols), rows = weight.length / cols;
  for (let i = 0, at = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, at++) squares[j] += weight[at] ** 2;
  }
  const live = squares.filter((square) => square > 0);
  if (live.length === 0) return -Infinity;
  return live.reduce((sum, square) => sum + Math.log2(square / rows) / 2, 0) / live.length;
}
