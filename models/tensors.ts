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
  const { linears } = spec.block;
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const list: readonly (readonly [string | null, number, number, string])[] = [
    [linears.query, queries, hidden, "attention"],
    [linears.key, keys, hidden, "attention"],
    [linears.value, keys, hidden, "attention"],
    [linears.output, hidden, queries, "output"],
    [linears.gate, ffn, hidden, "mlp"],
    [linears.up, ffn, hidden, "mlp"],
    [linears.down, hidden, ffn, "down"],
  ];
  const prefix = blockPrefix(spec, block);
  return list.flatMap(([name, rows, cols, input]) =>
    name === null ? [] : [{ name: `${prefix}${name}`, rows, cols, input }]
  );
}

/** Names and widths of the distinct inputs of a block's linears, in order. */
export function linearInputs(spec: ModelSpec): Map<string, number> {
  return new Map(blockLinears(spec, 0).map(({ input, cols }) => [input, cols]));
}

/** Weights of one block's linears: what is compressed, and what most of the time goes into. */
export function linearWeights(spec: ModelSpec): number {
  return blockLinears(spec, 0).reduce((sum, { rows, cols }) => sum + rows * cols, 0);
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
  const { linears, biases, norms, headNorms } = spec.block;
  const shapes = new Map<string, readonly number[]>();
  const prefix = blockPrefix(spec, block);
  const biased = new Set(biases.map((role) => `${prefix}${linears[role]}`));
  for (const { name, rows, cols } of blockLinears(spec, block)) {
    shapes.set(`${name}.weight`, [rows, cols]);
    if (biased.has(name)) shapes.set(`${name}.bias`, [rows]);
  }
  for (const norm of [norms.attention, norms.mlp]) setNorm(spec, shapes, `${prefix}${norm}`);
  if (headNorms) {
    for (const norm of [headNorms.query, headNorms.key]) shapes.set(`${prefix}${norm}.weight`, [spec.headDim]);
  }
  return shapes;
}

/** Shapes of the tensors of the embedding: tokens, learned positions, projection into the stream. */
export function embeddingShapes({ frame, vocab, hidden, embedding, maxPositions }: ModelSpec): TensorShapes {
  const { tokens, positions, projections } = frame;
  const shapes = new Map<string, readonly number[]>([[tokens, [vocab, embedding]]]);
  if (positions) shapes.set(positions.table, [maxPositions + positions.offset, hidden]);
  if (projections) shapes.set(projections.into, [hidden, embedding]);
  return shapes;
}

/** Shapes of the tensors of the head: final norm, projection out of the stream, vocabulary. */
export function headShapes(spec: ModelSpec): TensorShapes {
  const { vocab, embedding, frame } = spec;
  return new Map([...headInputShapes(spec), [frame.head, [vocab, embedding]]]);
}

/** Shapes of the tensors between the last block and what the head's matrix multiplies: final norm, projection out of the stream. */
export function headInputShapes(spec: ModelSpec): TensorShapes {
  const { hidden, embedding, frame } = spec;
  const shapes = new Map<string, readonly number[]>();
  if (frame.finalNorm !== null) setNorm(spec, shapes, frame.finalNorm);
  if (frame.projections) shapes.set(frame.projections.out, [embedding, hidden]);
  return shapes;
}

/** The tensors with a row for each token of the vocabulary, by what they are; a tied head is the embedding. */
export function vocabularyTensors(
  { frame: { tokens, head } }: ModelSpec,
): { readonly embedding: string; readonly head?: string } {
  return { embedding: tokens, ...(head === tokens ? {} : { head }) };
}

/** Shapes of all tensors of a model, each of which some pass reads. */
export function modelShapes(spec: ModelSpec): TensorShapes {
  const blocks = Array.from({ length: spec.blocks }, (_, block) => [...blockShapes(spec, block)]).flat();
  return new Map([...embeddingShapes(spec), ...blocks, ...headShapes(spec)]);
}

/** Common start of the names of a block's tensors, with the dot. */
export function blockPrefix(spec: ModelSpec, block: number): string {
  return `${spec.block.prefix}${block}.`;
}

function setNorm({ norm, hidden }: ModelSpec, shapes: Map<string, readonly number[]>, name: string): void {
  shapes.set(`${name}.weight`, [hidden]);
  if (norm === "layer") shapes.set(`${name}.bias`, [hidden]);
}
