/** Checkpoints that say one thing in config.json and hold another, through the real command line. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import { generate } from "../inference/generate.ts";
import { modelSpec } from "../models/config.ts";
import { lastRun, metricsOf, modelBytes, project, runTask, temporaryFolder } from "./command_line_test_support.ts";
import { type PlainTensor, readPlain, writePlain } from "./plain_safetensors_test_support.ts";
import { writeRandomRecipe } from "./small_models_test_support.ts";

const SOURCE = join(project, "models", "testdata", "qwen2-tied");
const { tensors: TENSORS } = readPlain(join(SOURCE, "model.safetensors"));
const CONFIG = JSON.parse(readFileSync(join(SOURCE, "config.json"), "utf8"));
const UNTIED = new Map([...TENSORS, ["lm_head.weight", upsideDown(TENSORS.get("model.embed_tokens.weight"))]]);

Deno.test("run and generate compute what the file holds, whatever config.json says, and pack nothing else", async () => {
  using temporary = temporaryFolder();
  const { path } = temporary;
  const right = await run(join(path, "right"), { ...CONFIG, tie_word_embeddings: false }, UNTIED);
  // A LLaMA, which has no biases unless its config says so, tied, in a wrapper, with buffers.
  const buffer = (dtype: string, bytes: readonly number[]) => ({ dtype, shape: [1], bytes: Uint8Array.from(bytes) });
  const odd = new Map<string, PlainTensor>([
    ["_orig_mod.model.layers.0.self_attn.bias", buffer("BOOL", [1])],
    ["_orig_mod.model.position_ids", buffer("I64", [0, 0, 0, 0, 0, 0, 0, 0])],
    ...[...UNTIED].map(([name, tensor]) => [`_orig_mod.${name}`, tensor] as const),
    ["_orig_mod.model.layers.1.self_attn.causal_mask", buffer("F32", [0, 0, 0x80, 0xff])],
  ]);
  const config = { ...CONFIG, model_type: "llama", architectures: ["LlamaForCausalLM"] };
  const found = await run(join(path, "found"), config, odd);
  const said = found.err.replaceAll(/\s+/g, " ");
  assert.match(said, /read without what was put around them: "_orig_mod\./);
  assert.match(said, /own head is used/);
  assert.match(said, /biases that its config\.json does not mention/);
  assert.match(said, /Left out of model, .*"_orig_mod\.model\.layers\.0\.self_attn\.bias"/);
  assert.deepEqual(metricsOf(found).perplexity, metricsOf(right).perplexity);
  assert.deepEqual(modelBytes(found), modelBytes(right));

  const texts = [];
  for (const { path } of [right, found]) {
    const packed = await openPacked(join(path, "model"));
    const { tied, block } = modelSpec(packed.config);
    assert.deepEqual([tied, block.biases], [false, ["query", "key", "value"]]);
    texts.push(await Array.fromAsync(generate(packed, [1, 5, 9], { maxTokens: 12, threads: 1 })));
    packed.close();
  }
  assert.deepEqual(texts[0], texts[1]);
});

for (
  const [name, config, change, message] of [
    ["codes in place of weights", {}, { "model.layers.1.mlp.up_proj.weight": code() }, /F8_E4M3; give the original/],
    [
      "an unknown tensor",
      {},
      { "model.layers.0.self_attn.q_norm.weight": code() },
      /a tensor that no qwen2 model .*q_norm\.weight/,
    ],
    ["a block too many", { num_hidden_layers: 1 }, {}, /num_hidden_layers: 1, and the file has blocks up to 1/],
    ["another shape", { intermediate_size: 40 }, {}, /its shape must be \[64,40\]: current value is \[64,48\]/],
    ["no head", { tie_word_embeddings: false }, {}, /does not hold "lm_head\.weight".*"tie_word_embeddings": true/],
  ] as const
) {
  Deno.test(`plan refuses ${name}, before any work`, async () => {
    using temporary = temporaryFolder();
    const tensors = new Map<string, PlainTensor>([...TENSORS, ...Object.entries(change)]);
    const recipe = await write(temporary.path, { ...CONFIG, ...config }, tensors);
    const { code, err } = await runTask("plan", [recipe, "--cache", join(temporary.path, "cache")]);
    assert.equal(code, 3, err);
    assert.match(err.replaceAll(/\s+/g, " "), message);
  });
}

/** Runs a small recipe on a model. */
async function run(folder: string, config: Record<string, unknown>, tensors: ReadonlyMap<string, PlainTensor>) {
  Deno.mkdirSync(folder);
  const recipe = await write(folder, config, tensors);
  const runs = join(folder, "runs");
  const { code, err } = await runTask("run", [recipe, "--cache", join(folder, "cache"), "--runs", runs]);
  assert.equal(code, 0, err);
  return { ...lastRun(runs), err };
}

/** Writes a model and a recipe for it, on random tokens. @returns the recipe's path */
async function write(
  folder: string,
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, PlainTensor>,
): Promise<string> {
  const model = join(folder, "model");
  Deno.mkdirSync(model);
  writeFileSync(join(model, "config.json"), JSON.stringify(config));
  writePlain(join(model, "model.safetensors"), tensors);
  return await writeRandomRecipe(folder, { model });
}

/** The rows of a matrix [96, 64] of F32 in the opposite order. */
function upsideDown(tensor: PlainTensor | undefined): PlainTensor {
  assert.ok(tensor);
  const row = 4 * 64;
  const bytes = new Uint8Array(tensor.bytes.length);
  for (let at = 0; at < bytes.length; at += row) {
    bytes.set(tensor.bytes.subarray(at, at + row), bytes.length - row - at);
  }
  return { ...tensor, bytes };
}

/** A matrix [48, 64] of 8-bit floats. */
function code(): PlainTensor {
  return { dtype: "F8_E4M3", shape: [48, 64], bytes: new Uint8Array(48 * 64) };
}
