import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { readSafetensors } from "../files/safetensors.ts";
import { openModel } from "../models/open_model.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import {
  assertSame,
  assertSameWeights,
  changedModel,
  coded,
  exported,
  FAMILIES,
  LLAMA,
  project,
  weightsOf,
  withFolder,
} from "./export_test_support.ts";

const float = new Float32Array(1), bits = new Uint32Array(float.buffer);
const round = {
  F16: (value: number) => Math.f16round(value),
  BF16: (value: number) => {
    float[0] = value;
    bits[0] += 0x7fff + (bits[0] >>> 16 & 1);
    bits[0] &= 0xffff0000;
    return float[0];
  },
} as const;

for (const [name, folder] of Object.entries({ ...FAMILIES, opt: "tests/fixtures/tiny-opt" })) {
  for (const type of ["F16", "BF16"] as const) {
    Deno.test(`exportModel() writes ${name} as safetensors ${type}: a folder that opens as a model, each value rounded once`, () =>
      withFolder(async (to) => {
        const path = join(project, folder), { files } = await exported(path, { format: "safetensors", type }, { to });
        assert.deepEqual(readdirSync(to).sort(), [...files].sort());
        assert.equal(files.at(-1), "config.json");
        const [own, read] = [await weightsOf(path), await weightsOf(to)];
        assert.deepEqual(Object.keys(read).sort(), Object.keys(own).sort());
        for (const [tensor, values] of Object.entries(own)) {
          assert.deepEqual(read[tensor], values.map(round[type]), tensor);
        }
        const config = JSON.parse(readFileSync(join(to, "config.json"), "utf8"));
        assert.deepEqual([config.torch_dtype, config.quantization_config], [
          { F16: "float16", BF16: "bfloat16" }[type],
          undefined,
        ]);
        const { metadata } = await readSafetensors(join(to, "model.safetensors"));
        assert.deepEqual(metadata, { format: "pt" });
      }));
  }
}

for (const [name, folder] of Object.entries(FAMILIES)) {
  Deno.test(`exportModel() writes ${name} as GGUF that reads as the same model`, () =>
    withFolder(async (to) => {
      const path = join(project, folder), own = await weightsOf(path);
      for (const type of ["F16", "BF16", "Q8_0"] as const) {
        const { files: [file], closeness } = await exported(path, { format: "gguf", type }, { to });
        const read = await weightsOf(join(to, file));
        assert.deepEqual(Object.keys(read).sort(), Object.keys(own).sort());
        for (const [tensor, values] of Object.entries(own)) {
          const matrix = !/norm|bias/.test(tensor), found = read[tensor];
          if (!matrix) assertSame(found, values, tensor);
          else if (type !== "Q8_0") assertSame(found, values.map(round[type]), tensor);
          else assert.ok(found.every((value, i) => Math.abs(value - values[i]) < 0.02), tensor);
        }
        assert.ok(closeness.worst.error < { F16: 3e-4, BF16: 3e-3, Q8_0: 0.02 }[type], String(closeness.worst.error));
      }
    }));
}

Deno.test("@huggingface/gguf reads what exportModel() says of a model", () =>
  withFolder(async (to) => {
    const { files: [file] } = await exported(LLAMA, { format: "gguf", type: "Q8_0" }, { to });
    const { metadata, tensorInfos } = await gguf(join(to, file), { allowLocalFile: true });
    const said = Object.fromEntries(Object.entries(metadata).filter(([key]) => /^(general|llama)\./.test(key)));
    assert.deepEqual(said, {
      "general.architecture": "llama",
      "general.type": "model",
      "general.name": "mine",
      "general.file_type": 7,
      "general.quantization_version": 2,
      "llama.vocab_size": 2048,
      "llama.context_length": 512,
      "llama.embedding_length": 256,
      "llama.block_count": 6,
      "llama.feed_forward_length": 768,
      "llama.attention.head_count": 8,
      "llama.attention.head_count_kv": 4,
      "llama.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
      "llama.attention.key_length": 32,
      "llama.attention.value_length": 32,
      "llama.rope.dimension_count": 32,
      "llama.rope.freq_base": 10_000,
    });
    const types = Object.fromEntries(tensorInfos.map(({ name, dtype }) => [name, dtype]));
    assert.deepEqual([types["blk.5.attn_norm.weight"], types["blk.5.ffn_up.weight"], types["token_embd.weight"]], [
      0,
      8,
      8,
    ]);
    const opened = await openModel({ path: join(to, file) }), own = await openModel({ path: LLAMA });
    assert.ok(opened.tokenizer && own.tokenizer);
    const text = "The whale's 1,234 teeth\n\n <s>";
    assert.deepEqual(openTokenizer(opened.tokenizer).encode(text), openTokenizer(own.tokenizer).encode(text));
    for (const checkpoint of [opened, own]) checkpoint.close();
  }));

Deno.test("exportModel() says Llama 3's rotary scaling, the usual one and others, and a linear one", () =>
  withFolder(async (folder) => {
    const llama3 = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const scalings = [llama3, { ...llama3, original_max_position_embeddings: 256 }, {
      rope_type: "linear",
      factor: 2.5,
    }];
    for (const [index, rope_scaling] of scalings.entries()) {
      const path = await changedModel(LLAMA, join(folder, `model${index}`), {
        config: { rope_scaling, rope_theta: 5e5 },
      });
      const to = join(folder, `out${index}`);
      const { files: [file] } = await exported(path, { format: "gguf", type: "F16" }, { to });
      const { metadata, tensorInfos } = await gguf(join(to, file), { allowLocalFile: true });
      assert.deepEqual(metadata["llama.rope.scaling.factor" as keyof typeof metadata], index === 2 ? 2.5 : undefined);
      assert.equal(tensorInfos.some(({ name }) => name === "rope_freqs.weight"), index < 2);
    }
  }));

for (
  const [type, levels, size] of [["Q1_0", [1, -1], 1.125], ["Q2_0", [-1, 0, 1, 2], 2.25], [
    "Q2_0",
    [1, -1, 0],
    2.25,
  ]] as const
) {
  Deno.test(`exportModel() writes codes ${levels} as ${type}, exactly, in ${size} bits a weight`, () =>
    withFolder(async (folder) => {
      const path = await changedModel(LLAMA, join(folder, "model"), { tensors: (all) => coded(levels, all) });
      const { files: [file], closeness, weights } = await exported(path, { format: "gguf", type }, {
        to: join(folder, "out"),
      });
      assert.equal(closeness.exact, closeness.tensors);
      await assertSameWeights(join(folder, "out", file), path);
      const { tensorInfos } = await gguf(join(folder, "out", file), { allowLocalFile: true });
      const layer = tensorInfos.find(({ name }) => name === "blk.0.ffn_down.weight");
      assert.deepEqual([layer?.dtype, layer?.shape], [type === "Q1_0" ? 41 : 42, [768n, 256n]]);
      // Matrices of the blocks in so many bits, the embedding in 16.
      const matrices = 6 * (256 * (256 + 128 + 128 + 256) + 3 * 256 * 768);
      assert.ok(Math.abs(weights[0].bytes - matrices * size / 8 - 2 * 2048 * 256) < 90_000);
    }));
}

Deno.test("exportModel() shards safetensors, and another export over it leaves nothing of the first", () =>
  withFolder(async (to) => {
    const kind = { format: "safetensors", type: "F16" } as const;
    const { files, weights } = await exported(LLAMA, kind, { to, shardBytes: 3 * 2 ** 20 });
    assert.ok(weights.length > 2);
    assert.ok(
      weights.every(({ bytes, name }) => bytes < 3.1 * 2 ** 20 && /^model-0000\d-of-0000\d\.safetensors$/.test(name)),
    );
    assert.ok(files.includes("model.safetensors.index.json"));
    await assertSameWeights(to, LLAMA);
    await assert.rejects(
      exported(LLAMA, kind, { to }),
      /is not empty \(config.json\): name another folder, or use --force$/,
    );
    await exported(LLAMA, kind, { to, force: true });
    assert.deepEqual(readdirSync(to).filter((name) => name.startsWith("model")), ["model.safetensors"]);
  }));

Deno.test("exportModel() leaves nothing under a final name when it is stopped or fails, and takes away what a killed one left", () =>
  withFolder(async (folder) => {
    for (const kind of [{ format: "safetensors", type: "F16" }, { format: "gguf", type: "Q8_0" }] as const) {
      const to = join(folder, kind.format), stop = new AbortController();
      const progress = (_doing: string, done: number) => done === 9 && stop.abort();
      await assert.rejects(exported(LLAMA, kind, { to, progress, signal: stop.signal }), { name: "AbortError" });
      assert.equal(existsSync(to), false);
      // What `kill -9` leaves.
      const left = join(to, kind.format === "gguf" ? ".mine-Q8_0.gguf.part" : ".safetensors.part");
      Deno.mkdirSync(left, { recursive: true });
      writeFileSync(join(left, "model.safetensors"), "half");
      const { files } = await exported(LLAMA, kind, { to });
      assert.deepEqual(readdirSync(to).sort(), [...files].sort());
    }
  }));

Deno.test("exportModel() never writes over the model that it reads", () =>
  withFolder(async (folder) => {
    const path = await changedModel(LLAMA, join(folder, "mine"), {});
    const before = readFileSync(join(path, "model.safetensors"));
    await assert.rejects(
      exported(path, { format: "safetensors", type: "BF16" }, { to: path, force: true }),
      /the model itself lies there/,
    );
    const { files: [file] } = await exported(path, { format: "gguf", type: "F16" }, { to: path });
    await assert.rejects(
      exported(join(path, file), { format: "gguf", type: "F16" }, { to: path, force: true }),
      /itself lies/,
    );
    assert.deepEqual(readFileSync(join(path, "model.safetensors")), before);
  }));
