/** How little a block changes its input: the cosine similarity behind the layer redundancy of the coarse search (2411.03513). */
import type { Similarity } from "./forward_protocol.ts";

/**
 * Cosine sums of two arrays, in float64.
 *
 * @param input tokens × width
 * @param output tokens × width
 * @param width size of a token's hidden state
 */
export function similarity(input: Float32Array, output: Float32Array, width: number): Similarity {
  let [tokenSum, dot, inNorm, outNorm] = [0, 0, 0, 0];
  for (let at = 0; at < input.length; at += width) {
    let [product, before, after] = [0, 0, 0];
    for (let i = at; i < at + width; i++) {
      const [x, y] = [input[i], output[i]];
      product += x * y;
      before += x * x;
      after += y * y;
    }
    tokenSum += product / Math.max(Math.sqrt(before * after), Number.MIN_VALUE);
    dot += product;
    inNorm += before;
    outNorm += after;
  }
  return { tokenSum, tokens: input.length / width, dot, inNorm, outNorm };
}

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
