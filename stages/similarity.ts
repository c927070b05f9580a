/** How little a block changes its input: the cosine similarity behind the layer redundancy of coarse-search. */

import type { Similarity } from "../models/forward.ts";

export type { Similarity } from "../models/forward.ts";

/** Of no tokens. */
export const NO_SIMILARITY: Similarity = { tokenSum: 0, tokens: 0, dot: 0, inNorm: 0, outNorm: 0 };

/** Of the tokens of both. */
export function addSimilarity(a: Similarity, b: Similarity): Similarity {
  return {
    tokenSum: a.tokenSum + b.tokenSum,
    tokens: a.tokens + b.tokens,
    dot: a.dot + b.dot,
    inNorm: a.inNorm + b.inNorm,
    outNorm: a.outNorm + b.outNorm,
  };
}

/**
 * Layer redundancy (arXiv 2411.03513; PBS²P Eq. 3): the mean of the tokens' cosines, or one cosine of all values.
 *
 * @returns −1..1; high means redundant
 */
export function redundancy(sums: Similarity, of: "token" | "flattened"): number {
  if (of === "token") return sums.tokenSum / sums.tokens;
  return sums.dot / Math.sqrt(sums.inNorm * sums.outNorm);
}
