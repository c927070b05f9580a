/** A tokenizer definition rebuilt from the metadata of a GGUF file (`tokenizer.ggml.*`). */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { GPT2_WORDS } from "./pre_tokenizers.ts";
import { splitBy, type TokenizerDefinition } from "./tokenizer_definition.ts";

/** Kinds of tokens, as numbered in GGUF files. */
export const KIND = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The words of LLaMA 3 and its relatives, which differ in how many digits stand together. */
const words = (digits: string) =>
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const LLAMA3 = { split: [words("\\p{N}{1,3}")], ignoreMerges: true, bos: true, nfc: false };
const QWEN2 = { split: [words("\\p{N}")], ignoreMerges: false, bos: false, nfc: true };
const GPT2 = { split: [GPT2_WORDS], ignoreMerges: false, bos: false, nfc: false };
const DIGITS_APART = { ...GPT2, split: ["\\p{N}", GPT2_WORDS] };
const DEFAULT = { ...GPT2, split: ["[\\p{P}$+<=>^~|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"] };

/** By `tokenizer.ggml.pre`, as llama.cpp reads it; `default` is what it does with files that do not say. */
export const PRE_TOKENIZERS: ReadonlyMap<string, typeof GPT2> = new Map([
  ["llama3", LLAMA3],
  ["llama-v3", LLAMA3],
  ["llama-bpe", LLAMA3],
  ["qwen2", QWEN2],
  ["deepseek-r1-qwen", QWEN2],
  ["gpt-2", GPT2],
  ["phi-2", GPT2],
  ["olmo", GPT2],
  ["smollm", DIGITS_APART],
  ["starcoder", DIGITS_APART],
  ["refact", DIGITS_APART],
  ["command-r", DIGITS_APART],
  ["default", DEFAULT],
]);

/**
 * The tokenizer.json and tokenizer_config.json that stand for a GGUF file's tokenizer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const { tokenizer } = ggufTokenizer({
 *   "tokenizer.ggml.model": "gpt2",
 *   "tokenizer.ggml.pre": "smollm",
 *   "tokenizer.ggml.tokens": ["h", "i", "hi"],
 *   "tokenizer.ggml.token_type": [1, 1, 1],
 *   "tokenizer.ggml.merges": ["h i"],
 * });
 * assert.equal((tokenizer.model as { type: string }).type, "BPE");
 * ```
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer".
 * @param metadata of the file; only `tokenizer.ggml.*` is read
 * @throws {InputError} when keys are missing or malformed, or the kind of tokenizer is not supported
 */
export function ggufTokenizer(metadata: JsonObject): TokenizerDefinition {
  const model = metadata["tokenizer.ggml.model"];
  switch (model) {
    case "gpt2":
      return bytePairs(metadata);
    case "llama":
      return sentencePieces(metadata);
    default:
      throw new InputError(
        `Cannot rebuild the tokenizer from GGUF metadata: tokenizer.ggml.model must be gpt2 or llama: ` +
          `${found(model)}; give the recipe's model a config folder with tokenizer.json`,
      );
  }
}

function bytePairs(metadata: JsonObject): TokenizerDefinition {
  const pre = metadata["tokenizer.ggml.pre"] ?? "default";
  const rules = typeof pre === "string" ? PRE_TOKENIZERS.get(pre) : undefined;
  if (rules === undefined) {
    throw new InputError(
      `Cannot rebuild the tokenizer from GGUF metadata: tokenizer.ggml.pre must be one of ` +
        `${[...PRE_TOKENIZERS.keys()].join(", ")}: ${found(pre)}; ` +
        "give the recipe's model a config folder with tokenizer.json",
    );
  }
  const tokens = strings(metadata, "tokenizer.ggml.tokens");
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return finish(metadata, tokens, {
    bos: rules.bos,
    normalizer: rules.nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...rules.split.map(splitBy), byteLevel] },
    model: {
      type: "BPE",
      vocab: vocabulary(tokens),
      merges: strings(metadata, "tokenizer.ggml.merges"),
      ignore_merges: rules.ignoreMerges,
    },
    decoder: { ...byteLevel },
  });
}

/**
 * SentencePiece's BPE, of LLaMA 1 and 2: it joins the neighbours whose joined piece has the greatest score. As merges,
 * ranked by that score, this is what Hugging Face's conversion of such models makes of it.
 */
function sentencePieces(metadata: JsonObject): TokenizerDefinition {
  const tokens = strings(metadata, "tokenizer.ggml.tokens");
  const scores = numbers(metadata, "tokenizer.ggml.scores", tokens.length);
  const kinds = numbers(metadata, "tokenizer.ggml.token_type", tokens.length);
  const joinable = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (kinds[id] !== KIND.control && kinds[id] !== KIND.unknown && kinds[id] !== KIND.byte) joinable.set(token, id);
  });
  const spaces = [{ type: "Replace", pattern: { String: " " }, content: "▁" }];
  const prefix = metadata["tokenizer.ggml.add_space_prefix"] !== false;
  return finish(metadata, tokens, {
    bos: true,
    normalizer: { type: "Sequence", normalizers: prefix ? [{ type: "Prepend", prepend: "▁" }, ...spaces] : spaces },
    pre_tokenizer: null,
    model: {
      type: "BPE",
      vocab: vocabulary(tokens),
      merges: mergesByScore(joinable, scores),
      byte_fallback: true,
      fuse_unk: true,
      unk_token: token(metadata, tokens, "unknown"),
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
  });
}

/** Every way to cut a piece into two pieces, pieces of greater score first. */
export function mergesByScore(
  pieces: ReadonlyMap<string, number>,
  scores: readonly number[],
): readonly [string, string][] {
  const merges: { readonly score: number; readonly pair: [string, string]; readonly ids: [number, number] }[] = [];
  for (const [piece, id] of pieces) {
    let left = "";
    for (const character of piece) {
      const right = piece.slice(left.length);
      const ids = [pieces.get(left), pieces.get(right)];
      if (ids[0] !== undefined && ids[1] !== undefined) {
        merges.push({ score: scores[id], pair: [left, right], ids: [ids[0], ids[1]] });
      }
      left += character;
    }
  }
  merges.sort((a, b) => b.score - a.score || a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]);
  return merges.map(({ pair }) => pair);
}

interface Parts {
  /** Whether bos comes first where the file does not say. */
  readonly bos: boolean;
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly model: JsonObject;
  readonly decoder: unknown;
}

function finish(metadata: JsonObject, tokens: readonly string[], { bos, ...parts }: Parts): TokenizerDefinition {
  const kinds = numbers(metadata, "tokenizer.ggml.token_type", tokens.length);
  const added = tokens.flatMap((content, id) => {
    if (kinds[id] === KIND.userDefined) return [{ id, content, special: false, normalized: false }];
    return kinds[id] === KIND.control || kinds[id] === KIND.unknown ? [{ id, content, special: true }] : [];
  });
  const [bosToken, eosToken] = [token(metadata, tokens, "bos"), token(metadata, tokens, "eos")];
  const wants = (name: "bos" | "eos", otherwise: boolean) => {
    const value = metadata[`tokenizer.ggml.add_${name}_token`] ?? otherwise;
    if (typeof value === "boolean") return value;
    throw malformedKey(`tokenizer.ggml.add_${name}_token`, "true or false", value);
  };
  const ends = {
    bos: wants("bos", bos) ? [bosToken ?? missingToken("bos")] : [],
    eos: wants("eos", false) ? [eosToken ?? missingToken("eos")] : [],
  };
  const special = (content: string) => ({ SpecialToken: { id: content, type_id: 0 } });
  const used = [...ends.bos, ...ends.eos].map((content) => [content, { ids: [tokens.indexOf(content)] }]);
  return {
    tokenizer: {
      ...parts,
      post_processor: {
        type: "TemplateProcessing",
        single: [...ends.bos.map(special), { Sequence: { id: "A", type_id: 0 } }, ...ends.eos.map(special)],
        special_tokens: Object.fromEntries(used),
      },
      added_tokens: added,
    },
    // The class that leaves all of this as it is.
    config: { tokenizer_class: "PreTrainedTokenizerFast", bos_token: bosToken, eos_token: eosToken },
  };
}

function missingToken(name: string): never {
  throw new InputError(
    `Cannot rebuild the tokenizer from GGUF metadata: tokenizer.ggml.${name}_token_id must be there as texts begin or ` +
      "end with it",
  );
}

function malformedKey(key: string, wanted: string, value: unknown): InputError {
  return new InputError(
    `Cannot rebuild the tokenizer from GGUF metadata: ${key} must be ${wanted}: current value is ${
      JSON.stringify(value) ?? value
    }`,
  );
}

function token(metadata: JsonObject, tokens: readonly string[], name: string): string | undefined {
  const key = `tokenizer.ggml.${name}_token_id`;
  const id = metadata[key];
  if (id === undefined) return undefined;
  const found = tokens[Number(id)];
  if (typeof id !== "number" || found === undefined) throw malformedKey(key, `an id below ${tokens.length}`, id);
  return found;
}

function vocabulary(tokens: readonly string[]): JsonObject {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function strings(metadata: JsonObject, key: string): readonly string[] {
  const value = metadata[key];
  if (!Array.isArray(value) || value.length === 0 || !value.every((item) => typeof item === "string")) {
    throw new InputError(`Cannot rebuild the tokenizer from GGUF metadata: ${key} must be a list of strings`);
  }
  return value;
}

function numbers(metadata: JsonObject, key: string, length: number): readonly number[] {
  const value = metadata[key];
  if (!Array.isArray(value) || value.length !== length || !value.every((item) => typeof item === "number")) {
    throw new InputError(`Cannot rebuild the tokenizer from GGUF metadata: ${key} must be a list of ${length} numbers`);
  }
  return value;
}
