/**
 * Reads a Hugging Face config into the shape of a model, or says why it cannot.
 *
 * Supported: the LLaMA family (LLaMA 1/2/3, SmolLM2, TinyLlama, Vicuna) and OPT (125M to 66B, the post-norm 350M
 * included). Sizes are bounded here, before anything is allocated for them.
 */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { ModelSpec, RopeScaling } from "./spec.ts";

const SUPPORTED = 'LLaMA ("model_type": "llama") and OPT ("model_type": "opt")';
const SUPPORTED_ROPE = '"default", "linear", "dynamic" and "llama3"';

/** Largest accepted values; the largest released models of both families stay below a quarter of each. */
const LIMITS = {
  hidden: 65_536,
  ffn: 262_144,
  blocks: 1_024,
  heads: 1_024,
  headDim: 1_024,
  vocab: 1_048_576,
  maxPositions: 16_777_216,
} as const;

/**
 * The shape of the model that a `config.json` describes.
 *
 * @param config parsed `config.json`
 * @returns the shape; every size is a positive integer within bounds
 * @throws {InputError} unsupported architecture or option, missing or unreasonable size
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { modelSpec } from "./config.ts";
 *
 * const spec = modelSpec({ model_type: "llama", hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2,
 *   num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 100 });
 * assert.equal(spec.headDim, 16);
 * assert.equal(spec.maxPositions, 2048);
 * ```
 */
export function modelSpec(config: JsonObject): ModelSpec {
  const type = config.model_type;
  const names = Array.isArray(config.architectures) ? config.architectures : [];
  if (type === "llama" || (type === undefined && names.includes("LlamaForCausalLM"))) return llamaSpec(config);
  if (type === "opt" || (type === undefined && names.includes("OPTForCausalLM"))) return optSpec(config);
  const found = `model_type ${JSON.stringify(type)}, architectures ${JSON.stringify(names)}`;
  throw new InputError(`Cannot read the model as only ${SUPPORTED} are supported: found ${found}`);
}

function llamaSpec(config: JsonObject): ModelSpec {
  const hidden = size(config, "hidden_size", LIMITS.hidden);
  const heads = size(config, "num_attention_heads", LIMITS.heads);
  const kvHeads = size(config, "num_key_value_heads", LIMITS.heads, heads);
  const headDim = size(config, "head_dim", LIMITS.headDim, hidden / heads);
  const maxPositions = size(config, "max_position_embeddings", LIMITS.maxPositions, 2048);
  const rope = object(config, "rope_parameters") ?? object(config, "rope_scaling") ?? {};
  only(config, "hidden_act", ["silu", "swish"], "silu");
  only(config, "sliding_window", [null], null);
  only({ ...config, ...rope }, "partial_rotary_factor", [1], 1);
  if (heads % kvHeads !== 0) {
    throw new InputError(
      `Cannot read the model as num_attention_heads must be a multiple of num_key_value_heads: current values are ${heads} and ${kvHeads}`,
    );
  }
  if (headDim % 2 !== 0) {
    throw new InputError(
      `Cannot read the model as head_dim must be even for rotary positions: current value is ${headDim}`,
    );
  }
  return {
    architecture: "llama",
    hidden,
    ffn: size(config, "intermediate_size", LIMITS.ffn),
    blocks: size(config, "num_hidden_layers", LIMITS.blocks),
    heads,
    kvHeads,
    headDim,
    vocab: size(config, "vocab_size", LIMITS.vocab),
    maxPositions,
    eps: real(config, "rms_norm_eps", 1e-6),
    tied: flag(config, "tie_word_embeddings", false),
    ropeTheta: real({ ...config, ...rope }, "rope_theta", 10_000),
    ropeScaling: ropeScaling(rope, maxPositions),
    attentionBias: flag(config, "attention_bias", false),
    mlpBias: flag(config, "mlp_bias", false),
    preNorm: true,
    embedding: hidden,
    ...specialTokens(config),
  };
}

function optSpec(config: JsonObject): ModelSpec {
  const hidden = size(config, "hidden_size", LIMITS.hidden);
  const heads = size(config, "num_attention_heads", LIMITS.heads);
  const bias = flag(config, "enable_bias", true);
  only(config, "activation_function", ["relu"], "relu");
  only(config, "layer_norm_elementwise_affine", [true], true);
  only(config, "_remove_final_layer_norm", [false], false);
  return {
    architecture: "opt",
    hidden,
    ffn: size(config, "ffn_dim", LIMITS.ffn),
    blocks: size(config, "num_hidden_layers", LIMITS.blocks),
    heads,
    kvHeads: heads,
    headDim: size({ head_dim: hidden / heads }, "head_dim", LIMITS.headDim),
    vocab: size(config, "vocab_size", LIMITS.vocab),
    maxPositions: size(config, "max_position_embeddings", LIMITS.maxPositions, 2048),
    eps: 1e-5,
    tied: flag(config, "tie_word_embeddings", true),
    ropeTheta: 0,
    ropeScaling: { type: "default" },
    attentionBias: bias,
    mlpBias: bias,
    preNorm: flag(config, "do_layer_norm_before", true),
    embedding: size(config, "word_embed_proj_dim", LIMITS.hidden, hidden),
    ...specialTokens(config),
  };
}

function ropeScaling(rope: JsonObject, maxPositions: number): RopeScaling {
  const type = rope.rope_type ?? rope.type ?? "default";
  const factor = () => real(rope, "factor");
  const original = (fallback?: number) => size(rope, "original_max_position_embeddings", LIMITS.maxPositions, fallback);
  switch (type) {
    case "default":
      return { type: "default" };
    case "linear":
      return { type: "linear", factor: factor() };
    case "dynamic":
      return { type: "dynamic", factor: factor(), originalMaxPositions: original(maxPositions) };
    case "llama3":
      return {
        type: "llama3",
        factor: factor(),
        lowFrequencyFactor: real(rope, "low_freq_factor"),
        highFrequencyFactor: real(rope, "high_freq_factor"),
        originalMaxPositions: original(),
      };
    default:
      throw new InputError(
        `Cannot read the model as only ${SUPPORTED_ROPE} rotary scalings are supported: found ${JSON.stringify(type)}`,
      );
  }
}

function specialTokens(config: JsonObject): Pick<ModelSpec, "bos" | "eos"> {
  const eos = config.eos_token_id;
  return {
    bos: typeof config.bos_token_id === "number" ? config.bos_token_id : undefined,
    eos: (Array.isArray(eos) ? eos : [eos]).filter((id): id is number => typeof id === "number"),
  };
}

function size(config: JsonObject, key: string, limit: number, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= limit) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be an integer from 1 to ${limit}: current value is ${JSON.stringify(value)}`,
  );
}

function real(config: JsonObject, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be a positive number: current value is ${JSON.stringify(value)}`,
  );
}

function flag(config: JsonObject, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value === "boolean") return value;
  throw new InputError(
    `Cannot read the model as ${key} must be true or false: current value is ${JSON.stringify(value)}`,
  );
}

function object(config: JsonObject, key: string): JsonObject | undefined {
  const value = config[key];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as JsonObject : undefined;
}

function only(config: JsonObject, key: string, allowed: readonly unknown[], fallback: unknown): void {
  const value = config[key] ?? fallback;
  if (allowed.includes(value)) return;
  const list = allowed.map((item) => JSON.stringify(item)).join(" or ");
  throw new InputError(`Cannot read the model as ${key} must be ${list}: current value is ${JSON.stringify(value)}`);
}
