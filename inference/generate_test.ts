import assert from "node:assert/strict";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { modelSpec } from "../models/config.ts";
import { generate } from "./generate.ts";
import { plainBlock, plainEmbed, plainLogits, randomWeights } from "../models/plain_forward_test_support.ts";
import type { ModelSpec } from "../models/spec.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";

const CONFIG = {
  model_type: "llama",
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  vocab_size: 31,
  max_position_embeddings: 600,
};
const PROMPT = [3, 1, 4, 1, 5];

Deno.test("generate() takes the likeliest tokens of the whole text so far", async () => {
  const spec = modelSpec(CONFIG);
  const weights = randomWeights(spec, 3);
  const expected: number[] = [];
  for (let i = 0; i < 12; i++) {
    const ids = [...PROMPT, ...expected];
    let hidden = plainEmbed(spec, weights, ids);
    for (let block = 0; block < spec.blocks; block++) hidden = plainBlock(spec, weights, { block, hidden }).output;
    const { data, cols } = plainLogits(spec, weights, hidden);
    const last = [...data.subarray(-cols)];
    expected.push(last.indexOf(Math.max(...last)));
  }
  const actual = await Array.fromAsync(generate(checkpoint(CONFIG), PROMPT, { maxTokens: 12 }));
  assert.deepEqual(actual, expected);
});

Deno.test("generate() gives the same tokens when blocks are read again for each token", async () => {
  const reads: string[] = [];
  const model = checkpoint(CONFIG, reads);
  const resident = await Array.fromAsync(generate(model, PROMPT, { maxTokens: 4 }));
  const once = reads.length;
  const streamed = await Array.fromAsync(generate(model, PROMPT, { maxTokens: 4, memoryBudget: 0 }));
  assert.deepEqual(streamed, resident);
  const blockReads = 2 * blockShapes(modelSpec(CONFIG), 0).size;
  assert.equal(reads.length - once, once + 3 * blockReads);
});

Deno.test("generate() ends after an end-of-text token, at maxTokens, and at the last position", async () => {
  const free = await Array.fromAsync(generate(checkpoint(CONFIG), PROMPT, { maxTokens: 6 }));
  assert.equal(free.length, 6);
  const ending = { ...CONFIG, eos_token_id: [30, free[2]] };
  const ended = await Array.fromAsync(generate(checkpoint(ending), PROMPT, { maxTokens: 6 }));
  assert.deepEqual(ended, free.slice(0, free.indexOf(free[2]) + 1));
  // 590 tokens are more than goes through a block at once.
  const long = Array.from({ length: 590 }, (_, i) => i % 31);
  assert.equal((await Array.fromAsync(generate(checkpoint(CONFIG), long))).length, 10);
});

Deno.test("generate() ends where generation_config.json says, before what the config says", async () => {
  const free = await Array.fromAsync(generate(checkpoint(CONFIG), PROMPT, { maxTokens: 6 }));
  const cases: [unknown, number][] = [
    [[30, free[2]], free.indexOf(free[2]) + 1],
    [free[0], 1],
    [null, free.indexOf(free[3]) + 1],
    [undefined, free.indexOf(free[3]) + 1],
  ];
  for (const [eos_token_id, length] of cases) {
    const model = { ...checkpoint({ ...CONFIG, eos_token_id: free[3] }), generation: { eos_token_id } };
    const ended = await Array.fromAsync(generate(model, PROMPT, { maxTokens: 6 }));
    assert.deepEqual(ended, free.slice(0, length), JSON.stringify(eos_token_id));
  }
});

Deno.test("generate() draws the same tokens from the same seed", async () => {
  const draw = (seed: number) => {
    return Array.fromAsync(generate(checkpoint(CONFIG), PROMPT, { maxTokens: 16, temperature: 5, seed }));
  };
  assert.deepEqual(await draw(1), await draw(1));
  assert.notDeepEqual(await draw(1), await draw(2));
});

Deno.test("generate() stops when it is aborted, or left", async () => {
  const controller = new AbortController();
  const tokens = generate(checkpoint(CONFIG), PROMPT, { signal: controller.signal });
  assert.equal((await tokens.next()).done, false);
  controller.abort(new Error("enough"));
  await assert.rejects(tokens.next(), /enough/);
  for await (const id of generate(checkpoint(CONFIG), PROMPT)) {
    assert.ok(id >= 0);
    break;
  }
});

Deno.test("generate() refuses prompts that do not fit", async () => {
  await assert.rejects(generate(checkpoint(CONFIG), []).next(), /must have 1 to 599 tokens: current length is 0/);
  await assert.rejects(generate(checkpoint(CONFIG), new Array(600).fill(1)).next(), /current length is 600/);
  await assert.rejects(generate(checkpoint(CONFIG), [31]).next(), /ids must be from 0 to 30: current value is 31/);
});

/** A model of random weights in memory. */
function checkpoint(config: Readonly<Record<string, unknown>>, reads: string[] = []): Checkpoint {
  const spec = modelSpec(config);
  const weights = randomWeights(spec, 3);
  const tensors = shapesOf(spec).map(([name, shape]) => {
    return [name, { name, dtype: "F32", shape, bytes: 4 * weights[name].length }] as const;
  });
  return {
    format: "safetensors",
    label: "random",
    config,
    tensors: new Map(tensors),
    tokenizer: undefined,
    bytes: 0,
    local: true,
    identity: () => Promise.resolve("random"),
    read(name) {
      reads.push(name);
      return Promise.resolve(weights[name].slice());
    },
    same: (a, b) => Promise.resolve(a === b),
    close() {},
  };
}

function shapesOf(spec: ModelSpec): (readonly [string, readonly number[]])[] {
  const blocks = Array.from({ length: spec.blocks }, (_, block) => [...blockShapes(spec, block)]).flat();
  return [...embeddingShapes(spec), ...blocks, ...headShapes(spec)];
}
