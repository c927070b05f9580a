/** Which linears have biases: a config says it in few words, or not at all; a file holds them or does not. */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { LINEAR_ROLES, type LinearRole, type ModelSpec } from "./spec.ts";
import { blockPrefix } from "./tensors.ts";

/** The config's key under which roles are written where no key of its family can say them. */
const KEY = "pbs2p_biases";

/**
 * The spec with the biases that a file holds besides those that the config asks for.
 *
 * One graph serves all blocks, so that what one block has is asked of all.
 *
 * @param has whether the file holds a tensor, by canonical name
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { completeBiases } from "./biases.ts";
 * import { modelSpec } from "./config.ts";
 *
 * const spec = modelSpec({ model_type: "llama", hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2,
 *   num_attention_heads: 4, vocab_size: 100 });
 * const { block } = completeBiases(spec, (name) => name.endsWith("k_proj.bias"));
 * assert.deepEqual(block.biases, ["key"]);
 * ```
 */
export function completeBiases(spec: ModelSpec, has: (name: string) => boolean): ModelSpec {
  const blocks = Array.from({ length: spec.blocks }, (_, block) => blockPrefix(spec, block));
  const held = (role: LinearRole) => {
    const name = spec.block.linears[role];
    return name !== null && blocks.some((prefix) => has(`${prefix}${name}.bias`));
  };
  return withBiases(spec, LINEAR_ROLES.filter((role) => spec.block.biases.includes(role) || held(role)));
}

/** The config with the biases of a spec, for who reads the config alone. */
export function writeBiases(config: JsonObject, { block: { biases } }: ModelSpec): JsonObject {
  return { ...config, [KEY]: [...biases] };
}

/** The spec with the biases that `writeBiases` wrote, if it did. @throws {InputError} where they are no roles */
export function withWrittenBiases(spec: ModelSpec, { [KEY]: written }: JsonObject): ModelSpec {
  if (written === undefined) return spec;
  const roles: readonly unknown[] = Array.isArray(written) ? written : [written];
  const known = LINEAR_ROLES.filter((role) => spec.block.linears[role] !== null);
  const strange = roles.find((role) => !known.some((each) => each === role));
  if (strange === undefined) return withBiases(spec, known.filter((role) => roles.includes(role)));
  throw new InputError(
    `Cannot read the model as ${KEY} must list ${known.join(", ")}: ${found(written)}`,
  );
}

function withBiases(spec: ModelSpec, biases: readonly LinearRole[]): ModelSpec {
  return { ...spec, block: { ...spec.block, biases } };
}
