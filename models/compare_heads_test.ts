import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import { plainLogits, randomWeights } from "./plain_forward_test_support.ts";
import type { ModelSpec } from "./spec.ts";

const LLAMA = {
  ...{ model_type: "llama", hidden_size: 24, intermediate_size: 40, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 31, rope_theta: 100 },
};
const SHARPNESS = 5;
const SIZE = { windows: 3, length: 7 };

const CASES: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["a tied head", { ...LLAMA, tie_word_embeddings: true }],
  ["a head of its own over many tokens", { ...LLAMA, tie_word_embeddings: false, vocab_size: 20_000 }],
  ["OPT with projections", {
    ...{
      model_type: "opt",
      hidden_size: 32,
      ffn_dim: 48,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      vocab_size: 31,
    },
    ...{ max_position_embeddings: 20, word_embed_proj_dim: 16, do_layer_norm_before: false },
  }],
];

for (const [name, config] of CASES) {
  Deno.test(`HeadRun.compare() agrees with float64: ${name}`, async () => {
    const spec = modelSpec(config),
      [own, originals] = [2, 7].map((seed) => {
        const weights = randomWeights(spec, seed);
        // A few tokens are likely, and most are not, as models have it.
        weights[spec.frame.head] = weights[spec.frame.head].map((value) => SHARPNESS * value);
        return weights;
      });
    const tokens = SIZE.windows * SIZE.length;
    const states = (seed: number) =>
      Float32Array.from({ length: tokens * spec.hidden }, (_, i) => 2 * Math.sin(seed + i * i % 977));
    const [hidden, original, near] = [states(1), states(1.2), states(1.2001)];
    const ids = Int32Array.from({ length: tokens }, (_, i) => (7 * i * i + 3) % spec.vocab);
    // A budget of some tokens: parts are put together.
    const forward = await openForward(spec, { threads: 1, memoryBudget: 8 * 5 * spec.vocab });
    try {
      const [head, other] = [await forward.openHead(own), await forward.openHead(originals)];
      const found = await head.compare(other, [hidden.slice(), original.slice()], ids, SIZE);
      const [q, p] = [logs(spec, own, hidden), logs(spec, originals, original)];
      const of = (values: Float64Array, token: number) => values.subarray(token * spec.vocab, (token + 1) * spec.vocab);
      const away = (its: Float64Array, mine: Float64Array) =>
        its.reduce((sum, log, i) => sum + Math.exp(log) * (log - mine[i]), 0);
      let at = 0;
      for (let token = 0; token < tokens; token++) {
        if ((token + 1) % SIZE.length === 0) continue;
        const [mine, its] = [of(q, token), of(p, token)], divergence = away(its, mine);
        const close = (value: number, wanted: number) =>
          assert.ok(Math.abs(value - wanted) <= 1e-5 * Math.max(1, Math.abs(wanted)), `${value}, not ${wanted}`);
        close(found.loss[at], -mine[ids[token + 1]]);
        close(found.originalLoss[at], -its[ids[token + 1]]);
        close(found.divergence[at], divergence);
        const best = (values: Float64Array) => values.indexOf(values.reduce((a, b) => Math.max(a, b)));
        assert.equal(found.same[at], Number(best(mine) === best(its)));
        at++;
      }
      assert.equal(at, found.loss.length);
      // Small ones are not lost in what sums over a large vocabulary are rounded by: 2e-7, and 5e-7 if they were not made part by part.
      const nearly = await other.compare(other, [near.slice(), original.slice()], ids, SIZE);
      const r = logs(spec, originals, near);
      for (const [at, value] of nearly.divergence.entries()) {
        const token = at + Math.floor(at / (SIZE.length - 1)), wanted = away(of(p, token), of(r, token));
        assert.ok(wanted < 1e-3 && Math.abs(value - wanted) < 3e-7, `${value}, not ${wanted}`);
      }
      const alike = await other.compare(other, [original.slice(), original.slice()], ids, SIZE);
      assert.ok(alike.divergence.every((value) => Math.abs(value) < 1e-6) && alike.same.every((same) => same === 1));
      await head.close();
      await assert.rejects(
        () => other.compare(head, [hidden.slice(), original.slice()], ids, SIZE),
        /none of this model/,
      );
    } finally {
      await forward.close();
    }
  });
}

/** Logarithms of the probabilities of all tokens, after each. */
function logs(spec: ModelSpec, weights: Readonly<Record<string, Float32Array>>, hidden: Float32Array): Float64Array {
  const rows = hidden.length / spec.hidden;
  const { data } = plainLogits(spec, weights, { rows, cols: spec.hidden, data: Float64Array.from(hidden) });
  for (let row = 0; row < rows; row++) {
    const of = data.subarray(row * spec.vocab, (row + 1) * spec.vocab), most = of.reduce((a, b) => Math.max(a, b));
    const total = most + Math.log(of.reduce((sum, value) => sum + Math.exp(value - most), 0));
    for (let i = 0; i < of.length; i++) of[i] -= total;
  }
  return data;
}
