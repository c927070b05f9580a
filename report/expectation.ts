/** What a recipe says its result must be. */

/** A perplexity that is to be met. */
export interface Expectation {
  readonly value: number;
  /** Relative tolerance: 0.03 is 3 %. */
  readonly within: number;
}

/** By evaluation. */
export type Expectations = Readonly<Record<string, Expectation>>;

/**
 * Whether a perplexity is what it is expected to be; one that is not finite never is.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const expected = { value: 20, within: 0.05 };
 * assert.deepEqual([20.9, 21.1, Infinity, NaN].map((value) => meets(value, expected)), [true, false, false, false]);
 * ```
 */
export function meets(value: number, { value: expected, within }: Expectation): boolean {
  return Math.abs(value / expected - 1) <= within;
}
