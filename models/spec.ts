/** The shape of a model, read from its config, as everything else here needs it. */

/** How rotary frequencies are stretched (config `rope_scaling` / `rope_parameters`). */
export type RopeScaling =
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "dynamic"; readonly factor: number; readonly originalMaxPositions: number }
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalMaxPositions: number;
  };

/** One linear layer of a block. */
export interface LinearSpec {
  /** Full name without `.weight`, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** Linears of one block with the same `input` share their S: `attention`, `output`, `mlp`, `down` (LLaMA). */
  readonly input: string;
}

/** What a block's linears do. */
export type LinearRole = "query" | "key" | "value" | "output" | "gate" | "up" | "down";

/** All roles, in the order data flows. */
export const LINEAR_ROLES: readonly LinearRole[] = ["query", "key", "value", "output", "gate", "up", "down"];

/** The matrix that makes logits where it is not the token embedding; all families here call it so. */
export const HEAD = "lm_head.weight";

/**
 * What a block is made of. All blocks here are attention and an MLP, each added to the stream of hidden states; names are
 * those of Hugging Face without the block's prefix and without `.weight`; `null` is what a family does not have.
 */
export type BlockLayout = {
  /** Name of a block's tensors before its index, with the dot: `model.layers.`. */
  readonly prefix: string;
  readonly linears: Readonly<Record<Exclude<LinearRole, "gate">, string>> & { readonly gate: string | null };
  /** The linears that have a bias, in the order of `LINEAR_ROLES`. */
  readonly biases: readonly LinearRole[];
  /** The norms of attention and MLP. */
  readonly norms: { readonly attention: string; readonly mlp: string };
  /** RMS norms of every head's query and key, before rotation. */
  readonly headNorms: { readonly query: string; readonly key: string } | null;
  /** Whether what attention and MLP read is normalised (true), or the stream after their results were added. */
  readonly preNorm: boolean;
  readonly activation: "silu" | "relu";
};

/** What stands around the blocks; names are canonical and whole, those of norms without `.weight`. */
export type FrameLayout = {
  readonly tokens: string;
  /** Learned positions, and the row of their table at which position 0 stands; `null`: positions are rotary. */
  readonly positions: { readonly table: string; readonly offset: number } | null;
  /** Where the token embedding has another width than the stream. */
  readonly projections: { readonly into: string; readonly out: string } | null;
  readonly finalNorm: string | null;
  /** The matrix that makes logits: the token embedding where it is tied. */
  readonly head: string;
};

/**
 * A supported model: plain data, and all that graphs, embeddings, costs and names are made from.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { modelSpec } from "./config.ts";
 * import type { ModelSpec } from "./spec.ts";
 *
 * const spec: ModelSpec = modelSpec({ model_type: "llama", hidden_size: 64, intermediate_size: 96,
 *   num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 100 });
 * assert.equal(spec.family, "llama");
 * assert.equal(spec.block.linears.gate, "mlp.gate_proj");
 * assert.equal(spec.frame.positions, null);
 * ```
 */
export interface ModelSpec {
  /** Name of its family; for people and records, as what differs between families is here in other words. */
  readonly family: string;
  readonly hidden: number;
  readonly ffn: number;
  readonly blocks: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  /** Positions that the model knows, and that are computed exactly here: not beyond `window`. */
  readonly maxPositions: number;
  /** Keys that a query sees where attention slides; up to that length it is full attention. `null`: it does not slide. */
  readonly window: number | null;
  readonly eps: number;
  readonly tied: boolean;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Width of the token embedding; OPT-350M's is not `hidden`. */
  readonly embedding: number;
  /** Kind of all norms of hidden states. */
  readonly norm: "rms" | "layer";
  readonly block: BlockLayout;
  readonly frame: FrameLayout;
  readonly bos: number | undefined;
  readonly eos: readonly number[];
}
