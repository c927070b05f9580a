/**
 * What a family of models is: data that everything else is made from.
 *
 * To add one, write its file beside this one and name it in `mod.ts`. Its spec lists the names of its tensors and which parts its
 * graphs have (`../spec.ts`); what no family had before, such as another activation, is a case in `../block_graph.ts`.
 */
import type { JsonObject } from "../../checkpoints/checkpoint.ts";
import type { GgufLayout } from "../../checkpoints/gguf_layout.ts";
import type { ModelSpec } from "../spec.ts";

/**
 * A family of models.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { Family } from "./family.ts";
 * import { llama } from "./llama.ts";
 *
 * const mine: Family = {
 *   title: "Mine",
 *   modelType: "mine",
 *   className: "MineForCausalLM",
 *   spec: (config) => ({ ...llama.spec({ ...config, model_type: "llama" }), family: "mine" }),
 *   gguf: null,
 * };
 * const { family, headDim } = mine.spec({ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2,
 *   num_attention_heads: 4, vocab_size: 9 });
 * assert.deepEqual([family, headDim], ["mine", 16]);
 * ```
 */
export interface Family {
  /** As people write it. */
  readonly title: string;
  /** The `model_type` in config.json. */
  readonly modelType: string;
  /** What `architectures` holds in configs without `model_type`. */
  readonly className: string;
  /**
   * The shape of one model.
   * @param config parsed config.json
   * @throws {InputError} an option that asks for another computation than the graphs here have, or a size that is missing or unreasonable
   */
  spec(config: JsonObject): ModelSpec;
  /** How its GGUF files are read; `null` where llama.cpp does not know the family, or files them under another. */
  readonly gguf: GgufLayout | null;
}
