/** The keep patterns of N:M in a fixed order, so that a pattern is one number below C(M, N). */

/** Largest M whose patterns are enumerated: larger ones do not fit the tables; a bitmask is within 6 % of them there. */
export const MAX_RANKED_OF = 32;

/** Patterns up to this M are looked up, larger ones computed. */
const MAX_TABLE_OF = 16;

/** Order of the patterns that keep `keep` of `of`. */
export interface PatternOrder {
  /** C(of, keep). */
  readonly count: number;
  /** @param pattern bit i set: position i is kept; exactly `keep` bits are set */
  rank(pattern: number): number;
  /** @param rank 0..count−1 */
  pattern(rank: number): number;
}

/**
 * Enumerates patterns by the combinatorial number system: rank = Σ C(c_i, i + 1) over kept positions c_0 < c_1 < ….
 * Source: D. H. Lehmer, The machine tools of combinatorics, 1964.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const order = patternOrder(8, 4);
 * assert.equal(order.count, 70);
 * assert.equal(order.rank(0b00001111), 0);
 * assert.equal(order.pattern(69), 0b11110000);
 * ```
 * @param of M, 1..32
 * @param keep N, 0..M
 * @throws {RangeError} outside these ranges
 */
export function patternOrder(of: number, keep: number): PatternOrder {
  if (!Number.isInteger(of) || of < 1 || of > MAX_RANKED_OF || !Number.isInteger(keep) || keep < 0 || keep > of) {
    throw new RangeError(
      `Cannot enumerate patterns as N:M must be 0 ≤ N ≤ M ≤ ${MAX_RANKED_OF}: current value is ${keep}:${of}`,
    );
  }
  const choose = binomials(of);
  const count = choose[of][keep];
  const rank = (pattern: number) => {
    let sum = 0;
    for (let position = 0, found = 0; position < of; position++) {
      if ((pattern >>> position) & 1) sum += choose[position][++found];
    }
    return sum;
  };
  const unrank = (rank: number) => {
    let pattern = 0;
    for (let position = of - 1, left = keep; left > 0; position--) {
      if (choose[position][left] > rank) continue;
      rank -= choose[position][left--];
      pattern |= 1 << position;
    }
    return pattern >>> 0;
  };
  if (of > MAX_TABLE_OF) return { count, rank, pattern: unrank };
  const patterns = Uint32Array.from({ length: count }, (_, index) => unrank(index));
  const ranks = new Uint32Array(1 << of);
  patterns.forEach((pattern, index) => ranks[pattern] = index);
  return { count, rank: (pattern) => ranks[pattern], pattern: (index) => patterns[index] };
}

/** Pascal's triangle: [n][k] for n ≤ of, zero where k > n. */
export function binomials(of: number): readonly (readonly number[])[] {
  const rows = [[1, ...Array<number>(of + 1).fill(0)]];
  for (let n = 1; n <= of; n++) rows.push(rows[n - 1].map((value, k) => value + (k > 0 ? rows[n - 1][k - 1] : 0)));
  return rows;
}
