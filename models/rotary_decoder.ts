/**
 * The decoder that LLaMA began and others vary: RMS norms, rotary positions, grouped queries, a gated MLP.
 *
 * Families give what differs as data. Names are Hugging Face's, which all of them share.
 */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { flag, LIMITS, object, only, real, ropeScaling, size, specialTokens } from "./config_fields.ts";
import { type BlockLayout, HEAD, type LinearRole, type ModelSpec } from "./spec.ts";

/** What a family varies. */
export interface DecoderVariant {
  readonly family: string;
  /** The linears that have a bias. */
  readonly biases: readonly LinearRole[];
  /** Whether every head's query and key is normalised before rotation. */
  readonly headNorms: boolean;
  /** Keys that a query sees; `null` means all before it. */
  readonly window: number | null;
  /** What transformers takes where config.json does not say; sizes that it must say have no entry. */
  readonly defaults: {
    readonly maxPositions: number;
    /** Default: as many as heads. */
    readonly kvHeads?: number;
    /** Default: hidden / heads. */
    readonly headDim?: number;
  };
}

/** Names of a block's tensors. */
export const DECODER_BLOCK = {
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
  norms: { attention: "input_layernorm", mlp: "post_attention_layernorm" },
  headNorms: { query: "self_attn.q_norm", key: "self_attn.k_norm" },
} as const;

/** Names of what stands around the blocks. */
export const DECODER_FRAME = {
  tokens: "model.embed_tokens.weight",
  finalNorm: "model.norm",
  head: HEAD,
} as const;

/**
 * The shape of a model of this kind.
 *
 * @throws {InputError} an option that asks for another computation than the graphs here have, or a size that is missing or unreasonable
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { rotaryDecoder } from "./rotary_decoder.ts";
 *
 * const config = { hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 100 };
 * const variant = { family: "f", biases: ["query"], headNorms: true, window: 9, defaults: { maxPositions: 32 } } as const;
 * assert.equal(rotaryDecoder(config, variant).maxPositions, 9);
 * ```
 */
export function rotaryDecoder(config: JsonObject, { family, window, defaults, ...variant }: DecoderVariant): ModelSpec {
  const hidden = size(config, "hidden_size", LIMITS.hidden);
  const heads = size(config, "num_attention_heads", LIMITS.heads);
  const kvHeads = size(config, "num_key_value_heads", LIMITS.heads, defaults.kvHeads ?? heads);
  const headDim = size(config, "head_dim", LIMITS.headDim, defaults.headDim ?? hidden / heads);
  const maxPositions = size(config, "max_position_embeddings", LIMITS.maxPositions, defaults.maxPositions);
  const rope = object(config, "rope_parameters") ?? object(config, "rope_scaling") ?? {};
  const tied = flag(config, "tie_word_embeddings", false);
  only(config, "hidden_act", ["silu", "swish"], "silu");
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
    family,
    hidden,
    ffn: size(config, "intermediate_size", LIMITS.ffn),
    blocks: size(config, "num_hidden_layers", LIMITS.blocks),
    heads,
    kvHeads,
    headDim,
    vocab: size(config, "vocab_size", LIMITS.vocab),
    maxPositions: Math.min(maxPositions, window ?? maxPositions),
    window,
    eps: real(config, "rms_norm_eps", 1e-6),
    tied,
    ropeTheta: real({ ...config, ...rope }, "rope_theta", 10_000),
    ropeScaling: ropeScaling(rope, maxPositions),
    embedding: hidden,
    norm: "rms",
    block: blockLayout(variant),
    frame: {
      tokens: DECODER_FRAME.tokens,
      positions: null,
      projections: null,
      finalNorm: DECODER_FRAME.finalNorm,
      head: tied ? DECODER_FRAME.tokens : DECODER_FRAME.head,
    },
    ...specialTokens(config),
  };
}

/**
 * The window of configs whose first layers may see all keys while later ones slide (`use_sliding_window`, `layer_types`).
 *
 * @returns keys that a query sees in the layers that slide; `null` where none does
 * @throws {InputError} a kind of layer that is not attention, or a window without a size
 */
export function layeredWindow(config: JsonObject): number | null {
  const [full, sliding] = ["full_attention", "sliding_attention"];
  const types: readonly unknown[] | undefined = Array.isArray(config.layer_types) ? config.layer_types : undefined;
  for (const type of types ?? []) only({ layer_types: type }, "layer_types", [full, sliding], full);
  const used = flag(config, "use_sliding_window", false);
  const first = used && types === undefined ? config.max_window_layers ?? 28 : Infinity;
  const slides = types?.includes(sliding) ?? Number(first) < Number(config.num_hidden_layers);
  if (!slides || (used && config.sliding_window === null)) return null;
  return size(config, "sliding_window", LIMITS.maxPositions, used ? 4096 : undefined);
}

function blockLayout({ biases, headNorms }: Pick<DecoderVariant, "biases" | "headNorms">): BlockLayout {
  return {
    ...DECODER_BLOCK,
    biases,
    headNorms: headNorms ? DECODER_BLOCK.headNorms : null,
    preNorm: true,
    activation: "silu",
  };
}
