/** How far the next tokens that a model expects are from those that the original expects: KL divergence of logits. */
import type { HeadRun } from "../models/forward.ts";

/** Tokens whose logits are in memory at once. */
const TOKENS = 32;

/**
 * Σ over tokens of KL(p ‖ q), in nats; sums are in float64.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { divergence } from "./divergence.ts";
 *
 * const even = Float32Array.of(0, 0), sure = Float32Array.of(Math.log(3), 0);
 * assert.equal(divergence(even, even, 2), 0);
 * const wanted = 0.5 * Math.log(0.5 / 0.75) + 0.5 * Math.log(0.5 / 0.25);
 * assert.ok(Math.abs(divergence(even, sure, 2) - wanted) < 1e-7);
 * ```
 * @param p logits of the original, tokens × vocab
 * @param q logits of the other, the same
 */
export function divergence(p: Float32Array, q: Float32Array, vocab: number): number {
  let all = 0;
  for (let at = 0; at < p.length; at += vocab) {
    const end = at + vocab, [topP, topQ] = [largest(p, at, end), largest(q, at, end)];
    let sumP = 0, sumQ = 0, moved = 0;
    for (let i = at; i < end; i++) {
      const weight = Math.exp(p[i] - topP);
      sumP += weight;
      sumQ += Math.exp(q[i] - topQ);
      moved += weight * ((p[i] - topP) - (q[i] - topQ));
    }
    all += moved / sumP + Math.log(sumQ) - Math.log(sumP);
  }
  return all;
}

/**
 * Mean KL divergence of some streams of last hidden states from the original's, in nats a token.
 *
 * @param original tokens × hidden
 * @param streams the same of other models
 * @throws {Error} when one is not finite
 */
export async function divergences(
  head: Pick<HeadRun, "logits">,
  original: Float32Array,
  { streams, hidden, vocab, signal }: {
    readonly streams: readonly Float32Array[];
    readonly hidden: number;
    readonly vocab: number;
    readonly signal: AbortSignal;
  },
): Promise<number[]> {
  const sums = streams.map(() => 0), tokens = original.length / hidden;
  for (let first = 0; first < tokens; first += TOKENS) {
    signal.throwIfAborted();
    const cut = (values: Float32Array) => values.slice(first * hidden, (first + TOKENS) * hidden);
    const p = await head.logits(cut(original));
    for (const [index, stream] of streams.entries()) {
      sums[index] += divergence(p, await head.logits(cut(stream)), vocab);
    }
  }
  const means = sums.map((sum) => sum / tokens), broken = means.find((mean) => !Number.isFinite(mean));
  if (broken === undefined) return means;
  throw new Error(
    `Cannot compare the quantized model with the original as the divergence of their logits must be finite: current value is ${broken}`,
  );
}

function largest(values: Float32Array, from: number, to: number): number {
  let most = -Infinity;
  for (let i = from; i < to; i++) if (values[i] > most) most = values[i];
  return most;
}
