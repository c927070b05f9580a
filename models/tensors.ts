/**
 * Which tensors a model is made of: their names, shapes, and who reads them.
 *
 * Canonical names are those of today's Hugging Face checkpoints, with the `model.` prefix (`model.layers.0.…`,
 * `model.decoder.layers.0.…`); `resolveTensor` of checkpoints also finds them in checkpoints that were saved without it.
 */
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import type { LinearSpec, ModelSpec } from "./spec.ts";

/**
 * The compressible linear layers of one block, in the order data flows.
 *
 * @param block 0-based index
 * @throws {RangeError} no such block
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { modelSpec } from "./config.ts";
 * import { blockLinears } from "./tensors.ts";
 *
 * const spec = modelSpec({ model_type: "opt", hidden_size: 8, ffn_dim: 16, num_hidden_layers: 1,
 *   num_attention_heads: 1, vocab_size: 5 });
 * const { name, rows, cols, input } = blockLinears(spec, 0)[5];
 * assert.deepEqual([name, rows, cols, input], ["model.decoder.layers.0.fc2", 8, 16, "down"]);
 * ```
 */
export function blockLinears(spec: ModelSpec, block: number): LinearSpec[] {
  if (!Number.isInteger(block) || block < 0 || block >= spec.blocks) {
    throw new RangeError(`Cannot list block ${block} as the model has blocks 0 to ${spec.blocks - 1}`);
  }
  const { hidden, ffn, heads, kvHeads, headDim } = spec;
  const prefix = blockPrefix(spec, block);
  const linear = (name: string, rows: number, cols: number, input: string) => ({
    name: `${prefix}${name}`,
    rows,
    cols,
    input,
  });
  const attention = [
    linear("self_attn.q_proj", heads * headDim, hidden, "attention"),
    linear("self_attn.k_proj", kvHeads * headDim, hidden, "attention"),
    linear("self_attn.v_proj", kvHeads * headDim, hidden, "attention"),
  ];
  return spec.architecture === "llama"
    ? [
      ...attention,
      linear("self_attn.o_proj", hidden, heads * headDim, "output"),
      linear("mlp.gate_proj", ffn, hidden, "mlp"),
      linear("mlp.up_proj", ffn, hidden, "mlp"),
      linear("mlp.down_proj", hidden, ffn, "down"),
    ]
    : [
      ...attention,
      linear("self_attn.out_proj", hidden, heads * headDim, "output"),
      linear("fc1", ffn, hidden, "mlp"),
      linear("fc2", hidden, ffn, "down"),
    ];
}

/** Names of all tensors that one block reads. @throws {RangeError} no such block */
export function blockTensors(spec: ModelSpec, block: number): string[] {
  return [...blockShapes(spec, block).keys()];
}

/** Names of the tensors that turn token ids into the first hidden states. */
export function embeddingTensors(spec: ModelSpec): string[] {
  return [...embeddingShapes(spec).keys()];
}

/** Names of the tensors that turn the last hidden states into logits; a tied head is the token embedding. */
export function headTensors(spec: ModelSpec): string[] {
  return [...headShapes(spec).keys()];
}

/** Shapes of all tensors that one block reads. @throws {RangeError} no such block */
export function blockShapes(spec: ModelSpec, block: number): TensorShapes {
  const shapes = new Map<string, readonly number[]>();
  const prefix = blockPrefix(spec, block);
  for (const { name, rows, cols } of blockLinears(spec, block)) {
    shapes.set(`${name}.weight`, [rows, cols]);
    const biased = name.includes("self_attn") ? spec.attentionBias : spec.mlpBias;
    if (biased) shapes.set(`${name}.bias`, [rows]);
  }
  const norms = spec.architecture === "llama"
    ? ["input_layernorm.weight", "post_attention_layernorm.weight"]
    : ["self_attn_layer_norm", "final_layer_norm"].flatMap((norm) => [`${norm}.weight`, `${norm}.bias`]);
  for (const norm of norms) shapes.set(`${prefix}${norm}`, [spec.hidden]);
  return shapes;
}

/** Shapes of the tensors of the embedding. */
export function embeddingShapes(spec: ModelSpec): TensorShapes {
  const { vocab, hidden, embedding, maxPositions } = spec;
  if (spec.architecture === "llama") return new Map([["model.embed_tokens.weight", [vocab, hidden]]]);
  const shapes = new Map<string, readonly number[]>([
    ["model.decoder.embed_tokens.weight", [vocab, embedding]],
    ["model.decoder.embed_positions.weight", [maxPositions + OPT_OFFSET, hidden]],
  ]);
  if (embedding !== hidden) shapes.set("model.decoder.project_in.weight", [hidden, embedding]);
  return shapes;
}

/** Shapes of the tensors of the head: final norm, projection (OPT-350M), vocabulary. */
export function headShapes(spec: ModelSpec): TensorShapes {
  const { vocab, hidden, embedding } = spec;
  const shapes = new Map<string, readonly number[]>();
  if (spec.architecture === "llama") shapes.set("model.norm.weight", [hidden]);
  else {
    if (spec.preNorm) {
      shapes.set("model.decoder.final_layer_norm.weight", [hidden]);
      shapes.set("model.decoder.final_layer_norm.bias", [hidden]);
    }
    if (embedding !== hidden) shapes.set("model.decoder.project_out.weight", [embedding, hidden]);
  }
  return shapes.set(headName(spec), [vocab, embedding]);
}

/** OPT's learned positions start at row 2 of their table. */
export const OPT_OFFSET = 2;

/** Name of the matrix that makes logits: `lm_head.weight`, or the token embedding where it is tied. */
export function headName(spec: ModelSpec): string {
  if (!spec.tied) return "lm_head.weight";
  return spec.architecture === "llama" ? "model.embed_tokens.weight" : "model.decoder.embed_tokens.weight";
}

/** Common start of the names of a block's tensors, with the dot. */
export function blockPrefix(spec: ModelSpec, block: number): string {
  return spec.architecture === "llama" ? `model.layers.${block}.` : `model.decoder.layers.${block}.`;
}
