/** generation_config.json of a folder and of a packed model, and the tokenizer's class where its config does not say. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { InputError } from "../files/input_error.ts";
import { encodeSafetensors } from "../files/safetensors_test_support.ts";
import type { JsonObject } from "./checkpoint.ts";
import { type ModelFiles, readTokenizer } from "./model_files.ts";
import { openCheckpoint } from "./open.ts";
import { openPacked } from "./packed/open.ts";
import { writePackedModel } from "./packed/write.ts";

const NORM = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
const WEIGHTS = await encodeSafetensors({ "model.norm.weight": NORM });

async function withFolder(files: Record<string, JsonObject | Uint8Array>, use: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const bytes = content instanceof Uint8Array ? content : new TextEncoder().encode(JSON.stringify(content));
      await Deno.writeFile(join(folder, name), bytes);
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const model = { "config.json": { model_type: "llama" }, "model.safetensors": WEIGHTS };

Deno.test("openCheckpoint() reads generation_config.json, which need not be there", async () => {
  const generation = { eos_token_id: [2, 7], temperature: 0.6 };
  for (const wanted of [generation, { eos_token_id: null }, {}, undefined]) {
    const files = wanted === undefined ? model : { ...model, "generation_config.json": wanted };
    await withFolder(files, async (path) => {
      const checkpoint = await openCheckpoint({ path });
      assert.deepEqual(checkpoint.generation, wanted);
      checkpoint.close();
    });
  }
});

Deno.test("openCheckpoint() and openPacked() say what is wrong with generation_config.json", async () => {
  const message = /Cannot read generation_config\.json of .*: eos_token_id must be a token id or a list of them/;
  const isClear = (error: Error) => error instanceof InputError && message.test(error.message);
  for (const eos_token_id of ["</s>", [2, -1], [0.5], {}, [[2]]]) {
    await withFolder({ ...model, "generation_config.json": { eos_token_id } }, async (path) => {
      await assert.rejects(openCheckpoint({ path }), isClear);
    });
  }
  await withFolder({}, async (folder) => {
    const content = { layers: [], others: [], config: {}, tokenizer: undefined, source: {} };
    await writePackedModel(folder, { ...content, generation: { eos_token_id: "</s>" } });
    await assert.rejects(openPacked(folder), isClear);
  });
});

Deno.test("a packed model keeps generation_config.json beside its config", () =>
  withFolder({}, async (folder) => {
    const content = { layers: [], others: [["model.norm.weight", NORM]] as const, config: {}, tokenizer: undefined };
    const generation = { eos_token_id: [2, 7] };
    await writePackedModel(folder, { ...content, source: {}, generation });
    assert.deepEqual(JSON.parse(await Deno.readTextFile(join(folder, "generation_config.json"))), generation);
    const packed = await openPacked(folder);
    assert.deepEqual(packed.generation, generation);
    packed.close();
  }));

Deno.test("a packed model keeps a config's Infinity and NaN, as Python writes them", () =>
  withFolder({}, async (folder) => {
    const config = { limit: [0, Infinity], low: -Infinity, none: NaN, word: "Infinity" };
    await writePackedModel(folder, {
      layers: [],
      others: [],
      config,
      tokenizer: undefined,
      source: {},
      generation: undefined,
    });
    const packed = await openPacked(folder);
    const { quantization_config: _, ...read } = packed.config;
    assert.deepEqual(read, config);
    packed.close();
  }));

Deno.test("readTokenizer() finds the class by the model's type, and older models' special tokens", async () => {
  const read = async (content: Record<string, JsonObject>) => {
    const files: ModelFiles = {
      label: "x",
      names: new Set(Object.keys(content)),
      text: (name) => Promise.resolve(JSON.stringify(content[name])),
      has: (name) => Promise.resolve(name in content),
      open: () => assert.fail("weights are not needed"),
    };
    const source = await readTokenizer(files);
    return source?.kind === "files" ? source.config : assert.fail();
  };
  const files = { "tokenizer.json": {}, "config.json": { model_type: "qwen2" }, "tokenizer_config.json": { a: 1 } };
  assert.deepEqual(await read(files), { a: 1, tokenizer_class: "Qwen2Tokenizer" });
  assert.deepEqual(await read({ ...files, "config.json": { tokenizer_class: "GPT2Tokenizer" } }), {
    a: 1,
    tokenizer_class: "GPT2Tokenizer",
  });
  assert.deepEqual(await read({ ...files, "tokenizer_config.json": { tokenizer_class: "T" } }), {
    tokenizer_class: "T",
  });
  assert.deepEqual(await read({ ...files, "tokenizer_config.json": {} }), {}, "tokenizer.json alone decides");
  const special = { ...files, "special_tokens_map.json": { bos_token: "<s>" } };
  assert.equal((await read(special)).bos_token, "<s>");
  const newer = { ...special, "tokenizer_config.json": { added_tokens_decoder: {} } };
  assert.equal((await read(newer)).bos_token, undefined);
});
