import assert from "node:assert/strict";
import { divergence, divergences } from "./divergence.ts";

/** KL(p ‖ q) summed over tokens, from probabilities in float64. */
function reference(p: readonly number[], q: readonly number[], vocab: number): number {
  let all = 0;
  for (let at = 0; at < p.length; at += vocab) {
    const soft = (values: readonly number[]) => {
      const exps = values.slice(at, at + vocab).map(Math.exp), sum = exps.reduce((a, b) => a + b);
      return exps.map((e) => e / sum);
    };
    const b = soft(q);
    soft(p).forEach((a, i) => all += a * Math.log(a / b[i]));
  }
  return all;
}

const VOCAB = 11, HIDDEN = 3, TOKENS = 70;
const signal = new AbortController().signal;

function states(seed: number): Float32Array {
  return Float32Array.from({ length: TOKENS * HIDDEN }, (_, i) => Math.sin(seed + i * i));
}

/** A head: logit v of a token is Σ_h h-th state · sin(v + h). */
function logits(hidden: Float32Array): Float32Array {
  return Float32Array.from({ length: hidden.length / HIDDEN * VOCAB }, (_, at) => {
    const token = Math.floor(at / VOCAB);
    return 5 * [0, 1, 2].reduce((sum, h) => sum + hidden[token * HIDDEN + h] * Math.sin(at % VOCAB + h), 0);
  });
}

Deno.test("divergence() is Σ p·ln(p/q), wherever logits lie", () => {
  const [p, q] = [1, 2].map((seed) => logits(states(seed)));
  const wanted = reference([...p], [...q], VOCAB);
  assert.ok(Math.abs(divergence(p, q, VOCAB) / wanted - 1) < 1e-9);
  const far = q.map((value) => value + 1000);
  assert.ok(Math.abs(divergence(p, far, VOCAB) / wanted - 1) < 1e-4);
  assert.equal(divergence(p, p, VOCAB), 0);
});

Deno.test("divergences() is the mean over all tokens, chunk by chunk", async () => {
  const [original, other] = [1, 2].map(states);
  const head = { logits: (hidden: Float32Array) => Promise.resolve(logits(hidden)) };
  const options = { streams: [other, original], hidden: HIDDEN, vocab: VOCAB, signal };
  const [found, none] = await divergences(head, original, options);
  assert.ok(Math.abs(found / (divergence(logits(original), logits(other), VOCAB) / TOKENS) - 1) < 1e-9);
  assert.equal(none, 0);
  const broken = { logits: (hidden: Float32Array) => Promise.resolve(logits(hidden).fill(NaN)) };
  await assert.rejects(divergences(broken, original, options), /must be finite: current value is NaN/);
});
