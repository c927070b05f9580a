/** A tokenizer.json made of the files that older models have instead: vocab.json and merges.txt of GPT-2's kind. */
import type { JsonObject, VocabFiles } from "../checkpoints/checkpoint.ts";
import { found } from "../files/clear_text.ts";
import { isObject } from "../files/json.ts";
import { InputError } from "../files/input_error.ts";
import type { AddedToken } from "./added_tokens.ts";
import type { TokenizerDefinition } from "./tokenizer_definition.ts";

/** Special tokens of a GPT-2 tokenizer, in the order in which missing ones get ids, and what they are if nobody says. */
const SPECIAL = { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>", unk_token: "<|endoftext|>" };
const NAMES = [...Object.keys(SPECIAL), "pad_token", "mask_token"];

/**
 * The tokenizer.json that transformers' GPT2Tokenizer amounts to, and the config with its special tokens.
 *
 * Byte-level BPE without normalization; bos comes first exactly when the config has `add_bos_token`, as OPT's has.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const { tokenizer, config } = vocabTokenizer({
 *   label: "opt",
 *   vocab: { "</s>": 0, h: 1, i: 2, hi: 3 },
 *   merges: "#version: 0.2\nh i\n",
 *   config: { add_bos_token: true },
 *   special: { bos_token: "</s>", eos_token: "</s>", unk_token: "</s>" },
 *   added: {},
 * });
 * assert.deepEqual((tokenizer.model as { merges: unknown }).merges, [["h", "i"]]);
 * assert.equal(config.bos_token, "</s>");
 * ```
 * @throws {InputError} when a file is malformed, or merges tokens that the vocabulary lacks
 */
export function vocabTokenizer(files: VocabFiles): TokenizerDefinition {
  const config: JsonObject = { ...SPECIAL, tokenizer_class: "GPT2Tokenizer", ...files.config, ...files.special };
  const vocab = vocabularyOf(files, "vocab.json", files.vocab);
  const addedTokens = addedTokensOf(files, config, vocab);
  const byteLevel = { type: "ByteLevel", add_prefix_space: config.add_prefix_space === true, use_regex: true };
  return {
    config,
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens,
      normalizer: null,
      pre_tokenizer: { ...byteLevel, trim_offsets: true },
      post_processor: config.add_bos_token === true
        ? bosFirst(addedTokens, contentOf(config.bos_token))
        : { ...byteLevel, trim_offsets: false },
      decoder: { ...byteLevel, trim_offsets: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: "",
        end_of_word_suffix: "",
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: files.vocab,
        merges: mergesOf(files, vocab),
      },
    },
  };
}

function vocabularyOf({ label }: VocabFiles, name: string, entries: JsonObject): Map<string, number> {
  const vocab = new Map<string, number>();
  for (const [token, id] of Object.entries(entries)) {
    if (!Number.isSafeInteger(id) || Number(id) < 0) {
      throw new InputError(
        `Cannot read ${name} of ${label}: the id of ${JSON.stringify(token)} must be a number: current value is ` +
          JSON.stringify(id),
      );
    }
    vocab.set(token, Number(id));
  }
  return vocab;
}

function mergesOf({ label, merges }: VocabFiles, vocab: ReadonlyMap<string, number>): [string, string][] {
  const pairs: [string, string][] = [];
  for (const [index, line] of merges.split(/\r?\n/).entries()) {
    if (line === "" || line.startsWith("#version")) continue;
    const [left, right, ...rest] = line.split(" ");
    const known = right !== undefined && rest.length === 0 && [left, right, left + right].every((t) => vocab.has(t));
    if (!known) {
      throw new InputError(
        `Cannot read merges.txt of ${label}: line ${index + 1} must be two tokens that vocab.json has, joined too: ` +
          `${found(line)}`,
      );
    }
    pairs.push([left, right]);
  }
  return pairs;
}

/** Special tokens and those of added_tokens.json, by rising id. Those without an id get the next free ones. */
function addedTokensOf(files: VocabFiles, config: JsonObject, vocab: ReadonlyMap<string, number>): AddedToken[] {
  const ids = new Map([...vocab, ...vocabularyOf(files, "added_tokens.json", files.added)]);
  let free = 0;
  for (const id of ids.values()) free = Math.max(free, id + 1);
  const tokens = new Map<string, AddedToken>();
  const add = (content: string, flags: JsonObject, special: boolean) => {
    const id = ids.get(content) ?? free++;
    ids.set(content, id);
    const { single_word, lstrip, rstrip, normalized } = flags;
    tokens.set(content, {
      id,
      content,
      single_word: single_word === true,
      lstrip: lstrip === true,
      rstrip: rstrip === true,
      normalized: normalized === true,
      special,
    });
  };
  for (const content of Object.keys(files.added)) add(content, {}, false);
  const more = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  for (const value of [...NAMES.map((name) => config[name]), ...more]) {
    const content = contentOf(value);
    if (content !== undefined && !(tokens.get(content)?.special)) add(content, isObject(value) ? value : {}, true);
  }
  return [...tokens.values()].sort((a, b) => a.id - b.id);
}

/** bos, then the text. */
function bosFirst(tokens: readonly AddedToken[], bos: string | undefined): JsonObject {
  const id = tokens.find(({ content }) => content === bos)?.id;
  const [first, text] = [{ SpecialToken: { id: bos, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
  return {
    type: "TemplateProcessing",
    single: [first, text],
    pair: [first, text, { SpecialToken: { id: bos, type_id: 1 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { [String(bos)]: { id: bos, ids: [id], tokens: [bos] } },
  };
}

/** A token in a config is its text or an object with `content`. */
function contentOf(value: unknown): string | undefined {
  if (isObject(value)) return contentOf(value.content);
  return typeof value === "string" ? value : undefined;
}
