/**
 * Reads a Hugging Face config into the shape of a model, or says why it cannot.
 *
 * What is supported the families say; see `families/mod.ts`.
 */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { shown } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import type { Family } from "./families/family.ts";
import * as families from "./families/mod.ts";
import { withWrittenBiases } from "./biases.ts";
import type { ModelSpec } from "./spec.ts";

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
  const known: readonly Family[] = Object.values(families);
  const type = config.model_type;
  const classes = Array.isArray(config.architectures) ? config.architectures : [];
  const family = known.find(({ modelType, className }) =>
    type === undefined ? classes.includes(className) : type === modelType
  );
  if (family) return withWrittenBiases(family.spec(config), config);
  const supported = known.map(({ title, modelType }) => `${title} ("model_type": "${modelType}")`);
  const found = `model_type ${shown(type)}, architectures ${shown(classes)}`;
  throw new InputError(
    `Cannot read the model as only ${supported.slice(0, -1).join(", ")} and ${
      supported.at(-1)
    } are supported: found ${found}`,
  );
}
