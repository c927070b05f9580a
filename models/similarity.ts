/** How alike the input and the output of a block are, for the coarse search's redundancy (2411.03513). */
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
