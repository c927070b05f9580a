/** How llama.cpp files a model: its family's layout, which names are read by and written by. */
import type { GgufLayout } from "../checkpoints/gguf_layout.ts";
import type { Family } from "./families/family.ts";
import * as families from "./families/mod.ts";
import type { ModelSpec } from "./spec.ts";

/**
 * The layout of GGUF files of a model's family.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(familyGguf({ family: "mistral" })?.architecture, "llama");
 * assert.equal(familyGguf({ family: "opt" }), undefined);
 * ```
 * @returns undefined where llama.cpp does not know the family
 */
export function familyGguf({ family }: Pick<ModelSpec, "family">): GgufLayout | undefined {
  const known: readonly Family[] = Object.values(families);
  return known.find(({ modelType }) => modelType === family)?.gguf ?? undefined;
}

/** A family's class in transformers, as `architectures` of a config.json names it. */
export function familyClass({ family }: Pick<ModelSpec, "family">): string | undefined {
  const known: readonly Family[] = Object.values(families);
  return known.find(({ modelType }) => modelType === family)?.className;
}
