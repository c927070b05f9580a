/** Second moments of what the head's matrix multiplies, against plain loops in float64. */
import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import { type Matrix, plainLogits, randomWeights } from "./plain_forward_test_support.ts";

const LLAMA = {
  model_type: "llama",
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  vocab_size: 31,
};
const OPT = {
  ...{ model_type: "opt", hidden_size: 32, ffn_dim: 48, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ vocab_size: 31, max_position_embeddings: 20 },
};

const CASES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "llama, tied": { ...LLAMA, tie_word_embeddings: true },
  "llama, with a head of its own": { ...LLAMA, tie_word_embeddings: false },
  "in several strips": { ...LLAMA, hidden_size: 1104, intermediate_size: 8 },
  "opt": OPT,
  "opt with projections and no final norm": { ...OPT, do_layer_norm_before: false, word_embed_proj_dim: 16 },
};

for (const [name, config] of Object.entries(CASES)) {
  Deno.test(`openHeadInput() gathers what float64 gives, over several batches: ${name}`, async () => {
    const spec = modelSpec(config), weights = randomWeights(spec, 3), size = spec.embedding;
    // With I for its matrix, the head puts out what it multiplies.
    const identity = Float32Array.from({ length: size * size }, (_, i) => i % (size + 1) === 0 ? 1 : 0);
    const seen = { ...weights, [spec.frame.head]: identity };
    const [windows, length] = [3, 7], tokens = windows * length;
    const hidden = Float32Array.from({ length: tokens * spec.hidden }, (_, i) => Math.sin(i * i) + 0.1);
    const states: Matrix = { rows: tokens, cols: spec.hidden, data: Float64Array.from(hidden) };
    const x = plainLogits({ ...spec, vocab: size }, seen, states);
    const forward = await openForward(spec, { threads: 1 });
    try {
      const run = await forward.openHeadInput(weights);
      const cut = 2 * length * spec.hidden;
      await run.gather(hidden.slice(0, cut), { windows: 2, length });
      await run.gather(hidden.slice(cut), { windows: 1, length });
      const { head } = await run.finish();
      assert.deepEqual([head.size, head.windows, head.tokens], [size, windows, tokens]);
      const upper = head.upper ?? assert.fail("nothing was gathered");
      let at = 0, off = 0, all = 0;
      for (let i = 0; i < size; i++) {
        for (let j = i; j < size; j++, at++) {
          let sum = 0;
          for (let t = 0; t < tokens; t++) sum += x.data[t * size + i] * x.data[t * size + j];
          off += (upper[at] - sum) ** 2;
          all += sum ** 2;
        }
      }
      assert.equal(at, upper.length);
      assert.ok(Math.sqrt(off / all) < 1e-6, `${Math.sqrt(off / all)}`);
    } finally {
      await forward.close();
    }
  });
}

Deno.test("openHeadInput() refuses hidden states and tensors that do not fit", async () => {
  const spec = modelSpec({ ...LLAMA, tie_word_embeddings: true }), weights = randomWeights(spec, 3);
  const forward = await openForward(spec, { threads: 1 });
  try {
    await assert.rejects(forward.openHeadInput({}), /"model\.norm\.weight" must hold \[24\] values: found undefined/);
    const run = await forward.openHeadInput(weights);
    await assert.rejects(run.gather(new Float32Array(23), { windows: 1, length: 1 }), /must be 1 × 1 × 24/);
  } finally {
    await forward.close();
  }
});
