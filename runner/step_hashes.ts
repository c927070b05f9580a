/**
 * What a step made, as hashes: a run's lock ends with these, and a run of that lock is held against them.
 *
 * Of each output that is kept: the hash of every tensor, and its small result itself, or that one's hash where it is long.
 */
import { createHash } from "node:crypto";
import type { Tensor } from "../files/safetensors.ts";
import { CorruptArtifactError } from "./cache/artifact.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import type { Node } from "./graph.ts";
import { canonicalJson, sha256 } from "./keys.ts";
import type { Json } from "./stage.ts";

/** One output of a step. A file that holds one tensor has the file's own hash, under the file's name. */
export interface OutputHashes {
  /** The small result, where it is short. */
  readonly value?: Json;
  /** Its hash, where it is long. */
  readonly value_sha256?: string;
  /** Hex sha256 by tensor: `q_proj#mask`, or `q_proj` where the file holds one; or by file, where it was written whole: `config.json`. */
  readonly tensors: Readonly<Record<string, string>>;
}

/** What a step made. */
export interface StepHashes {
  /** The step's content key, under which a cache may still have what it made. */
  readonly key: string;
  readonly outputs: Readonly<Record<string, OutputHashes>>;
}

/** Characters of a result that is written down itself: of those that draw from the inputs, what was drawn. */
const [SHORT, DRAWN] = [1024, 1 << 16];

/** Bytes hashed before anything else has its turn. */
const CHUNK = 1 << 24;

/** What stands for a result among the names of tensors. */
export const VALUE = "result";

/**
 * Hashes what a step has left in the cache.
 *
 * @param options `signal`: ends hashing
 * @returns without outputs that are not kept, or are not there any more
 * @throws the signal's reason when it is aborted
 */
export async function hashStep(
  { step, key, outputs }: Node,
  cache: ArtifactCache,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<StepHashes> {
  const hashed: Record<string, OutputHashes> = {};
  for (const [name, { retain }] of Object.entries(step.outputs)) {
    if (retain !== "keep" || !cache.has(outputs[name])) continue;
    try {
      hashed[name] = await hashOutput(outputs[name], cache, { most: step.early ? DRAWN : SHORT, signal });
    } catch (error) {
      // Gone or damaged meanwhile: there is nothing to be said of it, and whoever needs it makes it anew.
      if (!(error instanceof CorruptArtifactError)) throw error;
    }
  }
  return { key, outputs: hashed };
}

/**
 * Where what two runs made of one step differs: `[output, tensor]`, the tensors of each output first, then its result.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const made = { key: "", outputs: { layers: { tensors: { "q_proj#mask": "aa", "q_proj#scales": "bb" }, value: { error: 1 } } } };
 * const other = { key: "", outputs: { layers: { tensors: { "q_proj#mask": "aa", "q_proj#scales": "cc" }, value: { error: 2 } } } };
 * assert.deepEqual(differences(made, other), [["layers", "q_proj#scales"], ["layers", "result"]]);
 * assert.deepEqual(differences(made, made), []);
 * ```
 */
export function differences(locked: StepHashes, made: StepHashes): [output: string, tensor: string][] {
  return Object.entries(locked.outputs).flatMap(([output, before]) => {
    const now: OutputHashes = made.outputs[output] ?? { tensors: {} };
    const names = new Set([...Object.keys(before.tensors), ...Object.keys(now.tensors)]);
    const tensors = [...names].filter((name) => before.tensors[name] !== now.tensors[name]);
    return [...tensors, ...(resultOf(before) === resultOf(now) ? [] : [VALUE])]
      .map((name): [string, string] => [output, name]);
  });
}

/** Hash of a tensor alone: of its type and shape as JSON, a line's end, and its bytes. */
export async function hashTensor({ dtype, shape, data }: Tensor): Promise<string> {
  const hash = createHash("sha256").update(`${JSON.stringify([dtype, shape])}\n`);
  for (let at = 0; at < data.byteLength; at += CHUNK) {
    hash.update(new Uint8Array(data.buffer, data.byteOffset + at, Math.min(CHUNK, data.byteLength - at)));
    if (data.byteLength > CHUNK) await new Promise((done) => setTimeout(done));
  }
  return hash.digest("hex");
}

/** Where an output's tensor lies. @param name as in `OutputHashes.tensors` */
export function placeOf(name: string): { readonly file: string; readonly tensor?: string } {
  const at = name.indexOf("#");
  return at < 0
    ? { file: `${name}.safetensors` }
    : { file: `${name.slice(0, at)}.safetensors`, tensor: name.slice(at + 1) };
}

async function hashOutput(
  key: string,
  cache: ArtifactCache,
  { most, signal }: { readonly most: number; readonly signal: AbortSignal | undefined },
): Promise<OutputHashes> {
  const { value, files } = cache.manifest(key), reader = cache.read(key, { signal });
  const tensors: Record<string, string> = {};
  for (const { name, sha256, tensors: inside = {} } of files) {
    signal?.throwIfAborted();
    const stem = name.replace(/\.safetensors$/, ""), names = Object.keys(inside).sort();
    if (names.length < 2) tensors[names.length === 0 ? name : stem] = sha256;
    else {
      const read = await reader.read(name);
      for (const each of names) tensors[`${stem}#${each}`] = await hashTensor(read[each]);
    }
  }
  const text = canonicalJson(value);
  return {
    ...(value === null ? {} : text.length <= most ? { value } : { value_sha256: sha256(text) }),
    tensors,
  };
}

/** Of a result, the hash, whether or not it is written down itself. */
function resultOf({ value = null, value_sha256 }: OutputHashes): string {
  return value_sha256 ?? sha256(canonicalJson(value));
}
