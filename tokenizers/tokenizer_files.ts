/** A tokenizer as the files that Hugging Face's libraries read. */
import type { JsonObject, TokenizerSource } from "../checkpoints/checkpoint.ts";
import { isObject } from "../files/json.ts";
import { ggufTokenizer } from "./gguf_tokenizer.ts";
import { storedTokenizer } from "./tokenizer.ts";
import type { TokenizerDefinition } from "./tokenizer_definition.ts";

/**
 * tokenizer.json and tokenizer_config.json. What was read from such files is as it was; what a GGUF file or older files say becomes the
 * tokenizer.json it amounts to.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const model = { type: "BPE", vocab: { h: 0 }, merges: [] };
 * const files = tokenizerFiles({ kind: "files", tokenizer: { model }, config: {} });
 * assert.deepEqual(files, { "tokenizer.json": { model } });
 * ```
 * @returns by name; without tokenizer_config.json where there is nothing to say
 * @throws {InputError} when the tokenizer is malformed
 */
export function tokenizerFiles(source: TokenizerSource): Readonly<Record<string, JsonObject>> {
  const stored = storedTokenizer(source);
  const { tokenizer, config } = stored.kind === "files" ? stored : spelledOut(stored.metadata);
  return {
    "tokenizer.json": tokenizer,
    ...(Object.keys(config).length === 0 ? {} : { "tokenizer_config.json": config }),
  };
}

/** What stands for a GGUF file's tokenizer, with all fields that the reference wants to be there. */
function spelledOut(metadata: JsonObject): TokenizerDefinition {
  const { tokenizer, config } = ggufTokenizer(metadata);
  const { added_tokens: added, post_processor: ends, ...rest } = tokenizer;
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const template = metadata["tokenizer.chat_template"];
  const special = (id: "unknown" | "padding") => {
    const tokens = metadata["tokenizer.ggml.tokens"], at = metadata[`tokenizer.ggml.${id}_token_id`];
    return Array.isArray(tokens) && typeof at === "number" ? tokens[at] : undefined;
  };
  const names = { unk_token: special("unknown"), pad_token: special("padding"), chat_template: template };
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: Array.isArray(added) ? added.map((token) => ({ ...plain, ...token })) : [],
      ...rest,
      post_processor: isObject(ends) ? withPairs(ends) : null,
    },
    config: { ...config, ...Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined)) },
  };
}

/** TemplateProcessing of two texts, one after the other, and its special tokens with all their fields. */
function withPairs(ends: JsonObject): JsonObject {
  const { single, special_tokens: special } = ends;
  const parts: readonly unknown[] = Array.isArray(single) ? single : [];
  const second = parts.map((part) =>
    isObject(part) && isObject(part.Sequence) ? { Sequence: { id: "B", type_id: 1 } } : withType(part)
  );
  return {
    ...ends,
    pair: [...parts, ...second],
    special_tokens: Object.fromEntries(
      Object.entries(isObject(special) ? special : {}).map(([id, token]) => [
        id,
        { id, tokens: [id], ...(isObject(token) ? token : {}) },
      ]),
    ),
  };
}

function withType(part: unknown): unknown {
  return isObject(part) && isObject(part.SpecialToken) ? { SpecialToken: { ...part.SpecialToken, type_id: 1 } } : part;
}
