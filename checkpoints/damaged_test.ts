/** Every reader of models holds what a damaged file says against the file: it reads, or says in one sentence why not. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeSafetensors } from "../files/safetensors_test_support.ts";
import { mutations, readsOrRefuses } from "../files/mutate_test_support.ts";
import { parseHeader, readTensor, type Tensor } from "../files/safetensors.ts";
import { randomLayer } from "../kernels/binary/quantized_layer_test_support.ts";
import { openModel } from "../models/open_model.ts";
import { encodeGguf, ggufTensor } from "./gguf_test_support.ts";
import { parseGguf } from "./gguf_header.ts";
import { openPacked } from "./packed/open.ts";
import { encodeLayer } from "./packed/planes.ts";
import { writePackedModel } from "./packed/write.ts";
import { parseStateDict, readTorchTensor } from "./pytorch.ts";
import { memorySource } from "./zip_test_support.ts";

const floats = (...shape: number[]): Tensor => ({
  dtype: "F32",
  shape,
  data: new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(0.5),
});

const SAFETENSORS = await encodeSafetensors({
  "model.norm.weight": floats(4),
  "model.layers.0.mlp.up_proj.weight": { dtype: "F16", shape: [3, 5], data: new Uint16Array(15) },
  ids: { dtype: "I64", shape: [2], data: new BigInt64Array(2) },
});

const GGUF = encodeGguf(
  {
    "general.architecture": "llama",
    "general.alignment": 32,
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 16,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "ab"],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.token_type": [1, 1, 1],
  },
  {
    "token_embd.weight": ggufTensor(floats(3, 8)),
    "output_norm.weight": ggufTensor(floats(8)),
    "blk.0.attn_q.weight": { shape: [1, 32], type: 8, data: new Uint8Array(34) },
  },
) as Uint8Array<ArrayBuffer>;

/** Overwrites one file of a folder again and again. */
async function damage(
  files: Readonly<Record<string, Uint8Array | string>>,
  name: string,
  open: (folder: string) => Promise<unknown>,
  { count, seed }: { readonly count: number; readonly seed: number },
): Promise<number> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [file, content] of Object.entries(files)) {
      await Deno.writeFile(
        join(folder, file),
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    }
    const whole = await Deno.readFile(join(folder, name));
    return await readsOrRefuses(mutations(whole, { count, seed }), async (copy) => {
      await Deno.writeFile(join(folder, name), copy);
      await open(folder);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function openAll(path: string): Promise<void> {
  const checkpoint = await openModel({ path });
  checkpoint.close();
}

Deno.test("parseHeader() and readTensor() of safetensors read or refuse 600 damaged files", async () => {
  const refused = await readsOrRefuses(mutations(SAFETENSORS, { count: 600, seed: 1 }), async (copy) => {
    const source = memorySource(copy, "x.safetensors");
    const header = await parseHeader(source);
    for (const name of header.tensors.keys()) await readTensor(source, header, name);
  });
  assert.ok(refused > 300, `${refused}`);
});

Deno.test("parseGguf() reads or refuses 600 damaged headers, and never reads beyond the file", async () => {
  const refused = await readsOrRefuses(mutations(GGUF, { count: 600, seed: 2 }), async (copy) => {
    const source = memorySource(copy, "x.gguf");
    for (const { type, begin, end, shape } of (await parseGguf(source)).tensors) {
      const values = type.dequantize(await source.read(begin, end));
      assert.equal(values.length, shape.reduce((product, length) => product * length, 1));
    }
  });
  assert.ok(refused > 200, `${refused}`);
});

Deno.test("parseStateDict() and readTorchTensor() read or refuse 600 damaged files", async () => {
  const whole = readFileSync(fileURLToPath(new URL("testdata/views_4.bin", import.meta.url)));
  const refused = await readsOrRefuses(mutations(whole, { count: 600, seed: 3 }), async (copy) => {
    const source = memorySource(copy, "x.bin");
    for (const tensor of (await parseStateDict(source)).values()) await readTorchTensor(source, tensor);
  });
  assert.ok(refused > 100, `${refused}`);
});

Deno.test("openModel() reads or refuses damaged indices, configs, tokenizers and GGUF files", async () => {
  const files = {
    "config.json": JSON.stringify({
      model_type: "llama",
      hidden_size: 4,
      rope_scaling: { factor: 2 },
      eos_token_id: [1, 2],
    }),
    "tokenizer.json": JSON.stringify({ model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [["a", "b"]] } }),
    "a.safetensors": SAFETENSORS,
    "model.safetensors.index.json": JSON.stringify({
      metadata: { total_size: 4 },
      weight_map: { "model.norm.weight": "a.safetensors", ids: "./a.safetensors" },
    }),
  };
  for (const [seed, name] of Object.keys(files).entries()) {
    const refused = await damage(files, name, openAll, { count: 60, seed });
    assert.ok(refused > 20, `${name}: ${refused}`);
  }
  const gguf = await damage({ "x.gguf": GGUF }, "x.gguf", (folder) => openAll(join(folder, "x.gguf")), {
    count: 80,
    seed: 9,
  });
  assert.ok(gguf > 30, `${gguf}`);
});

Deno.test("openPacked() and its layers read or refuse 300 damaged files of every kind of pruning", async () => {
  const shape = { rows: 8, cols: 64, groupSize: 32, keep: 2, of: 4, segments: 3, salient: true } as const;
  const types = ["semi-structured", "unstructured", "structured", "none"] as const;
  const folder = await Deno.makeTempDir();
  try {
    const { path } = await writePackedModel(folder, {
      layers: types.map((type, seed) => [
        type,
        encodeLayer(randomLayer({ ...shape, type }, seed), {
          mask: seed === 0 ? "enumerative" : "bitmask",
          scales: "f16",
        }),
      ]),
      others: [["norm", floats(4)], ["ids", { dtype: "I32", shape: [2], data: new Int32Array(2) }]],
      config: { model_type: "llama" },
      tokenizer: undefined,
      source: { label: "tiny" },
    });
    const whole = await Deno.readFile(path);
    const within = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
    let refused = 0;
    for (const options of [{ count: 220, seed: 4, within }, { count: 80, seed: 5 }]) {
      refused += await readsOrRefuses(mutations(whole, options), async (copy) => {
        await Deno.writeFile(path, copy);
        const packed = await openPacked(folder);
        try {
          for (const name of packed.tensors.keys()) await packed.read(name);
        } finally {
          packed.close();
        }
      });
    }
    assert.ok(refused > 200, `${refused}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
