import assert from "node:assert/strict";
import { openForward } from "./forward.ts";
import { modelSpec } from "./config.ts";
import { plainBlock, plainEmbed, plainLogits, plainLoss, randomWeights } from "./plain_forward_test_support.ts";
import type { ModelSpec } from "./spec.ts";

const LLAMA = {
  model_type: "llama",
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  vocab_size: 31,
  rope_theta: 100,
};
const OPT = {
  model_type: "opt",
  hidden_size: 32,
  ffn_dim: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 31,
  max_position_embeddings: 20,
};
const LENGTH = 13;

/** Kinds of models; each differs from the first of its family in what its name says. */
const CASES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "llama with grouped queries": LLAMA,
  "llama with a head of its own": { ...LLAMA, tie_word_embeddings: false, num_key_value_heads: 4 },
  "llama with a tied head and one key head": { ...LLAMA, tie_word_embeddings: true, num_key_value_heads: 1 },
  "llama with biases": { ...LLAMA, attention_bias: true, mlp_bias: true },
  "llama with heads of 6": { ...LLAMA, head_dim: 6 },
  "llama with linear scaling": { ...LLAMA, rope_scaling: { type: "linear", factor: 4 } },
  "llama with dynamic scaling": { ...LLAMA, max_position_embeddings: 8, rope_scaling: { type: "dynamic", factor: 2 } },
  "llama with llama3 scaling": {
    ...LLAMA,
    rope_parameters: {
      rope_theta: 100,
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 100,
    },
  },
  "llama with an input in several strips": { ...LLAMA, intermediate_size: 1100, num_hidden_layers: 1 },
  "qwen2": { ...LLAMA, model_type: "qwen2" },
  "qwen3": { ...LLAMA, model_type: "qwen3" },
  "qwen3 with biases and heads of 6": { ...LLAMA, model_type: "qwen3", attention_bias: true, head_dim: 6 },
  "mistral in its window": { ...LLAMA, model_type: "mistral", sliding_window: LENGTH },
  "opt": OPT,
  "opt without biases": { ...OPT, enable_bias: false },
  "opt normalised after, with projections": { ...OPT, do_layer_norm_before: false, word_embed_proj_dim: 16 },
};

/** Models whose attention is also computed without the fused operator, as providers other than the cpu do. */
const PLAIN = [
  "llama with grouped queries",
  "llama with a tied head and one key head",
  "llama with heads of 6",
  "qwen3",
  "opt",
];

const runs = [
  ...Object.keys(CASES).map((name) => ({ name, fused: true })),
  ...PLAIN.map((name) => ({ name, fused: false })),
];

for (const { name, fused } of runs) {
  Deno.test(`openForward() agrees with float64: ${name}${fused ? "" : ", plain attention"}`, async () => {
    const spec = modelSpec(CASES[name]);
    const weights = randomWeights(spec, 5);
    const windows = tokenWindows(spec, 3);
    const size = { windows: windows.length, length: LENGTH };
    const ids = Int32Array.from(windows.flat());
    // A budget of nothing makes every window a batch of its own, so that sums over batches are tested too.
    const forward = await openForward(spec, { threads: 1, fused, memoryBudget: 1 });
    try {
      let states = windows.map((window) => plainEmbed(spec, weights, window));
      let hidden = await forward.embed(weights, ids, size);
      near(hidden, states.flatMap(({ data }) => [...data]), 1e-6);
      for (let block = 0; block < spec.blocks; block++) {
        const expected = states.map((state) => plainBlock(spec, weights, { block, hidden: state }));
        const full = await forward.openBlock(block, weights, { gather: "full", output: true, similarity: true });
        const { input, hidden: output, similarity } = await full.run(hidden, size);
        assert.ok(output && similarity);
        near(output, expected.flatMap((result) => [...result.output.data]), 1e-5);
        const sums = await full.finish();
        const diagonal = await forward.openBlock(block, weights, { gather: "diagonal", output: false });
        assert.equal((await diagonal.run(input, size)).hidden, undefined);
        const diagonals = await diagonal.finish();
        for (const key of ["attention", "output", "mlp", "down"]) {
          const inputs = expected.map((result) => result.inputs[key]);
          const cols = inputs[0].cols;
          const upper = upperProduct(inputs.flatMap(({ data }) => [...data]), cols);
          assert.deepEqual(
            { ...sums[key], upper: undefined },
            { size: cols, tokens: ids.length, windows: windows.length, upper: undefined },
          );
          near(sums[key].upper ?? [], upper, 1e-5);
          near(diagonals[key].diagonal ?? [], diagonalOf(upper, cols), 1e-5);
        }
        const [before, after] = [states, expected.map((result) => result.output)].map((list) =>
          list.flatMap(({ data }) => [...data])
        );
        checkSimilarity(similarity, { before, after, width: spec.hidden });
        hidden = output;
        states = expected.map((result) => result.output);
      }
      const logits = states.map((state) => plainLogits(spec, weights, state));
      near(await forward.logits(weights, hidden.slice()), logits.flatMap(({ data }) => [...data]), 1e-5);
      const losses = windows.map((window, i) => plainLoss(logits[i], window));
      near(await forward.loss(weights, hidden, ids, size), losses, 1e-5);
    } finally {
      await forward.close();
    }
  });
}

for (const { name, fused } of runs.filter(({ name }) => PLAIN.includes(name))) {
  const title = `${name}${fused ? "" : ", plain attention"}`;
  Deno.test(`BlockRun.run() continues a cached window as if it had come at once: ${title}`, async () => {
    const spec = modelSpec(CASES[name]);
    const weights = randomWeights(spec, 6);
    const [window] = tokenWindows(spec, 1);
    const forward = await openForward(spec, { threads: 1, fused });
    try {
      const size = { windows: 1, length: LENGTH };
      const hidden = await forward.embed(weights, Int32Array.from(window), size);
      const options = { gather: "none", output: true } as const;
      const once = await forward.openBlock(0, weights, options);
      const parts = await forward.openBlock(0, undefined, { ...options, cache: true });
      const outputs: number[] = [];
      for (const [start, end] of [[0, 5], [5, 6], [6, LENGTH]]) {
        await parts.setWeights(structuredClone(weights));
        const part = hidden.subarray(start * spec.hidden, end * spec.hidden);
        outputs.push(...(await parts.run(part, { windows: 1, length: end - start })).hidden ?? []);
        await parts.setWeights();
      }
      near(outputs, (await once.run(hidden, size)).hidden ?? [], 1e-5);
      await assert.rejects(parts.run(new Float32Array(2 * spec.hidden), { windows: 2, length: 1 }), /takes 1 window/);
    } finally {
      await forward.close();
    }
  });
}

Deno.test("HeadRun.loss() sums over a large vocabulary without losing small terms", async () => {
  const spec = modelSpec({ ...LLAMA, vocab_size: 50_000, tie_word_embeddings: true });
  const weights = randomWeights(spec, 9);
  weights["model.norm.weight"].fill(6);
  const ids = Int32Array.from(tokenWindows(spec, 1)[0]);
  const forward = await openForward(spec, { threads: 1 });
  try {
    const hidden = Float32Array.from({ length: LENGTH * spec.hidden }, (_, i) => Math.sin(i * i));
    const data = Float64Array.from(await forward.logits(weights, hidden.slice()));
    const expected = plainLoss({ rows: LENGTH, cols: spec.vocab, data }, [...ids]);
    const [actual] = await forward.loss(weights, hidden, ids, { windows: 1, length: LENGTH });
    // Measured: 4e-8 nats; with LogSoftmax 8e-7, with ReduceLogSumExp 7e-6 (on real logits 3e-6 and 1e-4).
    assert.ok(Math.abs(actual - expected) < 3e-7, `off by ${actual - expected}`);
  } finally {
    await forward.close();
  }
});

Deno.test("openForward() refuses what does not fit the model", async () => {
  const spec = modelSpec(LLAMA);
  const weights = randomWeights(spec, 1);
  const forward = await openForward(spec, { threads: 1 });
  const size = { windows: 1, length: 2 };
  try {
    const options = { gather: "none", output: true } as const;
    await assert.rejects(forward.embed(weights, Int32Array.of(1, 31), size), /ids must be from 0 to 30: .* 31/);
    await assert.rejects(forward.embed(weights, Int32Array.of(1), size), /must be 1 × 2: current value is 1/);
    await assert.rejects(forward.openBlock(2, weights, options), /the model has blocks 0 to 1/);
    await assert.rejects(
      forward.openBlock(0, {}, options),
      /"model.layers.0.self_attn.q_proj.weight" must hold \[32,24\]/,
    );
    await assert.rejects(forward.openBlock(0, weights, { ...options, output: false }), /nothing to compute/);
    const silent = { gather: "full", output: false, similarity: true } as const;
    await assert.rejects(forward.openBlock(0, weights, silent), /for its similarity as that is of its output/);
    const block = await forward.openBlock(0, weights, options);
    await assert.rejects(() => block.run(new Float32Array(5), size), /must be 1 × 2 × 24: current length is 5/);
    await block.finish();
    await assert.rejects(() => block.run(new Float32Array(48), size), /it was finished, or failed, before/);
  } finally {
    await forward.close();
  }
  await assert.rejects(forward.logits(weights, new Float32Array(24)), /it was closed/);
});

Deno.test("Forward.reusable() is false while something is open or in work, and once a call has failed", async () => {
  const spec = modelSpec(LLAMA), weights = randomWeights(spec, 1), forward = await openForward(spec, { threads: 1 });
  try {
    assert.ok(forward.reusable());
    const block = await forward.openBlock(0, weights, { gather: "none", output: true });
    assert.ok(!forward.reusable(), "a block is open");
    await block.run(new Float32Array(48), { windows: 1, length: 2 });
    const finishing = block.finish();
    assert.ok(!forward.reusable(), "it is being finished");
    await finishing;
    assert.ok(forward.reusable());
    const head = await forward.openHead(weights);
    assert.ok(!forward.reusable(), "the head is open");
    await head.close();
    assert.ok(forward.reusable());
    await assert.rejects(() => block.run(new Float32Array(48), { windows: 1, length: 2 }), /it was finished/);
    assert.ok(!forward.reusable(), "a call has failed");
  } finally {
    await forward.close();
  }
  assert.ok(!forward.reusable(), "it is closed");
});

Deno.test("Forward.embed() refuses positions beyond OPT's table", async () => {
  const spec = modelSpec(OPT);
  const forward = await openForward(spec, { threads: 1 });
  const tokens = forward.embed(randomWeights(spec, 1), new Int32Array(21), { windows: 1, length: 21 });
  await assert.rejects(tokens, /the model has 20 positions: .* 21/);
  await forward.close();
});

Deno.test({
  name: "openForward() rejects when its worker fails",
  permissions: { read: true, env: true, sys: true, ffi: false },
  fn: () => assert.rejects(openForward(modelSpec(OPT)), /Cannot run the model as its worker failed: .*ffi/),
});

function tokenWindows(spec: ModelSpec, count: number): number[][] {
  return Array.from(
    { length: count },
    (_, window) => Array.from({ length: LENGTH }, (_, i) => (7 * window + 5 * i * i + 3 * i) % spec.vocab),
  );
}

/** Compares by the largest difference over the largest value. */
function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  let [difference, largest] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  assert.ok(difference <= tolerance * largest, `off by ${difference} of ${largest}, allowed is ${tolerance} of it`);
}

function upperProduct(x: readonly number[], cols: number): number[] {
  const upper: number[] = [];
  for (let row = 0; row < cols; row++) {
    for (let col = row; col < cols; col++) {
      let sum = 0;
      for (let at = 0; at < x.length; at += cols) sum += x[at + row] * x[at + col];
      upper.push(sum);
    }
  }
  return upper;
}

function diagonalOf(upper: readonly number[], cols: number): number[] {
  return Array.from({ length: cols }, (_, i) => upper[i * cols - (i * (i - 1)) / 2]);
}

function checkSimilarity(
  actual: { tokenSum: number; tokens: number; dot: number; inNorm: number; outNorm: number },
  { before, after, width }: { before: readonly number[]; after: readonly number[]; width: number },
): void {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const tokens = before.length / width;
  const cosines = Array.from({ length: tokens }, (_, token) => {
    const [x, y] = [before, after].map((list) => list.slice(token * width, (token + 1) * width));
    return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
  });
  assert.equal(actual.tokens, tokens);
  near([actual.tokenSum], [cosines.reduce((a, b) => a + b, 0)], 1e-4);
  near([actual.dot, actual.inNorm, actual.outNorm], [dot(before, after), dot(before, before), dot(after, after)], 1e-5);
}
