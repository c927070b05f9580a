import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import { type Matrix, plainBlock, plainEmbed, plainLogits, randomWeights } from "./plain_forward_test_support.ts";
import { type Segment, segmentBias, segmentPositions } from "./segments.ts";
import type { ModelSpec } from "./spec.ts";

const LLAMA = {
  ...{ model_type: "llama", hidden_size: 24, intermediate_size: 40, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 31, rope_theta: 100 },
};
const OPT = {
  ...{ model_type: "opt", hidden_size: 32, ffn_dim: 48, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 31 },
  max_position_embeddings: 9,
};
const LENGTH = 20;
const after = { start: 0, end: 4 };
/** A beginning with endings of 5, 1 and 2 tokens, another text, padding; then a window of one text that fills it, and one of nothing. */
const SEGMENTS: readonly Segment[] = [
  { window: 0, start: 0, end: 4 },
  { window: 0, start: 4, end: 9, after },
  { window: 0, start: 9, end: 10, after },
  { window: 0, start: 10, end: 12, after },
  { window: 0, start: 12, end: 18 },
  { window: 1, start: 0, end: 9 },
  { window: 1, start: 9, end: 14 },
  { window: 1, start: 14, end: 20, after: { start: 9, end: 14 } },
];
const IDS = Int32Array.from({ length: 3 * LENGTH }, (_, i) => (7 * i * i + 3 * i) % 31);

const CASES: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["llama", LLAMA],
  ["llama with heads of 6", { ...LLAMA, head_dim: 6 }],
  ["qwen3", { ...LLAMA, model_type: "qwen3" }],
  // Texts fit its window though windows of them do not.
  ["mistral", { ...LLAMA, model_type: "mistral", sliding_window: 11 }],
  ["opt", { ...OPT, max_position_embeddings: 11 }],
];

for (const [name, config] of CASES) {
  for (const fused of [true, false]) {
    Deno.test(`segments are as texts alone in float64: ${name}, ${fused ? "fused" : "plain"} attention`, async () => {
      const spec = modelSpec(config), weights = randomWeights(spec, 3);
      // A budget of nothing makes every window a batch of its own.
      const forward = await openForward(spec, { threads: 1, fused, memoryBudget: 0 });
      const size = { windows: 3, length: LENGTH, segments: SEGMENTS };
      try {
        let hidden = await forward.embed(weights, IDS, size);
        for (let block = 0; block < spec.blocks; block++) {
          const run = await forward.openBlock(block, weights, { gather: "none", output: true, segmented: true });
          hidden = (await run.run(hidden, size)).hidden ?? new Float32Array();
          await run.finish();
        }
        const head = await forward.openHead(weights);
        for (const segment of SEGMENTS) {
          const { window, start, end, after } = segment;
          const places = [after, segment].flatMap((part) =>
            part ? Array.from({ length: part.end - part.start }, (_, i) => window * LENGTH + part.start + i) : []
          );
          const expected = plainText(spec, weights, places.map((at) => IDS[at]));
          const from = places.length - (end - start);
          const states = hidden.slice((window * LENGTH + start) * spec.hidden, (window * LENGTH + end) * spec.hidden);
          assert.ok(distance(states, expected.data.slice(from * spec.hidden)) < 2e-6);

          const logits = plainLogits(spec, weights, expected), rows = end - start;
          const asked = Int32Array.from({ length: 3 * rows }, (_, i) => (11 * i + 5) % spec.vocab);
          const { logLikelihoods, likeliest } = await head.choose(states, asked, 3);
          for (let row = 0; row < rows; row++) {
            const of = logits.data.subarray((from + row) * spec.vocab, (from + row + 1) * spec.vocab);
            const total = Math.log(of.reduce((sum, logit) => sum + Math.exp(logit), 0));
            for (let k = 0; k < 3; k++) {
              const expected = of[asked[3 * row + k]] - total;
              assert.ok(Math.abs(logLikelihoods[3 * row + k] - expected) < 2e-5 * Math.max(1, Math.abs(expected)));
            }
            assert.equal(likeliest[row], of.indexOf(of.reduce((most, logit) => Math.max(most, logit), -Infinity)));
          }
        }
        await head.close();
      } finally {
        await forward.close();
      }
    });
  }
}

Deno.test("segments that no window can hold are refused", () => {
  const size = { windows: 1, length: 6 };
  const bad: readonly (readonly [string, readonly Segment[]])[] = [
    ["a window too many", [{ window: 1, start: 0, end: 2 }]],
    ["a gap", [{ window: 0, start: 1, end: 2 }]],
    ["an overlap", [{ window: 0, start: 0, end: 3 }, { window: 0, start: 2, end: 4 }]],
    ["no tokens", [{ window: 0, start: 0, end: 0 }]],
    ["one that is too long", [{ window: 0, start: 0, end: 7 }]],
    ["one after nothing", [{ window: 0, start: 0, end: 2, after: { start: 2, end: 3 } }]],
    ["one after a part", [{ window: 0, start: 0, end: 3 }, {
      window: 0,
      start: 3,
      end: 4,
      after: { start: 0, end: 2 },
    }]],
    [
      "one after one that is after another",
      [
        { window: 0, start: 0, end: 2 },
        { window: 0, start: 2, end: 3, after: { start: 0, end: 2 } },
        { window: 0, start: 3, end: 4, after: { start: 2, end: 3 } },
      ],
    ],
  ];
  for (const [what, segments] of bad) {
    assert.throws(() => segmentPositions(segments, size), /^RangeError: Cannot place segments as/, what);
    assert.throws(() => segmentBias(segments, size), /^RangeError: Cannot place segments as/, what);
  }
});

Deno.test("a block takes segments only when it is opened for them, and texts no longer than the model", async () => {
  const spec = modelSpec({ ...OPT, max_position_embeddings: 5 }), weights = randomWeights(spec, 3);
  const forward = await openForward(spec, { threads: 1 });
  const size = { windows: 1, length: 8 }, hidden = () => new Float32Array(8 * spec.hidden);
  try {
    const plain = await forward.openBlock(0, weights, { gather: "none", output: true });
    await assert.rejects(plain.run(hidden(), { ...size, segments: [] }), /only when it is opened for them/);
    const tree = await forward.openBlock(0, weights, { gather: "none", output: true, segmented: true });
    await assert.rejects(tree.run(hidden(), size), /it takes segments of its windows: there are none/);
    const both = { gather: "none", output: true, segmented: true, cache: true } as const;
    await assert.rejects(forward.openBlock(0, weights, both), /what is cached is one text/);
    const long = { ...size, segments: [{ window: 0, start: 0, end: 6 }] };
    await assert.rejects(forward.embed(weights, new Int32Array(8), long), /must not be longer, current length is 6/);
    const sliding = modelSpec({ ...LLAMA, model_type: "mistral", sliding_window: 5 }),
      other = await openForward(sliding);
    try {
      const block = await other.openBlock(0, randomWeights(sliding, 1), {
        gather: "none",
        output: true,
        segmented: true,
      });
      await assert.rejects(block.run(new Float32Array(8 * sliding.hidden), long), /at most 5 tokens.*length is 6/);
    } finally {
      await other.close();
    }
  } finally {
    await forward.close();
  }
});

function plainText(spec: ModelSpec, weights: Readonly<Record<string, Float32Array>>, ids: readonly number[]): Matrix {
  let hidden = plainEmbed(spec, weights, ids);
  for (let block = 0; block < spec.blocks; block++) hidden = plainBlock(spec, weights, { block, hidden }).output;
  return hidden;
}

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let away = 0, norm = 0;
  for (let i = 0; i < expected.length; i++) {
    away += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(away / norm);
}
