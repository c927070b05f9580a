import assert from "node:assert/strict";
import type { Checkpoint, JsonObject, TensorInfo } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { modelSpec } from "./config.ts";
import { fitModel } from "./fit.ts";
import { modelShapes } from "./tensors.ts";

const SIZES = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 5 };
const LLAMA = { ...SIZES, model_type: "llama", intermediate_size: 16 };
const TIED = { ...LLAMA, tie_word_embeddings: true };
const OPT = { ...SIZES, model_type: "opt", ffn_dim: 16, max_position_embeddings: 4 };
const HEAD = "lm_head.weight";
const Q0 = "model.layers.0.self_attn.q_proj";
const ALL = ["query", "key", "value", "output", "gate", "up", "down"];

/** Shapes by name, or a type and a shape. */
type Tensors = Readonly<Record<string, readonly number[] | readonly [string, readonly number[]]>>;

/** What is opened. */
interface Opened {
  readonly config: JsonObject;
  readonly tensors: Tensors;
  readonly format?: Checkpoint["format"];
  readonly local?: boolean;
  /** Whether a head beside the embedding is the same. */
  readonly same?: boolean;
}

/** The tensors that a config asks for. */
function tensorsOf(config: JsonObject): Record<string, readonly number[]> {
  return Object.fromEntries(modelShapes(modelSpec(config)));
}

/** The same for all blocks. */
function inBlocks(prefix: string, tensors: Tensors, blocks = 2): Tensors {
  return Object.fromEntries(
    Array.from(
      { length: blocks },
      (_, block) => Object.entries(tensors).map(([name, shape]) => [`${prefix}${block}.${name}`, shape]),
    ).flat(),
  );
}

function renamed(tensors: Tensors, rename: (name: string) => string): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, shape]) => [rename(name), shape]));
}

function without(tensors: Tensors, ...names: readonly string[]): Tensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => !names.includes(name)));
}

/** A checkpoint of headers: whoever fits it must not read. */
function checkpointOf({ config, tensors, format = "safetensors", local = true, same }: Opened): Checkpoint {
  const infos = Object.entries(tensors).map(([name, given]): [string, TensorInfo] => {
    const [first, second] = given;
    const [dtype, shape] = Array.isArray(second) ? [String(first), second] : ["F32", given as readonly number[]];
    return [name, { name, dtype, shape, bytes: 0 }];
  });
  return {
    ...{ format, label: "test", config, tensors: new Map(infos), tokenizer: undefined, bytes: 0, local },
    identity: (names) => Promise.resolve(names.join()),
    read: (name) => assert.fail(`read ${name}`),
    same: (a, b) => same === undefined ? assert.fail(`compared ${a} and ${b}`) : Promise.resolve(same),
    close() {},
  };
}

const attention = { "self_attn.q_proj.bias": [8], "self_attn.k_proj.bias": [8], "self_attn.v_proj.bias": [8] };
const biases = {
  ...attention,
  "self_attn.o_proj.bias": [8],
  "mlp.gate_proj.bias": [16],
  "mlp.up_proj.bias": [16],
  "mlp.down_proj.bias": [8],
};

/** What fits: how, and the one warning. Its tensors are then those that the corrected config alone asks for. */
const FIT: Readonly<Record<string, Opened & { biases?: readonly string[]; tied?: boolean; warning?: RegExp }>> = {
  "what a config asks for": { config: LLAMA, tensors: tensorsOf(LLAMA) },
  "biases that a config does not mention": {
    ...{ config: { ...LLAMA, bias: true }, tensors: { ...tensorsOf(LLAMA), ...inBlocks("model.layers.", biases) } },
    ...{ biases: ALL, warning: /^test has biases .* used: self_attn\.q_proj\.bias, .*mlp\.down_proj\.bias$/ },
  },
  "biases on queries, keys and values alone, of a GGUF file": {
    ...{ config: LLAMA, tensors: { ...tensorsOf(LLAMA), ...inBlocks("model.layers.", attention) }, format: "gguf" },
    biases: ["query", "key", "value"],
  },
  "a Mistral with biases on queries": {
    config: { ...LLAMA, model_type: "mistral", num_key_value_heads: 2 },
    tensors: { ...tensorsOf(LLAMA), ...inBlocks("model.layers.", { "self_attn.q_proj.bias": [8] }) },
    ...{ biases: ["query"], warning: /self_attn\.q_proj\.bias$/ },
  },
  "an OPT with the biases that its config denies": {
    ...{ config: { ...OPT, enable_bias: false }, tensors: tensorsOf(OPT) },
    ...{ biases: ALL.filter((role) => role !== "gate"), tied: true, warning: /self_attn\.out_proj\.bias, fc1\.bias/ },
  },
  "buffers of any type and shape": {
    config: LLAMA,
    tensors: {
      ...tensorsOf(LLAMA),
      "model.rotary_emb.inv_freq": [4],
      ...inBlocks("model.layers.", {
        "self_attn.rotary_emb.inv_freq": [4],
        "self_attn.bias": ["BOOL", [1, 1, 4, 4]],
        "self_attn.masked_bias": ["F64", []],
        "self_attn.causal_mask": ["I8", [4, 4]],
        "self_attn.nothing": [0],
      }),
      "model.embed_positions.position_ids": ["I64", [1, 4]],
    },
    warning: /^Left out of test, .*"model\.rotary_emb\.inv_freq", "[^"]*", "[^"]*" and 9 more$/,
  },
  "names that torch.compile wrapped": {
    ...{ config: LLAMA, tensors: renamed(tensorsOf(LLAMA), (name) => `_orig_mod.${name}`) },
    warning: /"_orig_mod\.model\.embed_tokens\.weight" is "model\.embed_tokens\.weight"$/,
  },
  "names that torch.compile wrapped block by block": {
    ...{ config: LLAMA, tensors: renamed(tensorsOf(LLAMA), (name) => name.replace(/(layers\.\d+\.)/, "$1_orig_mod.")) },
    warning: /"model\.layers\.0\._orig_mod\.[^"]*" is "model\.layers\.0\.[^_"]/,
  },
  "names with both wrappers, base_model.model. and model. twice": {
    config: LLAMA,
    tensors: renamed(tensorsOf(LLAMA), (name) => `module._orig_mod.base_model.model.model.${name}`),
    warning: /read without/,
  },
  "names of a bare OPT in a wrapper": {
    ...{ config: OPT, tied: true },
    tensors: renamed(tensorsOf(OPT), (name) => name.replace("model.", "module.")),
    warning: /"module\.decoder\./,
  },
  "names without model.": { config: LLAMA, tensors: renamed(tensorsOf(LLAMA), (name) => name.replace("model.", "")) },
  "a tied head that is the embedding": {
    ...{ config: TIED, tensors: { ...tensorsOf(TIED), [HEAD]: [5, 8] } },
    ...{ same: true, tied: true },
  },
  "a tied head that is the embedding as far as a hub's model shows": {
    ...{ config: TIED, tensors: { ...tensorsOf(TIED), [HEAD]: [5, 8] } },
    ...{ same: true, local: false, tied: true, warning: /as far as samples show/ },
  },
  "a tied head that is not the embedding": {
    ...{ config: TIED, tensors: { ...tensorsOf(TIED), [HEAD]: [5, 8] } },
    ...{ same: false, tied: false, warning: /"lm_head\.weight" of test is not its embedding.*own head is used/ },
  },
  "an OPT's head, whose config is silent and so ties it": {
    ...{ config: OPT, tensors: { ...tensorsOf(OPT), [HEAD]: [5, 8] } },
    ...{ same: false, tied: false, warning: /own head is used/ },
  },
  "a head alone where it is tied": {
    ...{ config: TIED, tensors: { ...without(tensorsOf(TIED), "model.embed_tokens.weight"), [HEAD]: [5, 8] } },
    tied: true,
  },
  "what was packed, with tensors that nothing reads": {
    ...{ config: LLAMA, tensors: { ...tensorsOf(LLAMA), "model.stray": [3] }, format: "packed" },
  },
};

for (const [name, { biases = [], tied = false, warning, ...opened }] of Object.entries(FIT)) {
  Deno.test(`fitModel() takes ${name}`, async () => {
    const warnings: string[] = [];
    const given = checkpointOf(opened);
    const { spec, checkpoint } = await fitModel(given, { warn: (message) => void warnings.push(message) });
    assert.deepEqual([spec.block.biases, spec.tied], [
      opened.config.model_type === "opt" ? ALL.filter((role) => role !== "gate") : biases,
      tied,
    ]);
    assert.deepEqual(modelSpec(checkpoint.config), spec, "the config alone says the same");
    assert.equal(warnings.length, warning ? 1 : 0, warnings.join("\n"));
    if (warning) assert.match(warnings[0], warning);
    if (opened.format === "packed") return assert.equal(checkpoint, given);
    assert.deepEqual([...checkpoint.tensors.keys()].sort(), [...modelShapes(spec).keys()].sort());
    const stored = (await checkpoint.identity([...checkpoint.tensors.keys()])).split(",");
    assert.deepEqual(stored, [...given.tensors.keys()].filter((name) => stored.includes(name)), "in the file's order");
    const again = await fitModel(checkpoint, { warn: assert.fail });
    assert.deepEqual(again.spec, spec);
  });
}

const whole = tensorsOf(LLAMA);

/** What does not fit: the message, which ends with what to do. */
const REFUSED: Readonly<Record<string, Omit<Opened, "config"> & { config?: JsonObject; message: RegExp }>> = {
  "norms of queries and keys of a family that has none": {
    tensors: {
      ...whole,
      ...inBlocks("model.layers.", { "self_attn.q_norm.weight": [4], "self_attn.k_norm.weight": [4] }),
    },
    message:
      /holds 4 tensors that no llama .*"model\.layers\.0\.self_attn\.q_norm\.weight", .* and 1 more\).*; give the config/,
  },
  "blocks that the config does not count": {
    ...{ tensors: { ...whole, ...inBlocks("model.layers.", { "mlp.up_proj.weight": [16, 8] }, 4) } },
    message: /"model\.layers\.2\.mlp\.up_proj\.weight".*num_hidden_layers: 2, and the file has blocks up to 3: correct/,
  },
  "blocks that the file does not hold": {
    ...{ config: { ...LLAMA, num_hidden_layers: 3 }, tensors: whole },
    message: /"model\.layers\.2\.[^"]*".*num_hidden_layers: 3, and the file has 2 of them: give/,
  },
  "a bias of one block alone": {
    tensors: { ...whole, [`${Q0}.bias`]: [8] },
    message: /does not hold "model\.layers\.1\.self_attn\.q_proj\.bias"; a bias must be in all blocks or in none/,
  },
  "biases that the config asks for": {
    ...{ config: { ...LLAMA, attention_bias: true }, tensors: whole },
    message: /does not hold "model\.layers\.0\.self_attn\.q_proj\.bias", .* and 5 more; a bias must be/,
  },
  "a norm's bias": { tensors: { ...whole, "model.norm.bias": [8] }, message: /a tensor that .*"model\.norm\.bias"/ },
  "tensors of something else": {
    tensors: { ...whole, "vision_tower.a": [2], "extra.constant": ["F64", [1]] },
    message:
      /2 tensors .*"vision_tower\.a", "extra\.constant".*; give the config\.json .* or save the model without them/,
  },
  "an adapter around the layers": {
    tensors: {
      ...renamed(whole, (name) => `base_model.model.${name}`),
      [`base_model.model.${Q0}.lora_A.default.weight`]: [2, 8],
    },
    message: /changed by an adapter \("base_model.*lora_A.*\); merge it into them first/,
  },
  "quantized weights": {
    tensors: { ...without(whole, `${Q0}.weight`), [`${Q0}.qweight`]: ["I32", [1, 8]] },
    message: /quantized already \("[^"]*qweight"\); give the original model/,
  },
  "codes in place of weights": {
    tensors: { ...whole, [`${Q0}.weight`]: ["F8_E4M3", [8, 8]] },
    message: /"model\.layers\.0\.self_attn\.q_proj\.weight" of test: .*F8_E4M3; give the original/,
  },
  "integers in place of weights": {
    tensors: { ...whole, "model.norm.weight": ["I64", [8]] },
    message: /"model\.norm\.weight" of test: .*I64/,
  },
  "another shape in the last block": {
    tensors: { ...whole, "model.layers.1.mlp.down_proj.weight": [8, 15] },
    message: /"model\.layers\.1\.mlp\.down_proj\.weight".*must be \[8,16\]: current value is \[8,15\]; give the config/,
  },
  "an embedding without a head": {
    tensors: without(whole, HEAD),
    message:
      /does not hold "lm_head\.weight"; .*config\.json must say "tie_word_embeddings": true: current value is null/,
  },
  "a head without an embedding": {
    tensors: without(whole, "model.embed_tokens.weight"),
    message: /does not hold "model\.embed_tokens\.weight"; .*"tie_word_embeddings": true/,
  },
  "names of another architecture": {
    tensors: { "transformer.h.0.ln_1.weight": [8], "transformer.wte.weight": [5, 8] },
    message: /does not hold "model\.embed_tokens\.weight".* more, but "transformer\.h\.0\.ln_1\.weight"/,
  },
  "two models in one file": {
    tensors: { ...renamed(whole, (name) => `student.${name}`), ...renamed(whole, (name) => `teacher.${name}`) },
    message: /"student\.model\.layers\.0\." and "teacher\.model\.layers\.0\."; save the one/,
  },
  "one tensor under two names": {
    tensors: { ...whole, [`_orig_mod.${HEAD}`]: [5, 8] },
    message: /"lm_head\.weight" and "_orig_mod\.lm_head\.weight" are both "lm_head\.weight"; save/,
  },
};

for (const [name, { message, config = LLAMA, ...opened }] of Object.entries(REFUSED)) {
  Deno.test(`fitModel() refuses ${name}, from headers alone`, async () => {
    await assert.rejects(fitModel(checkpointOf({ config, ...opened })), (error) => {
      assert.ok(error instanceof InputError, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("modelSpec() refuses biases of roles that there are not", () => {
  assert.throws(
    () => modelSpec({ ...OPT, pbs2p_biases: ["gate"] }),
    /must list query, .*, down: current value is \["gate"\]/,
  );
});
