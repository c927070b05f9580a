import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gguf } from "@huggingface/gguf";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { writePackedModel } from "../checkpoints/packed/write.ts";
import { InputError } from "../files/input_error.ts";
import { readSafetensors, type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { fitModel } from "../models/fit.ts";
import { openModel } from "../models/open_model.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import { type ExportKind, exportModel, type ExportOptions } from "./mod.ts";

const project = fileURLToPath(new URL("../", import.meta.url));
const FAMILIES = {
  "tiny-llama": "configs/models/tiny-llama",
  mistral: "models/testdata/mistral",
  "qwen2-tied": "models/testdata/qwen2-tied",
  "qwen2-untied": "models/testdata/qwen2-untied",
  qwen3: "models/testdata/qwen3",
} as const;
const LLAMA = join(project, FAMILIES["tiny-llama"]);
const OPT = join(project, "tests/fixtures/tiny-opt");

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "export-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Exports the model of a folder. */
async function exported(path: string, kind: ExportKind, options: ExportOptions) {
  const { checkpoint, spec } = await fitModel(await openModel({ path }, { packed: openPacked }));
  try {
    return await exportModel({ checkpoint, spec, name: "mine" }, kind, options, path);
  } finally {
    checkpoint.close();
  }
}

/** As `assert.deepEqual` of numbers, of which there are millions here. */
function assertSame(found: Float32Array, wanted: Float32Array, name: string): void {
  const at = found.length === wanted.length ? found.findIndex((value, i) => value !== wanted[i]) : 0;
  assert.ok(at < 0, `${name} at ${at}: ${found[at]} is not ${wanted[at]}`);
}

/** Whether two models have the same weights. */
async function assertSameWeights(found: string, wanted: string, through: (value: number) => number = (value) => value) {
  const [read, own] = [await weightsOf(found), await weightsOf(wanted)];
  assert.deepEqual(Object.keys(read).sort(), Object.keys(own).sort());
  for (const [name, values] of Object.entries(own)) assertSame(read[name], values.map(through), name);
}

/** Every tensor of a model in float32. */
async function weightsOf(path: string): Promise<Record<string, Float32Array>> {
  const { checkpoint } = await fitModel(await openModel({ path }));
  try {
    const values: Record<string, Float32Array> = {};
    for (const name of checkpoint.tensors.keys()) values[name] = await checkpoint.read(name);
    return values;
  } finally {
    checkpoint.close();
  }
}

/** A copy of a model, its config and tensors changed. */
async function changedModel(
  from: string,
  to: string,
  { config = {}, tensors = (all) => all }: {
    readonly config?: JsonObject;
    readonly tensors?: (all: Record<string, Tensor>) => Record<string, Tensor>;
  },
): Promise<string> {
  Deno.mkdirSync(to);
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name));
  }
  const old = JSON.parse(readFileSync(join(from, "config.json"), "utf8"));
  writeFileSync(join(to, "config.json"), JSON.stringify({ ...old, ...config }));
  await writeSafetensors(
    join(to, "model.safetensors"),
    tensors((await readSafetensors(join(from, "model.safetensors"))).tensors),
  );
  return to;
}

/** Matrices of tiny-llama's blocks as codes times a scale, which a group of 128 columns has for itself. */
function coded(levels: readonly number[], all: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(all).map(([name, tensor]) => {
      const [, cols] = tensor.shape;
      if (!name.includes("_proj")) return [name, tensor];
      const value = (i: number) => levels[(i * 7 + (i >> 5)) % levels.length] * 2 ** -(4 + Math.floor(i % cols / 128));
      const data = Float32Array.from({ length: tensor.data.length }, (_, i) => value(i));
      return [name, { dtype: "F32", shape: tensor.shape, data }];
    }),
  );
}

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

/** A tensor with one value changed. */
const spoilt = (name: string, value: number) => (all: Record<string, Tensor>): Record<string, Tensor> => ({
  ...all,
  [name]: {
    ...all[name],
    dtype: "F32",
    data: Float32Array.from({ length: all[name].data.length }, (_, i) => i === 5 ? value : 0),
  },
});
const DOWN = "model.layers.1.mlp.down_proj.weight";

const refused: readonly {
  readonly what: string;
  readonly kind: ExportKind;
  readonly change?: Parameters<typeof changedModel>[2];
  readonly from?: string;
  readonly why: RegExp;
}[] = [
  {
    what: "OPT as GGUF",
    from: OPT,
    kind: { format: "gguf", type: "F16" },
    why: /llama.cpp has no models of family opt; use --format safetensors$/,
  },
  {
    what: "a value beyond F16, in safetensors",
    kind: { format: "safetensors", type: "F16" },
    change: { tensors: spoilt(DOWN, 70_000) },
    why:
      /^Cannot export tensor "model.layers.1.mlp.down_proj.weight" as F16: 70000 at 5 is beyond F16.*use --type bf16$/,
  },
  {
    what: "a value beyond F16, in GGUF",
    kind: { format: "gguf", type: "F16" },
    change: { tensors: spoilt(DOWN, -7e8) },
    why: /"model.layers.1.mlp.down_proj.weight" .* as F16: -700000000 at 5 .*use --type bf16$/,
  },
  {
    what: "weights that are no codes of one bit",
    kind: { format: "gguf", type: "Q1_0" },
    why: /self_attn.q_proj.weight" \[256, 256\] as Q1_0: .*nothing is written that only comes near/,
  },
  {
    what: "weights of two bits in one",
    kind: { format: "gguf", type: "Q1_0" },
    change: { tensors: (all) => coded([1, -1, 0], all) },
    why: /as Q1_0: 0 at \d+ stands beside 0.0625/,
  },
  {
    what: "dynamic rotary scaling in GGUF",
    kind: { format: "gguf", type: "F16" },
    change: { config: { rope_scaling: { rope_type: "dynamic", factor: 2 } } },
    why: /no dynamic scaling of rotary positions/,
  },
  {
    what: "rows that are no blocks",
    from: join(project, FAMILIES.qwen3),
    kind: { format: "gguf", type: "Q1_0" },
    why: /rows of Q1_0 are blocks of 128, and its rows have 64 weights/,
  },
];

for (const { what, kind, change = {}, from = LLAMA, why } of refused) {
  Deno.test(`exportModel() refuses ${what}, and leaves nothing`, () =>
    withFolder(async (folder) => {
      const path = await changedModel(from, join(folder, "model"), change), to = join(folder, "out");
      await assert.rejects(exported(path, kind, { to }), (error) => {
        assert.ok(error instanceof InputError);
        assert.match(error.message, why);
        return true;
      });
      assert.equal(existsSync(to), false);
    }));
}

Deno.test("exportModel() refuses a packed folder that holds other tensors than its model has", () =>
  withFolder(async (folder) => {
    const { tensors } = await readSafetensors(join(LLAMA, "model.safetensors"));
    const config = JSON.parse(readFileSync(join(LLAMA, "config.json"), "utf8"));
    const norm = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
    const all = Object.entries(tensors);
    const wrong: readonly (readonly [string, (readonly [string, Tensor])[], RegExp])[] = [
      ["more", [...all, ["../../evil", norm]], /no llama model has a tensor "..\/..\/evil"/],
      ["less", all.slice(1), /does not hold "/],
      ["another", [...all.slice(1), [all[0][0], norm]], /its shape must be/],
    ];
    for (const [name, others, why] of wrong) {
      const path = join(folder, name);
      await writePackedModel(path, { layers: [], others, config, tokenizer: undefined, source: {} });
      for (const kind of [{ format: "gguf", type: "F16" }, { format: "safetensors", type: "F16" }] as const) {
        await assert.rejects(exported(path, kind, { to: join(folder, "out") }), (error) => {
          assert.ok(error instanceof InputError);
          assert.match(error.message, why);
          return true;
        });
      }
    }
    assert.equal(existsSync(join(folder, "out")), false);
  }));

Deno.test("exportModel() tells of biases that transformers cannot be told of, and writes them for llama.cpp", () =>
  withFolder(async (folder) => {
    const biased = (all: Record<string, Tensor>) => {
      const zeros = Array.from({ length: 6 }, (_, i) => [
        `model.layers.${i}.self_attn.k_proj.bias`,
        { dtype: "F32", shape: [128], data: Float32Array.from({ length: 128 }, (_, j) => j / 256) } as const,
      ]);
      return { ...all, ...Object.fromEntries(zeros) };
    };
    const path = await changedModel(LLAMA, join(folder, "model"), { tensors: biased });
    await assert.rejects(
      exported(path, { format: "safetensors", type: "F16" }, { to: join(folder, "hf") }),
      /transformers has no llama with biases on .*key.* only/,
    );
    const { files: [file] } = await exported(path, { format: "gguf", type: "F16" }, { to: join(folder, "out") });
    await assertSameWeights(join(folder, "out", file), path);
  }));
