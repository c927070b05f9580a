/** config.json's keys, rebuilt from GGUF metadata. LLaMA-shaped models only: GGUF has no OPT. */
import type { JsonObject } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";

/** What the metadata alone does not say. */
export interface GgufFacts {
  readonly label: string;
  /** Rows of the token embedding. */
  readonly vocab: number;
  /** Whether there is no separate output matrix. */
  readonly tied: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** `rope_freqs.weight`: what each rotary frequency is divided by; undefined when the file has none. */
  readonly ropeFactors: Float32Array | undefined;
}

/** Llama 3's own constants, which GGUF does not store; only the factors computed from them are. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } as const;

/**
 * Checks that a GGUF file holds a model of a kind that can be read.
 *
 * @throws {InputError} for other architectures and for mixtures of experts
 */
export function checkArchitecture(label: string, metadata: JsonObject): void {
  const architecture = metadata["general.architecture"];
  if (architecture !== "llama") {
    throw new InputError(
      `Cannot open ${label}: the architecture of a GGUF file must be llama: current value is ${architecture}`,
    );
  }
  if (Number(metadata["llama.expert_count"] ?? 0) > 0) {
    throw new InputError(`Cannot open ${label}: mixtures of experts are not supported`);
  }
}

/**
 * A number of the metadata.
 *
 * @param fallback when the key is absent; without it the key is required
 * @throws {InputError} when the key is missing or not a number
 */
export function metadataNumber(label: string, metadata: JsonObject, key: string, fallback?: number): number {
  const value = metadata[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new InputError(`Cannot open ${label}: ${key} must be a number: current value is ${JSON.stringify(value)}`);
}

/**
 * Rebuilds config.json.
 *
 * @returns the keys a LLaMA config has, in Hugging Face's names
 * @throws {InputError} when a key is missing, or rotary scaling cannot be told from the file
 */
export function configFromGguf(metadata: JsonObject, facts: GgufFacts): JsonObject {
  const { label, vocab, tied, attentionBias, mlpBias } = facts;
  const number = (key: string, fallback?: number) => metadataNumber(label, metadata, key, fallback);
  const heads = number("llama.attention.head_count");
  const hidden = number("llama.embedding_length");
  const headDim = number("llama.attention.key_length", hidden / heads);
  const theta = number("llama.rope.freq_base", 10_000);
  const rotary = number("llama.rope.dimension_count", headDim);
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: hidden,
    intermediate_size: number("llama.feed_forward_length"),
    num_hidden_layers: number("llama.block_count"),
    num_attention_heads: heads,
    num_key_value_heads: number("llama.attention.head_count_kv", heads),
    head_dim: headDim,
    max_position_embeddings: number("llama.context_length"),
    rms_norm_eps: number("llama.attention.layer_norm_rms_epsilon"),
    ...(rotary === headDim ? {} : { partial_rotary_factor: rotary / headDim }),
    rope_theta: theta,
    rope_scaling: ropeScaling(metadata, facts, theta, headDim),
    attention_bias: attentionBias,
    mlp_bias: mlpBias,
    tie_word_embeddings: tied,
    vocab_size: vocab,
    bos_token_id: metadata["tokenizer.ggml.bos_token_id"] ?? null,
    eos_token_id: metadata["tokenizer.ggml.eos_token_id"] ?? null,
    pad_token_id: metadata["tokenizer.ggml.padding_token_id"] ?? null,
    unk_token_id: metadata["tokenizer.ggml.unknown_token_id"] ?? null,
  };
}

/**
 * What Llama 3 divides its rotary frequencies by: 1 for short wavelengths, `factor` for long ones, a blend between.
 *
 * Source: the reference implementation of Llama 3.1 (`apply_scaling`).
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(llama3Factors(500_000, 128, 8)[63], 8);
 * ```
 * @returns [headDim / 2]
 */
export function llama3Factors(theta: number, headDim: number, factor: number): Float64Array {
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = LLAMA3;
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (2 * i / headDim);
    if (wavelength < length / high) return 1;
    if (wavelength > length / low) return factor;
    const smooth = (length / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function ropeScaling(
  metadata: JsonObject,
  { label, ropeFactors }: GgufFacts,
  theta: number,
  headDim: number,
): JsonObject | null {
  const type = metadata["llama.rope.scaling.type"] ?? "none";
  if (type !== "none") {
    return {
      rope_type: type,
      factor: metadataNumber(label, metadata, "llama.rope.scaling.factor", 1),
      ...("llama.rope.scaling.original_context_length" in metadata
        ? { original_max_position_embeddings: metadata["llama.rope.scaling.original_context_length"] }
        : {}),
    };
  }
  // Files from before 2024 have a linear factor under this name.
  if ("llama.rope.scale_linear" in metadata) {
    return { rope_type: "linear", factor: metadataNumber(label, metadata, "llama.rope.scale_linear") };
  }
  if (ropeFactors === undefined || ropeFactors.every((factor) => factor === 1)) return null;
  const factor = ropeFactors.reduce((most, value) => Math.max(most, value), 1);
  const expected = llama3Factors(theta, headDim, factor);
  const known = ropeFactors.length === expected.length &&
    expected.every((value, i) => Math.abs(ropeFactors[i] - value) <= 1e-4 * value);
  if (known) return { rope_type: "llama3", factor, ...LLAMA3 };
  throw new InputError(
    `Cannot open ${label}: its rotary factors (rope_freqs.weight) are not Llama 3's; give the model's own config.json with ` +
      "`config: FOLDER`",
  );
}
