/** config.json's keys, rebuilt from GGUF metadata: those that llama.cpp writes for rotary decoders of any architecture. */
import type { JsonObject } from "./checkpoint.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import type { GgufModel } from "./gguf_layout.ts";

/** What the metadata alone does not say. */
export interface GgufFacts {
  /** What the metadata's keys begin with. */
  readonly architecture: string;
  /** Rows of the token embedding. */
  readonly vocab: number;
  /** Whether there is no separate output matrix. */
  readonly tied: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

/** Llama 3's own constants, which GGUF does not store; only the factors computed from them are. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } as const;

const WINDOW = "attention.sliding_window";

/** Whether a file says that attention slides. */
export function slides(metadata: JsonObject, architecture: string): boolean {
  return `${architecture}.${WINDOW}` in metadata;
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
  throw new InputError(`Cannot open ${label}: ${key} must be a number: ${found(value)}`);
}

/**
 * Rebuilds config.json.
 *
 * @returns sizes, positions, biases and special tokens in Hugging Face's names; not `model_type`, which is the family's to say
 * @throws {InputError} when a key is missing, or rotary scaling cannot be told from the file
 */
export function configFromGguf(model: GgufModel, facts: GgufFacts): JsonObject {
  const { label, metadata } = model;
  const { architecture, vocab, tied, attentionBias, mlpBias } = facts;
  const number = (key: string, fallback?: number) =>
    metadataNumber(label, metadata, `${architecture}.${key}`, fallback);
  const heads = number("attention.head_count");
  const hidden = number("embedding_length");
  const headDim = number("attention.key_length", hidden / heads);
  const theta = number("rope.freq_base", 10_000);
  const rotary = number("rope.dimension_count", headDim);
  return {
    hidden_act: "silu",
    hidden_size: hidden,
    intermediate_size: number("feed_forward_length"),
    num_hidden_layers: number("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: number("attention.head_count_kv", heads),
    head_dim: headDim,
    max_position_embeddings: number("context_length"),
    rms_norm_eps: number("attention.layer_norm_rms_epsilon"),
    ...(rotary === headDim ? {} : { partial_rotary_factor: rotary / headDim }),
    rope_theta: theta,
    rope_scaling: ropeScaling(model, architecture, theta, headDim),
    ...slidingWindow(model, architecture),
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

/** Keys that say that attention slides, in every block; absent where the file does not say so. */
function slidingWindow({ label, metadata }: GgufModel, architecture: string): JsonObject {
  if (!slides(metadata, architecture)) return {};
  const window = metadataNumber(label, metadata, `${architecture}.${WINDOW}`);
  return { sliding_window: window, use_sliding_window: true, max_window_layers: 0 };
}

function ropeScaling(
  { label, metadata, ropeFactors }: GgufModel,
  architecture: string,
  theta: number,
  headDim: number,
): JsonObject | null {
  const rope = `${architecture}.rope`;
  const type = metadata[`${rope}.scaling.type`] ?? "none";
  if (type !== "none") {
    return {
      rope_type: type,
      factor: metadataNumber(label, metadata, `${rope}.scaling.factor`, 1),
      ...(`${rope}.scaling.original_context_length` in metadata
        ? { original_max_position_embeddings: metadata[`${rope}.scaling.original_context_length`] }
        : {}),
    };
  }
  // Files from before 2024 have a linear factor under this name.
  if (`${rope}.scale_linear` in metadata) {
    return { rope_type: "linear", factor: metadataNumber(label, metadata, `${rope}.scale_linear`) };
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
