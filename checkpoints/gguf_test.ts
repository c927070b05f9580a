import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Checkpoint, JsonObject } from "./checkpoint.ts";
import { undoRotaryPermutation } from "./gguf.ts";
import { llama3Factors } from "./gguf_config.ts";
import {
  convertRotary,
  encodeGguf,
  ggufName,
  type GgufTensor,
  ggufTensor,
  type GgufValue,
  permuteRotary,
} from "./gguf_test_support.ts";
import { huggingFaceName } from "./gguf_layout.ts";
import { InputError } from "../files/input_error.ts";
import { llama } from "../models/families/mod.ts";
import { openModel as openCheckpoint } from "../models/open_model.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";

const tinyLlama = fileURLToPath(new URL("../configs/models/tiny-llama", import.meta.url));
const smol = fileURLToPath(new URL("../../shared/models/smollm2-135m", import.meta.url));
const config = JSON.parse(await Deno.readTextFile(join(tinyLlama, "config.json")));

const metadata: Readonly<Record<string, GgufValue>> = {
  "general.architecture": "llama",
  "llama.block_count": 6,
  "llama.context_length": 512,
  "llama.embedding_length": 256,
  "llama.feed_forward_length": 768,
  "llama.attention.head_count": 8,
  "llama.attention.head_count_kv": 4,
  "llama.attention.layer_norm_rms_epsilon": 1e-5,
  "llama.rope.freq_base": 10000,
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.bos_token_id": 1,
  "tokenizer.ggml.eos_token_id": 2,
  "tokenizer.ggml.tokens": ["a", "b"],
};

/** What llama.cpp's converter makes of a LLaMA model with 8 query and 4 key heads. */
function convert(tensors: Readonly<Record<string, Tensor>>): Record<string, GgufTensor> {
  const heads = { queries: 8, keys: 4 };
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [ggufName(name), convertRotary(name, tensor, heads)]),
  );
}

/** Writes files into a folder of their own, opens the first one and hands it to `body`. */
async function withFiles<T>(
  files: Readonly<Record<string, Uint8Array>>,
  body: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(join(folder, name), bytes);
    return await body(join(folder, Object.keys(files)[0]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function withGguf(
  changes: Readonly<Record<string, GgufValue | undefined>>,
  tensors: Readonly<Record<string, GgufTensor>>,
  body: (checkpoint: Checkpoint) => Promise<void>,
): Promise<void> {
  const entries = Object.entries({ ...metadata, ...changes });
  const defined = Object.fromEntries(
    entries.filter((entry): entry is [string, GgufValue] => entry[1] !== undefined),
  );
  await withFiles({ "m.gguf": encodeGguf(defined, tensors) }, async (path) => {
    const checkpoint = await openCheckpoint({ path });
    try {
      await body(checkpoint);
    } finally {
      checkpoint.close();
    }
  });
}

function refuses(
  changes: Readonly<Record<string, GgufValue | undefined>>,
  tensors: Readonly<Record<string, GgufTensor>>,
  message: RegExp,
): Promise<void> {
  return assert.rejects(withGguf(changes, tensors, () => Promise.resolve()), { name: "InputError", message });
}

const floats = (shape: number[], fill = 0): GgufTensor =>
  ggufTensor({ dtype: "F32", shape, data: new Float32Array(shape.reduce((a, b) => a * b)).fill(fill) });
const embedding = { "token_embd.weight": floats([2, 256]) };

Deno.test("openCheckpoint() reads a converted GGUF exactly as the safetensors it was made of", async () => {
  const { tensors } = await readSafetensors(join(tinyLlama, "model.safetensors"));
  const original = await openCheckpoint({ path: tinyLlama });
  await withGguf({}, convert(tensors), async (checkpoint) => {
    assert.deepEqual(new Set(checkpoint.tensors.keys()), new Set(original.tensors.keys()));
    for (const [name, { shape }] of original.tensors) {
      const info = checkpoint.tensors.get(name);
      assert.deepEqual([info?.shape, info?.dtype], [shape, "F16"]);
      assert.deepEqual(await checkpoint.read(name), await original.read(name), name);
    }
    assert.equal(checkpoint.format, "gguf");
    assert.equal(checkpoint.tokenizer?.kind, "gguf");
    for (const key of Object.keys(checkpoint.config)) {
      if (key === "rms_norm_eps") assert.equal(checkpoint.config[key], Math.fround(config[key]));
      else if (key !== "unk_token_id") assert.deepEqual(checkpoint.config[key], config[key], key);
    }
  });
  original.close();
});

Deno.test("openCheckpoint() rebuilds separate heads, biases and defaults from the tensors", () =>
  withGguf(
    {
      "llama.attention.head_count_kv": undefined,
      "llama.rope.freq_base": undefined,
      "llama.attention.key_length": 16,
      "llama.rope.dimension_count": 8,
    },
    convert({
      "model.embed_tokens.weight": { dtype: "F32", shape: [2, 256], data: new Float32Array(512) },
      "lm_head.weight": { dtype: "F32", shape: [2, 256], data: new Float32Array(512) },
      "model.layers.0.self_attn.q_proj.bias": {
        dtype: "F32",
        shape: [128],
        data: Float32Array.from({ length: 128 }, (_, i) => i),
      },
    }),
    async ({ config, read }) => {
      assert.equal(config.tie_word_embeddings, false);
      // Flags mean all biases of a group; single ones are found by who fits the model.
      assert.equal(config.attention_bias, false);
      assert.equal(config.num_key_value_heads, 8);
      assert.equal(config.rope_theta, 10000);
      assert.equal(config.head_dim, 16);
      assert.equal(config.partial_rotary_factor, 0.5);
      assert.deepEqual(
        [...await read("model.layers.0.self_attn.q_proj.bias")],
        Array.from({ length: 128 }, (_, i) => i),
      );
    },
  ));

Deno.test("undoRotaryPermutation() undoes the converter's order", () => {
  const data = Float32Array.from({ length: 24 * 3 }, (_, i) => i);
  for (const heads of [1, 2, 3, 4, 6, 12]) {
    const permuted = permuteRotary({ dtype: "F32", shape: [24, 3], data }, heads).data;
    assert.deepEqual(undoRotaryPermutation(new Float32Array(permuted.buffer as ArrayBuffer), 24, heads), data);
  }
  assert.deepEqual([...undoRotaryPermutation(new Float32Array([0, 1, 2, 3]), 4, 1)], [0, 2, 1, 3]);
});

Deno.test("openCheckpoint() recognises rotary scaling, or says what to do", async () => {
  const rope = (config: JsonObject) => config.rope_scaling;
  const factors = (theta: number, factor: number): GgufTensor =>
    ggufTensor({ dtype: "F32", shape: [16], data: new Float32Array(llama3Factors(theta, 32, factor)) });
  const cases: [Record<string, GgufValue>, Record<string, GgufTensor>, unknown][] = [
    [{}, {}, null],
    [{ "llama.rope.scaling.type": "none" }, { "rope_freqs.weight": floats([16], 1) }, null],
    [{ "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.5 }, {}, {
      rope_type: "linear",
      factor: 4.5,
    }],
    [{ "llama.rope.scale_linear": 2 }, {}, { rope_type: "linear", factor: 2 }],
    [
      {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 2,
        "llama.rope.scaling.original_context_length": 64,
      },
      {},
      { rope_type: "yarn", factor: 2, original_max_position_embeddings: 64 },
    ],
    [{ "llama.rope.freq_base": 500000 }, { "rope_freqs.weight": factors(500000, 32) }, {
      rope_type: "llama3",
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    }],
  ];
  for (const [changes, tensors, expected] of cases) {
    await withGguf(changes, { ...embedding, ...tensors }, ({ config, tensors }) => {
      assert.deepEqual(rope(config), expected);
      assert.deepEqual([...tensors.keys()], ["model.embed_tokens.weight"]);
      return Promise.resolve();
    });
  }
  await refuses({}, { ...embedding, "rope_freqs.weight": floats([16], 3) }, /rope_freqs\.weight.*config: FOLDER/);
});

Deno.test("openCheckpoint() of a GGUF takes the ends of texts, turns and messages from its metadata", async () => {
  const ends = { "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.eom_token_id": 2 };
  await withGguf(ends, embedding, ({ generation }) => {
    assert.deepEqual(generation, { eos_token_id: [2, 7] });
    return Promise.resolve();
  });
  await refuses({ "tokenizer.ggml.eot_token_id": "end" }, embedding, /eot_token_id .* must be token ids: .*"end"/);
});

Deno.test("llama3Factors() leaves short wavelengths, divides long ones, and is monotonous between", () => {
  const factors = llama3Factors(500000, 128, 8);
  assert.equal(factors[0], 1);
  assert.equal(factors[63], 8);
  for (let i = 1; i < 64; i++) assert.ok(factors[i] >= factors[i - 1]);
  assert.ok(factors.some((factor) => factor > 1 && factor < 8));
});

Deno.test("openCheckpoint() refuses GGUF files it cannot use, naming what is wrong", async () => {
  await refuses({ "general.architecture": "gpt2" }, embedding, /must be llama or .*qwen2.*: current value is "gpt2"/);
  await refuses({ "llama.expert_count": 8 }, embedding, /experts/);
  await refuses({ "llama.block_count": undefined }, embedding, /llama\.block_count must be a number/);
  await refuses({ "llama.block_count": "6" }, embedding, /llama\.block_count must be a number/);
  await refuses({}, {}, /model\.embed_tokens\.weight/);
  await refuses(
    {},
    { ...embedding, "blk.0.attn_q_norm.weight": floats([16]) },
    /"blk\.0\.attn_q_norm\.weight" is not part/,
  );
  await refuses({}, { "token_embd.weight": { shape: [2, 256], type: 10, data: new Uint8Array(168) } }, /Q4_K.*is Q2_K/);
  await refuses({}, { "token_embd.weight": { shape: [2, 8], type: 3, data: new Uint8Array(20) } }, /blocks of 32/);
  await refuses({}, { ...embedding, "blk.0.attn_q.weight": floats([10, 4]) }, /10 rows.*8 heads/);
  await refuses({ "split.count": 2 }, embedding, /2 shards: found 1/);
  await withFiles(
    { "m.gguf": new TextEncoder().encode("GGML and more") },
    (path) => assert.rejects(openCheckpoint({ path }), /does not begin with GGUF/),
  );
});

Deno.test("read() of a GGUF names the first weight that is not a number", () =>
  withGguf({}, {
    "token_embd.weight": ggufTensor({ dtype: "F32", shape: [1, 3], data: new Float32Array([1, NaN, 2]) }),
  }, (checkpoint) =>
    assert.rejects(
      checkpoint.read("model.embed_tokens.weight"),
      /"model\.embed_tokens\.weight" of m\.gguf.*value 1 is NaN/,
    )));

Deno.test("openCheckpoint() refuses a GGUF file cut at any byte", async () => {
  const whole = encodeGguf(metadata, { ...embedding, "output_norm.weight": floats([8]) });
  await withFiles({ "m.gguf": whole }, async (path) => {
    const lengths = [...Array.from({ length: 60 }, (_, i) => i), ...Array.from({ length: 40 }, (_, i) => 60 + i * 53)];
    for (const length of [...lengths.filter((length) => length < whole.length), whole.length - 1]) {
      await Deno.writeFile(path, whole.subarray(0, length));
      await assert.rejects(openCheckpoint({ path }), InputError, `cut to ${length} bytes`);
    }
  });
});

Deno.test("openCheckpoint() joins the shards of a GGUF model, or says which is missing", async () => {
  const shards = {
    "m-00001-of-00002.gguf": encodeGguf({ ...metadata, "split.count": 2 }, embedding),
    "m-00002-of-00002.gguf": encodeGguf({ "split.no": 1 }, { "output_norm.weight": floats([256], 5) }),
  };
  await withFiles(shards, async (path) => {
    for (const start of [path, path.replace("00001-of", "00002-of")]) {
      const checkpoint = await openCheckpoint({ path: start });
      assert.equal((await checkpoint.read("model.norm.weight"))[255], 5);
      checkpoint.close();
    }
  });
  await withFiles(
    { "m-00001-of-00002.gguf": shards["m-00001-of-00002.gguf"] },
    (path) => assert.rejects(openCheckpoint({ path }), /m-00002-of-00002\.gguf.*no such file/),
  );
});

Deno.test("huggingFaceName() maps every tensor of a LLaMA model and no other", () => {
  const layout = llama.gguf;
  assert.ok(layout);
  assert.equal(huggingFaceName(layout, "blk.12.ffn_down.bias")?.name, "model.layers.12.mlp.down_proj.bias");
  assert.equal(huggingFaceName(layout, "output.weight")?.name, "lm_head.weight");
  for (const name of ["blk.0.toString.weight", "toString", "blk.x.attn_q.weight", "output.weight.x"]) {
    assert.equal(huggingFaceName(layout, name), undefined);
  }
});

Deno.test("openCheckpoint() reads the real SmolLM2 in Q4_1: config as published, embedding as in the reference", async () => {
  const reference = fileURLToPath(new URL("../../shared/reference/logits-smollm2-135m.safetensors", import.meta.url));
  const present = await Deno.stat(reference).then(() => true, () => false);
  if (!present) return console.log(`skipped: ${reference} is absent`);
  const path = join(smol, "SmolLM2-135M-Instruct.Q4_1.gguf");
  const published = JSON.parse(await Deno.readTextFile(join(smol, "config.json")));
  const checkpoint = await openCheckpoint({ path });
  const { rope_theta, rope_scaling, ...rest } = checkpoint.config;
  assert.deepEqual({ rope_theta, rope_type: rope_scaling ?? "default" }, published.rope_parameters);
  for (const [key, value] of Object.entries(rest)) assert.deepEqual(value, published[key], key);

  const { tensors } = await readSafetensors(reference);
  const table = await checkpoint.read("model.embed_tokens.weight");
  const hidden = tensors.hidden_states.data;
  for (const [row, id] of [...tensors.input_ids.data].map(Number).entries()) {
    assert.deepEqual(table.subarray(id * 576, (id + 1) * 576), hidden.slice(row * 576, (row + 1) * 576));
  }
  checkpoint.close();

  const described = await openCheckpoint({ path, config: smol });
  assert.deepEqual(described.config, published);
  assert.equal(described.tokenizer?.kind, "files");
  described.close();
});
