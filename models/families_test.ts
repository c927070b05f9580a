/** Every family against what transformers computed from the same random weights (`testdata/make_families.py`). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import {
  convertRotary,
  encodeGguf,
  ggufName,
  type GgufTensor,
  ggufTensor,
  type GgufValue,
} from "../checkpoints/gguf_test_support.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";
import { generate } from "../inference/generate.ts";
import { modelSpec } from "./config.ts";
import { fitModel } from "./fit.ts";
import { type Forward, openForward, type Windows } from "./forward.ts";
import { openModel } from "./open_model.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "./tensors.ts";

/** Largest difference over the largest value. Measured: 1.1e-6. */
const TOLERANCE = 5e-6;
const WINDOWS = 2;

/** A checkpoint in testdata/, and its GGUF file as llama.cpp's converter makes it. */
interface Case {
  readonly name: string;
  readonly tied: boolean;
  readonly architecture: string;
  /** Whether the converter interleaves the rows of queries and keys. */
  readonly permuted: boolean;
  readonly headDim: number;
  /** Metadata besides what every decoder has. */
  readonly metadata?: Readonly<Record<string, GgufValue>>;
  /** A tensor that no pass reads. */
  readonly extra?: string;
}

const CASES: readonly Case[] = [
  { name: "qwen2-tied", tied: true, architecture: "qwen2", permuted: false, headDim: 16 },
  {
    ...{ name: "qwen2-untied", tied: false, architecture: "qwen2", permuted: false, headDim: 16 },
    metadata: { "qwen2.rope.freq_base": 1_000_000 },
  },
  {
    ...{ name: "qwen3", tied: true, architecture: "qwen3", permuted: false, headDim: 32 },
    metadata: { "qwen3.attention.key_length": 32, "qwen3.attention.value_length": 32 },
  },
  {
    ...{ name: "mistral", tied: false, architecture: "llama", permuted: true, headDim: 16 },
    metadata: { "llama.attention.sliding_window": 16, "llama.rope.dimension_count": 16 },
  },
];

for (const each of CASES) {
  const { name, tied, headDim } = each;
  Deno.test(`openForward() meets transformers' states and logits on ${name}`, async () => {
    const checkpoint = await openModel({ path: folderOf(name) });
    const spec = modelSpec(checkpoint.config);
    assert.deepEqual([spec.tied, spec.headDim, spec.heads, spec.kvHeads], [tied, headDim, 4, 2]);
    await meetsReference(checkpoint, name, true);
    await meetsReference(checkpoint, name, false);
    checkpoint.close();
  });

  Deno.test(`openForward() meets transformers' states and logits on ${name} from GGUF`, async () => {
    await withGguf(each, async (path) => {
      const checkpoint = await openModel({ path });
      const original = await openModel({ path: folderOf(name) });
      const { eps, ...spec } = modelSpec(checkpoint.config);
      const { eps: exact, ...expected } = modelSpec(original.config);
      assert.deepEqual(spec, expected);
      assert.equal(eps, Math.fround(exact));
      assert.deepEqual([...checkpoint.tensors.keys()].sort(), [...original.tensors.keys()].sort());
      for (const tensor of original.tensors.keys()) {
        assert.deepEqual(await checkpoint.read(tensor), await original.read(tensor), tensor);
      }
      await meetsReference(checkpoint, name, true);
      original.close();
      checkpoint.close();
    });
  });
}

Deno.test("a sliding window's length is computed, and a longer one refused, never cut in silence", async () => {
  const checkpoint = await openModel({ path: folderOf("mistral") });
  const spec = modelSpec(checkpoint.config);
  assert.deepEqual([spec.window, spec.maxPositions], [16, 16]);
  const forward = await openForward(spec, { threads: 1 });
  const size = { windows: 1, length: 17 };
  const refusal = { name: "InputError", message: /slides .*at most 16 tokens.*: current length is 17/ };
  try {
    const embedding = await readTensors(checkpoint, embeddingShapes(spec));
    await assert.rejects(forward.embed(embedding, new Int32Array(17), size), refusal);
    const weights = await readTensors(checkpoint, blockShapes(spec, 0));
    const block = await forward.openBlock(0, weights, { gather: "none", output: true });
    await assert.rejects(block.run(new Float32Array(17 * spec.hidden), size), refusal);
  } finally {
    await forward.close();
  }
  const written = await Array.fromAsync(generate(checkpoint, [1, 5, 9], { maxTokens: 99 }));
  assert.ok(written.length <= 13, "text ends with the window");
  await assert.rejects(generate(checkpoint, new Array(17).fill(3)).next(), /must have 1 to 15 tokens/);
  checkpoint.close();
});

Deno.test("a GGUF file that does not say that attention slides is LLaMA's, and tensors of other families are refused", async () => {
  const [, , qwen3, mistral] = CASES;
  await withGguf({ ...mistral, metadata: {} }, async (path) => {
    const checkpoint = await openModel({ path });
    assert.deepEqual([checkpoint.config.model_type, modelSpec(checkpoint.config).window], ["llama", null]);
    await meetsReference(checkpoint, "mistral", true);
    checkpoint.close();
    const described = await openModel({ path, config: folderOf("mistral") });
    assert.equal(modelSpec(described.config).window, 16);
    await meetsReference(described, "mistral", true);
    described.close();
  });
  await withGguf({ ...qwen3, architecture: "qwen2", metadata: {} }, async (path) => {
    await assert.rejects(openModel({ path }), /"blk\.0\.attn_[qk]_norm\.weight" is not part of .* qwen2/);
  });
  await withGguf({ ...qwen3, extra: "blk.0.attn_q.weight.lora_a" }, async (path) => {
    await assert.rejects(openModel({ path }), /it is an adapter \(tensor "blk\.0\.attn_q\.weight\.lora_a"\).*merge it/);
  });
  await withGguf({ ...qwen3, extra: "blk.1.attn_norm.bias" }, async (path) => {
    await assert.rejects(
      fitModel(await openModel({ path })),
      /a tensor that .*"model\.layers\.1\.input_layernorm\.bias"/,
    );
  });
  await withGguf({ ...qwen3, extra: "blk.0.attn_rot_embd.weight" }, async (path) => {
    const warnings: string[] = [];
    const { checkpoint } = await fitModel(await openModel({ path }), { warn: (text) => void warnings.push(text) });
    assert.match(warnings.join(), /^Left out of model\.gguf, .*"blk\.0\.attn_rot_embd\.weight"$/);
    checkpoint.close();
  });
});

Deno.test("a LLaMA with biases on queries, keys and values alone meets transformers' states and logits, from any file", async () => {
  const [, qwen2] = CASES;
  const config = JSON.parse(await Deno.readTextFile(join(folderOf("qwen2-untied"), "config.json")));
  const described = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      join(described, "config.json"),
      JSON.stringify({ ...config, model_type: "llama", architectures: ["LlamaForCausalLM"] }),
    );
    const plain = await openModel({ path: folderOf("qwen2-untied"), config: described });
    await meetsReference(plain, "qwen2-untied", true);
    plain.close();
    const metadata = { "llama.rope.freq_base": 1_000_000 };
    await withGguf({ ...qwen2, architecture: "llama", permuted: true, metadata }, async (path) => {
      for (const source of [{ path }, { path, config: described }]) {
        const checkpoint = await openModel(source);
        const fitted = await fitModel(checkpoint, { warn: assert.fail });
        assert.deepEqual([fitted.spec.family, fitted.spec.block.biases], ["llama", ["query", "key", "value"]]);
        assert.deepEqual(modelSpec(fitted.checkpoint.config), fitted.spec);
        await meetsReference(checkpoint, "qwen2-untied", true);
        checkpoint.close();
      }
    });
  } finally {
    await Deno.remove(described, { recursive: true });
  }
});

/** Compares hidden states before every block, and logits. */
async function meetsReference(opened: Checkpoint, name: string, fused: boolean): Promise<void> {
  const { ids, states, logits } = (await readSafetensors(join(folderOf(name), "reference.safetensors"))).tensors;
  const windows = { windows: WINDOWS, length: ids.shape[1] };
  assert.deepEqual(ids.shape, [WINDOWS, windows.length]);
  const { spec, checkpoint } = await fitModel(opened);
  const forward = await openForward(spec, { threads: 1, fused });
  try {
    const seen: Float32Array[] = [];
    const hidden = await run(forward, checkpoint, { ...windows, ids: Int32Array.from(ids.data, Number), seen });
    near(seen.flatMap((each) => [...each]), states);
    near(await forward.logits(await readTensors(checkpoint, headShapes(forward.spec)), hidden), logits);
  } finally {
    await forward.close();
  }
}

/** Hidden states after the last block; `seen` takes what enters each. */
async function run(
  forward: Forward,
  checkpoint: Checkpoint,
  { ids, seen, ...size }: Windows & { readonly ids: Int32Array; readonly seen: Float32Array[] },
): Promise<Float32Array> {
  let hidden = await forward.embed(await readTensors(checkpoint, embeddingShapes(forward.spec)), ids, size);
  for (let index = 0; index < forward.spec.blocks; index++) {
    seen.push(hidden.slice());
    const weights = await readTensors(checkpoint, blockShapes(forward.spec, index));
    const block = await forward.openBlock(index, weights, { gather: "none", output: true, move: true });
    hidden = (await block.run(hidden, size)).hidden ?? assert.fail();
    await block.finish();
  }
  return hidden;
}

function near(actual: ArrayLike<number>, { data }: Tensor): void {
  const expected = Array.from(data, Number);
  assert.equal(actual.length, expected.length);
  const difference = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i])), 0);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  assert.ok(difference <= TOLERANCE * largest, `off by ${difference} of ${largest}`);
}

/** Writes a model as llama.cpp's converter does, and hands its path to `body`. */
async function withGguf(
  { name, architecture, permuted, metadata, extra }: Case,
  body: (path: string) => Promise<void>,
): Promise<void> {
  const { tensors } = await readSafetensors(join(folderOf(name), "model.safetensors"));
  const stored: Record<string, GgufTensor> = {};
  for (const [full, tensor] of Object.entries(tensors)) {
    stored[ggufName(full)] = permuted ? convertRotary(full, tensor, { queries: 4, keys: 2 }) : ggufTensor(tensor);
  }
  if (extra !== undefined) stored[extra] = ggufTensor({ dtype: "F32", shape: [32], data: new Float32Array(32) });
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "model.gguf");
    const sizes = {
      "general.architecture": architecture,
      [`${architecture}.block_count`]: 2,
      [`${architecture}.context_length`]: 64,
      [`${architecture}.embedding_length`]: 64,
      [`${architecture}.feed_forward_length`]: 48,
      [`${architecture}.attention.head_count`]: 4,
      [`${architecture}.attention.head_count_kv`]: 2,
      [`${architecture}.attention.layer_norm_rms_epsilon`]: 1e-6,
      [`${architecture}.rope.freq_base`]: 10_000,
      "tokenizer.ggml.bos_token_id": 1,
      "tokenizer.ggml.eos_token_id": 2,
    };
    await Deno.writeFile(path, encodeGguf({ ...sizes, ...metadata }, stored));
    await body(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function folderOf(name: string): string {
  return fileURLToPath(new URL(`testdata/${name}`, import.meta.url));
}
