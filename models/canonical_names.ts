/** Canonical names of a checkpoint's tensors, whatever training put before them. */
import { InputError } from "../files/input_error.ts";
import { HEAD, type ModelSpec } from "./spec.ts";

/** What a checkpoint's tensors are called here. */
export interface CanonicalNames {
  /** Name in the checkpoint by canonical name; tensors that are no part of the model keep theirs. */
  readonly stored: ReadonlyMap<string, string>;
  /** A name that changed because of a wrapper, if any did: as stored, and canonical. */
  readonly unwrapped: readonly [string, string] | undefined;
}

/** Modules that wrap another and pass everything through: torch.compile, FSDP, activation checkpointing. */
const WRAPPERS = /(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+/g;

/** What canonical names of all tensors but the head begin with. */
const BASE = "model.";

/**
 * Finds the canonical names: without wrappers (`_orig_mod.`), without what stands before all names (`module.`,
 * `base_model.model.`), and with `model.`, which older checkpoints leave out.
 *
 * @param names as stored
 * @param spec tells what blocks are called
 * @throws {InputError} blocks under several beginnings, or two tensors of one canonical name
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { canonicalNames } from "./canonical_names.ts";
 * import { modelSpec } from "./config.ts";
 *
 * const spec = modelSpec({ model_type: "llama", hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2,
 *   num_attention_heads: 4, vocab_size: 100 });
 * const { stored } = canonicalNames(["module.model.layers.0.mlp.up_proj.weight", "module.lm_head.weight"], spec, "m");
 * assert.equal(stored.get("lm_head.weight"), "module.lm_head.weight");
 * assert.ok(stored.has("model.layers.0.mlp.up_proj.weight"));
 * ```
 */
export function canonicalNames(names: Iterable<string>, spec: ModelSpec, label: string): CanonicalNames {
  const plain = [...names].map((name) => [name, name.replace(WRAPPERS, "$1")] as const);
  const inner = beginningOf(plain.map(([, name]) => name), spec, label);
  const outer = inner.endsWith(BASE) ? inner.slice(0, -BASE.length) : inner;
  const stored = new Map<string, string>();
  let unwrapped: readonly [string, string] | undefined;
  for (const [name, without] of plain) {
    const canonical = without === `${outer}${HEAD}`
      ? HEAD
      : without.startsWith(inner)
      ? `${BASE}${without.slice(inner.length)}`
      : without;
    const other = stored.get(canonical);
    if (other !== undefined) {
      throw new InputError(
        `Cannot tell the weights of ${label} apart: "${other}" and "${name}" are both "${canonical}"; ` +
          "save the model with one of them",
      );
    }
    stored.set(canonical, name);
    if (canonical !== name && canonical !== `${BASE}${name}`) unwrapped ??= [name, canonical];
  }
  return { stored, unwrapped };
}

/** What stands before the names of blocks; as it is here or in older checkpoints, where there are several. */
function beginningOf(names: readonly string[], { block: { prefix } }: ModelSpec, label: string): string {
  const blocks = prefix.slice(BASE.length);
  const found = new Set<string>();
  for (const name of names) {
    for (let at = name.indexOf(blocks); at >= 0; at = name.indexOf(blocks, at + 1)) {
      const [begin, rest] = [name.slice(0, at), name.slice(at + blocks.length)];
      if ((begin === "" || begin.endsWith(".")) && /^\d+\./.test(rest)) found.add(begin);
    }
  }
  for (const usual of [BASE, ""]) if (found.has(usual)) return usual;
  if (found.size > 1) {
    const list = [...found].map((begin) => `"${begin}${blocks}0."`).join(" and ");
    throw new InputError(
      `Cannot tell which model of ${label} is meant: its blocks' names begin with ${list}; save the one that is, alone`,
    );
  }
  return [...found][0] ?? BASE;
}
