import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { InputError } from "../files/input_error.ts";

const LLAMA = {
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32000,
};
const OPT = {
  model_type: "opt",
  hidden_size: 1024,
  ffn_dim: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  vocab_size: 50272,
};

Deno.test("modelSpec() fills in what early LLaMA configs leave out", () => {
  assert.deepEqual(modelSpec({ ...LLAMA, rms_norm_eps: 1e-6, bos_token_id: 1, eos_token_id: 2 }), {
    family: "llama",
    hidden: 4096,
    ffn: 11008,
    blocks: 32,
    heads: 32,
    kvHeads: 32,
    headDim: 128,
    vocab: 32000,
    maxPositions: 2048,
    window: null,
    eps: 1e-6,
    tied: false,
    ropeTheta: 10000,
    ropeScaling: { type: "default" },
    embedding: 4096,
    norm: "rms",
    block: {
      prefix: "model.layers.",
      linears: {
        query: "self_attn.q_proj",
        key: "self_attn.k_proj",
        value: "self_attn.v_proj",
        output: "self_attn.o_proj",
        gate: "mlp.gate_proj",
        up: "mlp.up_proj",
        down: "mlp.down_proj",
      },
      biases: [],
      norms: { attention: "input_layernorm", mlp: "post_attention_layernorm" },
      headNorms: null,
      preNorm: true,
      activation: "silu",
    },
    frame: {
      tokens: "model.embed_tokens.weight",
      positions: null,
      projections: null,
      finalNorm: "model.norm",
      head: "lm_head.weight",
    },
    bos: 1,
    eos: [2],
  });
});

Deno.test("modelSpec() reads LLaMA 3.1's positions, groups and several ends", () => {
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  const spec = modelSpec({
    ...LLAMA,
    num_key_value_heads: 8,
    rope_theta: 500000,
    rope_scaling: { ...scaling, rope_type: "llama3" },
    eos_token_id: [128001, 128008],
  });
  assert.equal(spec.kvHeads, 8);
  assert.equal(spec.ropeTheta, 500000);
  assert.deepEqual(spec.eos, [128001, 128008]);
  assert.deepEqual(spec.ropeScaling, {
    type: "llama3",
    factor: 8,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalMaxPositions: 8192,
  });
});

Deno.test("modelSpec() reads rope_parameters, and older scalings", () => {
  const parameters = { rope_theta: 100000, rope_type: "default" };
  assert.equal(modelSpec({ ...LLAMA, rope_parameters: parameters }).ropeTheta, 100000);
  const linear = { type: "linear", factor: 2 };
  assert.deepEqual(modelSpec({ ...LLAMA, rope_scaling: linear }).ropeScaling, linear);
  const dynamic = { type: "dynamic", factor: 2 };
  assert.deepEqual(modelSpec({ ...LLAMA, rope_scaling: dynamic }).ropeScaling, {
    ...dynamic,
    originalMaxPositions: 2048,
  });
});

Deno.test("modelSpec() reads OPT, and the 350M layout", () => {
  const spec = modelSpec({ ...OPT, do_layer_norm_before: false, word_embed_proj_dim: 512 });
  const { family, embedding, headDim, tied, eps, maxPositions, block: { preNorm, biases }, frame: { finalNorm } } =
    spec;
  assert.deepEqual(
    { family, preNorm, finalNorm, embedding, headDim, tied, biases, eps, maxPositions },
    {
      family: "opt",
      preNorm: false,
      finalNorm: null,
      embedding: 512,
      headDim: 64,
      tied: true,
      biases: ["query", "key", "value", "output", "up", "down"],
      eps: 1e-5,
      maxPositions: 2048,
    },
  );
  assert.equal(modelSpec(OPT).embedding, 1024);
});

const QWEN = { ...LLAMA, model_type: "qwen2", num_key_value_heads: 8, max_position_embeddings: 32768 };
const SLIDING = { ...QWEN, use_sliding_window: true, sliding_window: 2048, max_window_layers: 28 };
const MISTRAL = { ...LLAMA, model_type: "mistral", num_key_value_heads: 8, max_position_embeddings: 32768 };

/** Configs and the window of their attention. */
const WINDOWS: readonly (readonly [string, Readonly<Record<string, unknown>>, number | null])[] = [
  ["Mistral's default", MISTRAL, 4096],
  ["Mistral with a window", { ...MISTRAL, sliding_window: 128 }, 128],
  ["Mistral without a window", { ...MISTRAL, sliding_window: null }, null],
  ["Qwen2 that names a window and does not use it", { ...SLIDING, use_sliding_window: false }, null],
  ["Qwen2 with a window from block 28", SLIDING, 2048],
  ["Qwen2 with a window from a block that it has not", { ...SLIDING, max_window_layers: 32 }, null],
  ["Qwen2 whose blocks are all full", { ...SLIDING, layer_types: ["full_attention"] }, null],
  ["Qwen3 with a sliding block", {
    ...{ ...SLIDING, model_type: "qwen3", head_dim: 128 },
    layer_types: ["full_attention", "sliding_attention"],
  }, 2048],
];

for (const [name, config, window] of WINDOWS) {
  Deno.test(`modelSpec() knows how far attention sees: ${name}`, () => {
    const spec = modelSpec(config);
    assert.equal(spec.window, window);
    assert.equal(spec.maxPositions, window ?? 32768);
  });
}

Deno.test("modelSpec() takes a family by its class where model_type is absent", () => {
  const { model_type: _, ...config } = MISTRAL;
  assert.equal(modelSpec({ ...config, architectures: ["MistralForCausalLM"] }).family, "mistral");
});

Deno.test("modelSpec() gives plain data, which reaches the worker whole", () => {
  for (const config of [LLAMA, OPT, QWEN, MISTRAL]) {
    const spec = modelSpec(config);
    assert.deepEqual(structuredClone(spec), spec);
    assert.deepEqual(JSON.parse(JSON.stringify({ ...spec, bos: null })), { ...spec, bos: null });
  }
});

const WRONG: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
  [{ model_type: "gpt2", architectures: ["LlamaForCausalLM"] }, /LLaMA .*, OPT .* and Qwen3 .*: found .*"gpt2".*Llama/],
  [{}, /found model_type nothing, architectures \[\]/],
  [{ ...LLAMA, hidden_size: undefined }, /hidden_size must be an integer from 1 to 65536: it is missing/],
  [{ ...LLAMA, num_hidden_layers: 1e9 }, /num_hidden_layers .* 1 to 1024: current value is 1000000000/],
  [{ ...LLAMA, vocab_size: -1 }, /vocab_size .* current value is -1/],
  [{ ...LLAMA, intermediate_size: "11008" }, /intermediate_size .* current value is "11008"/],
  [{ ...LLAMA, num_attention_heads: 33 }, /head_dim must be an integer/],
  [{ ...LLAMA, head_dim: 7 }, /head_dim must be even/],
  [{ ...LLAMA, num_key_value_heads: 5 }, /must be a multiple .* current values are 32 and 5/],
  [{ ...LLAMA, hidden_act: "gelu" }, /hidden_act must be "silu" or "swish": current value is "gelu"/],
  [{ ...LLAMA, rms_norm_eps: 0 }, /rms_norm_eps must be a positive number/],
  [{ ...LLAMA, tie_word_embeddings: 1 }, /tie_word_embeddings must be true or false: current value is 1/],
  [{ ...LLAMA, rope_scaling: { type: "yarn", factor: 2 } }, /"llama3" rotary scalings are supported: found "yarn"/],
  [{ ...LLAMA, rope_scaling: { type: "linear" } }, /factor must be a positive number: it is missing/],
  [{ ...LLAMA, partial_rotary_factor: 0.5 }, /partial_rotary_factor must be 1/],
  [{ ...LLAMA, sliding_window: 4096 }, /sliding_window must be null/],
  [{ ...QWEN, layer_types: ["linear_attention"] }, /layer_types must be "full_attention" or "sliding_attention"/],
  [{ ...QWEN, layer_types: ["sliding_attention"] }, /sliding_window must be an integer .*: it is missing/],
  [{ ...SLIDING, sliding_window: 0 }, /sliding_window must be an integer .*: current value is 0/],
  [{ ...MISTRAL, sliding_window: "4096" }, /sliding_window must be an integer .*: current value is "4096"/],
  [{ ...QWEN, rope_scaling: { type: "yarn", factor: 4 } }, /rotary scalings are supported: found "yarn"/],
  [{ ...OPT, activation_function: "gelu" }, /activation_function must be "relu"/],
  [{ ...OPT, layer_norm_elementwise_affine: false }, /layer_norm_elementwise_affine must be true/],
  [{ ...OPT, _remove_final_layer_norm: true }, /_remove_final_layer_norm must be false/],
];

for (const [config, message] of WRONG) {
  Deno.test(`modelSpec() refuses a config: ${message.source}`, () => {
    assert.throws(() => modelSpec(config), (error) => error instanceof InputError && message.test(error.message));
  });
}
