/** Text to token ids and back, for a model's own tokenizer: from Hugging Face files or from GGUF metadata. */
import { createHash } from "node:crypto";
import type { JsonObject, StoredTokenizer, TokenizerSource } from "../checkpoints/checkpoint.ts";
import { ggufTokenizer } from "./gguf_tokenizer.ts";
import { type StreamDecoder, streamDecoder } from "./stream_decoder.ts";
import { openDefinition, type TokenizerDefinition } from "./tokenizer_definition.ts";
import { vocabTokenizer } from "./vocab_tokenizer.ts";

/**
 * A tokenizer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel } from "../models/open_model.ts";
 * import { openTokenizer, type Tokenizer } from "./tokenizer.ts";
 *
 * const checkpoint = await openModel({ path: "configs/models/tiny-llama" });
 * assert.ok(checkpoint.tokenizer);
 * const tokenizer: Tokenizer = openTokenizer(checkpoint.tokenizer);
 * const ids = tokenizer.encode("A small model", { special: false });
 * assert.equal(tokenizer.decode(ids), "A small model");
 * checkpoint.close();
 * ```
 */
export interface Tokenizer {
  /**
   * Token ids of a text.
   *
   * `special` (default true) adds what the model's tokenizer adds by itself, such as LLaMA's bos before the text;
   * special tokens that are spelled out in the text (`<s>`) are recognised either way.
   * @throws {InputError} for the rare characters that the reference knows by another version of Unicode, where it matters
   */
  encode(text: string, options?: { readonly special?: boolean }): Int32Array;
  /**
   * Text of token ids, special tokens spelled out. Ids that no token has, as those of a padded vocabulary, are nothing.
   * @throws {RangeError} for what is no id: negative or fractional
   */
  decode(ids: ArrayLike<number>): string;
  /** Whether an id is a special token's, which is no text. */
  isSpecial(id: number): boolean;
  /** Id of the token that begins a text, where the model has one. */
  readonly bos: number | undefined;
  /** Id of the token that ends a text, where the model has one. */
  readonly eos: number | undefined;
  /** Number of ids: the greatest plus one. */
  readonly size: number;
  /** Content hash (hex sha256) of everything that decides ids; for content keys. */
  fingerprint(): string;
  /** A decoder for tokens that come one by one. */
  streamDecoder(): StreamDecoder;
}

/** Raised whenever the same definition would give other ids. */
const VERSION = 2;

/**
 * Opens a tokenizer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const model = { type: "BPE", vocab: { h: 0, i: 1, hi: 2 }, merges: [["h", "i"]] };
 * const tokenizer = openTokenizer({ kind: "files", tokenizer: { model }, config: {} });
 * assert.deepEqual([...tokenizer.encode("hih")], [2, 0]);
 * assert.equal(tokenizer.decode([2]), "hi");
 * ```
 * @throws {InputError} when the definition is incomplete, or of a kind that cannot be reproduced exactly
 */
export function openTokenizer(source: TokenizerSource): Tokenizer {
  return build(definitionOf(source));
}

/**
 * The form in which a packed model stores a tokenizer: vocab.json and merges.txt become the tokenizer.json they amount to.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const files = { label: "tiny", vocab: { h: 0 }, merges: "", config: {}, special: {}, added: {} };
 * assert.equal(storedTokenizer({ kind: "vocab", files }).kind, "files");
 * ```
 * @throws {InputError} when one of these files is malformed
 */
export function storedTokenizer(source: TokenizerSource): StoredTokenizer {
  return source.kind === "vocab" ? { kind: "files", ...vocabTokenizer(source.files) } : source;
}

function definitionOf(source: TokenizerSource): TokenizerDefinition {
  const stored = storedTokenizer(source);
  if (stored.kind === "gguf") return ggufTokenizer(stored.metadata);
  return { tokenizer: stored.tokenizer, config: stored.config };
}

function build(definition: TokenizerDefinition): Tokenizer {
  const { ends, bos, eos, size, special, decisive, ...inner } = openDefinition(definition);
  const encode = (text: string, { special: around = true } = {}) => {
    const ids = inner.encode(text);
    return Int32Array.from(around ? [...ends.before, ...ids, ...ends.after] : ids);
  };
  const decode = (ids: ArrayLike<number>) => {
    const list = Array.from(ids);
    for (const id of list) {
      if (!(Number.isInteger(id) && id >= 0)) {
        throw new RangeError(`Cannot decode as token ids must be whole numbers from 0: current value is ${id}`);
      }
    }
    return inner.decode(list);
  };
  let hash: string | undefined;
  return {
    size,
    bos,
    eos,
    isSpecial: (id) => special.has(id),
    encode,
    decode,
    streamDecoder: () => streamDecoder(decode),
    fingerprint: () => hash ??= fingerprint(decisive),
  };
}

function fingerprint(decisive: JsonObject): string {
  return createHash("sha256").update(JSON.stringify(sorted({ VERSION, ...decisive }))).digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value as JsonObject).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, item]) => [key, sorted(item)]);
}
