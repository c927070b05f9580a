/**
 * A tokenizer as the metadata of a GGUF file (`tokenizer.ggml.*`), so that llama.cpp gives the same ids; the reverse of
 * `gguf_tokenizer.ts`. What llama.cpp has no word for is refused, not approximated.
 */
import type { JsonObject, StoredTokenizer } from "../checkpoints/checkpoint.ts";
import type { GgufMetadata, GgufValue } from "../checkpoints/gguf_writer.ts";
import { shown } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { isObject } from "../files/json.ts";
import type { AddedToken } from "./added_tokens.ts";
import { ggufTokenizer, KIND, PRE_TOKENIZERS } from "./gguf_tokenizer.ts";
import { GPT2_WORDS } from "./pre_tokenizers.ts";
import { pieceScores, spaceRules } from "./gguf_pieces.ts";
import { type OpenDefinition, openDefinition, type TokenizerDefinition } from "./tokenizer_definition.ts";

/** What else decides a file's tokenizer. */
export interface GgufTokenizerFacts {
  /** Rows of the token embedding: llama.cpp wants as many tokens. */
  readonly vocab: number;
  /** Ids that end a text or a turn. */
  readonly ends: readonly number[];
  /** Told what llama.cpp does otherwise in rare texts. */
  readonly warn: (message: string) => void;
}

/** Names that are written, of several that llama.cpp reads alike. */
const WRITTEN = ["llama-bpe", "qwen2", "gpt-2", "smollm"] as const;

/** Kinds of metadata values by the ends of their keys, for those that are copied from a GGUF file. */
const COPIED: readonly (readonly [RegExp, GgufValue["kind"]])[] = [
  [/\.(tokens|merges)$/, "texts"],
  [/\.scores$/, "f32s"],
  [/\.token_type$/, "i32s"],
  [/_token_id$/, "u32"],
  [/\.(add_\w+|remove_extra_whitespaces)$/, "bool"],
  [/\.(model|pre)$|^tokenizer\.chat_template(\.\w+)?$/, "text"],
];

/**
 * The metadata of a tokenizer.
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer"; how llama.cpp reads them: its `llama-vocab.cpp`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const tokenizer = {
 *   pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
 *   model: { type: "BPE", vocab: { h: 0, i: 1, hi: 2 }, merges: [["h", "i"]] },
 * };
 * const facts = { vocab: 4, ends: [2], warn: assert.fail };
 * const metadata = ggufTokenizerMetadata({ kind: "files", tokenizer, config: {} }, facts);
 * assert.deepEqual(metadata["tokenizer.ggml.pre"], { kind: "text", value: "gpt-2" });
 * assert.deepEqual(metadata["tokenizer.ggml.tokens"], { kind: "texts", value: ["h", "i", "hi", "[PAD3]"] });
 * ```
 * @throws {InputError} when the tokenizer is malformed, of a kind that llama.cpp does not know, or larger than the embedding
 */
export function ggufTokenizerMetadata(source: StoredTokenizer, facts: GgufTokenizerFacts): GgufMetadata {
  return source.kind === "gguf" ? copied(source.metadata, facts) : converted(source, facts);
}

/** The metadata of a GGUF file, as far as they are known, checked by reading them. */
function copied(metadata: JsonObject, { vocab }: GgufTokenizerFacts): GgufMetadata {
  openDefinition(ggufTokenizer(metadata));
  const out: Record<string, GgufValue> = {};
  for (const [key, value] of Object.entries(metadata)) {
    const kind = COPIED.find(([keys]) => keys.test(key))?.[1];
    if (kind !== undefined) out[key] = typed(key, kind, value);
  }
  const tokens = metadata["tokenizer.ggml.tokens"];
  if (Array.isArray(tokens) && tokens.length === vocab) return out;
  throw refusal(
    `its file has ${Array.isArray(tokens) ? tokens.length : 0} tokens, and the embedding ${vocab} rows`,
  );
}

function typed(key: string, kind: GgufValue["kind"], value: unknown): GgufValue {
  const all = (type: string) => Array.isArray(value) && value.every((item) => typeof item === type);
  const fits: Readonly<Record<GgufValue["kind"], boolean>> = {
    u32: Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32,
    f32: typeof value === "number",
    bool: typeof value === "boolean",
    text: typeof value === "string",
    texts: all("string"),
    i32s: all("number"),
    f32s: all("number"),
  };
  if (fits[kind]) return { kind, value } as GgufValue;
  throw refusal(`${key} must be a value of type ${kind}`);
}

function converted(definition: TokenizerDefinition, facts: GgufTokenizerFacts): GgufMetadata {
  const { tokenizer, config } = definition, opened = openDefinition(definition);
  const model = isObject(tokenizer.model) ? tokenizer.model : {};
  const added = opened.decisive.added as readonly AddedToken[];
  const odd = added.find(({ single_word, lstrip, rstrip }) => single_word || lstrip || rstrip);
  if (odd !== undefined) {
    facts.warn(`llama.cpp takes no white space around ${shown(odd.content)}, where the model's own tokenizer does`);
  }
  const pieces = model.byte_fallback === true;
  const { tokens, kinds } = tokensOf(model, added, { pieces, ...facts });
  return {
    "tokenizer.ggml.model": { kind: "text", value: pieces ? "llama" : "gpt2" },
    "tokenizer.ggml.pre": { kind: "text", value: pieces ? "default" : wordsOf(definition, facts) },
    "tokenizer.ggml.tokens": { kind: "texts", value: tokens },
    ...(pieces ? { "tokenizer.ggml.scores": { kind: "f32s", value: pieceScores(model, tokens, kinds) } } : {}),
    "tokenizer.ggml.token_type": { kind: "i32s", value: kinds },
    ...(pieces
      ? { "tokenizer.ggml.add_space_prefix": { kind: "bool", value: spaceRules(tokenizer, facts.warn) } }
      : { "tokenizer.ggml.merges": { kind: "texts", value: mergesOf(model) } }),
    ...specialTokens(opened, config, { tokens, ...facts }),
    ...chatTemplates(config),
  };
}

/** Name of the rules by which llama.cpp splits texts into words. */
function wordsOf({ tokenizer }: TokenizerDefinition, { warn }: GgufTokenizerFacts): string {
  const { model, normalizer, pre_tokenizer: pre } = tokenizer;
  const ignoreMerges = isObject(model) && model.ignore_merges === true;
  const splits = splitsOf(pre);
  const name = WRITTEN.find((each) => {
    const rules = PRE_TOKENIZERS.get(each);
    return rules?.ignoreMerges === ignoreMerges && JSON.stringify(rules.split) === JSON.stringify(splits);
  });
  if (name === undefined) {
    throw refusal(
      `its pre-tokenizer${
        ignoreMerges ? " (with ignore_merges)" : ""
      } is none of those that llama.cpp is known to have (${WRITTEN.join(", ")}): ${
        shown(JSON.stringify(pre ?? null))
      }`,
    );
  }
  if ((normalizer ?? null) === null) return name;
  if (!isObject(normalizer) || normalizer.type !== "NFC") {
    throw refusal(`llama.cpp has no normalizer ${shown(JSON.stringify(normalizer))}`);
  }
  warn(
    "llama.cpp does not bring texts into Unicode's form NFC, as the model's own tokenizer does; most texts are in it",
  );
  return name;
}

/** The regular expressions by which a byte-level pre-tokenizer splits; undefined where it does something else. */
function splitsOf(pre: unknown): readonly string[] | undefined {
  const steps: readonly unknown[] = isObject(pre) && pre.type === "Sequence" && Array.isArray(pre.pretokenizers)
    ? pre.pretokenizers
    : [pre];
  const splits: string[] = [];
  for (const [index, step] of steps.entries()) {
    if (!isObject(step)) return undefined;
    const { type, pattern } = step;
    if (type === "Digits" && step.individual_digits === true) splits.push("\\p{N}");
    else if (type === "Split" && step.behavior === "Isolated" && step.invert !== true && isObject(pattern)) {
      if (typeof pattern.Regex !== "string") return undefined;
      splits.push(pattern.Regex);
    } else if (type === "ByteLevel" && step.add_prefix_space === false && index === steps.length - 1) {
      return step.use_regex === false ? splits : [...splits, GPT2_WORDS];
    } else return undefined;
  }
  return undefined;
}

interface Tokens {
  /** By id. */
  readonly tokens: readonly string[];
  /** By id, as numbered in GGUF files. */
  readonly kinds: readonly number[];
}

function tokensOf(
  model: JsonObject,
  added: readonly AddedToken[],
  { vocab, pieces }: { readonly vocab: number; readonly pieces: boolean },
): Tokens {
  const tokens: string[] = new Array(vocab), kinds: number[] = new Array(vocab).fill(KIND.unused);
  const set = (id: number, token: string, kind: number) => {
    if (id >= vocab) {
      throw refusal(`its token ${shown(token)} has id ${id}, and the embedding ${vocab} rows; llama.cpp wants as many`);
    }
    [tokens[id], kinds[id]] = [token, kind];
  };
  for (const [token, id] of Object.entries(isObject(model.vocab) ? model.vocab : {})) {
    const unknown = pieces && token === model.unk_token, byte = pieces && /^<0x[0-9A-F]{2}>$/.test(token);
    set(Number(id), token, unknown ? KIND.unknown : byte ? KIND.byte : KIND.normal);
  }
  for (const { id, content, special } of added) {
    if (kinds[id] !== KIND.unknown) set(id, content, special ? KIND.control : KIND.userDefined);
  }
  const known = new Set<string>();
  for (let id = 0; id < vocab; id++) {
    const token = tokens[id] ??= `[PAD${id}]`;
    if (known.has(token)) throw refusal(`two ids have the token ${shown(token)}`);
    known.add(token);
  }
  return { tokens, kinds };
}

/** Two tokens with a space between, as llama.cpp reads them: none holds a space itself, as bytes are spelled. */
function mergesOf(model: JsonObject): readonly string[] {
  const merges: readonly unknown[] = Array.isArray(model.merges) ? model.merges : [];
  return merges.map((merge) => {
    const [left, right, ...rest] = typeof merge === "string" ? merge.split(" ") : merge as readonly string[];
    if (rest.length > 0 || `${left}${right}`.includes(" ")) throw refusal(`its merge ${shown(merge)} holds a space`);
    return `${left} ${right}`;
  });
}

function specialTokens(
  { ends, bos: begins, eos }: OpenDefinition,
  config: JsonObject,
  { tokens, ends: stops, warn }: GgufTokenizerFacts & { readonly tokens: readonly string[] },
): GgufMetadata {
  const { before, after } = ends;
  const bos = begins ?? before[0], end = eos ?? after[0] ?? stops[0];
  if (before.length > 1 || after.length > 1 || (before[0] ?? bos) !== bos || (after[0] ?? end) !== end) {
    throw refusal("it puts other tokens around a text than one that begins and one that ends it");
  }
  const idOf = (name: string) => {
    const value = config[name], content = isObject(value) ? value.content : value;
    const id = typeof content === "string" ? tokens.indexOf(content) : -1;
    return id < 0 ? undefined : id;
  };
  // Where a turn ends too: llama.cpp has two more names.
  const [eot, eom, ...more] = [...new Set(stops)].filter((id) => id !== end && id < tokens.length);
  if (more.length > 0) warn(`llama.cpp is told of three tokens that end a text, and not of ${more.join(", ")}`);
  const ids = { bos, eos: end, eot, eom, unknown: idOf("unk_token"), padding: idOf("pad_token") };
  const named = Object.entries(ids).flatMap(([name, value]) =>
    value === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, { kind: "u32", value } as const] as const]
  );
  return {
    ...Object.fromEntries(named),
    "tokenizer.ggml.add_bos_token": { kind: "bool", value: before.length > 0 },
    "tokenizer.ggml.add_eos_token": { kind: "bool", value: after.length > 0 },
  };
}

/** `chat_template`: a text, or several with names. */
function chatTemplates({ chat_template: template }: JsonObject): GgufMetadata {
  const key = "tokenizer.chat_template";
  if (typeof template === "string") return { [key]: { kind: "text", value: template } };
  const list: readonly unknown[] = Array.isArray(template) ? template : [];
  return Object.fromEntries(list.flatMap((each) => {
    if (!isObject(each) || typeof each.name !== "string" || typeof each.template !== "string") return [];
    const name = each.name === "default" ? key : `${key}.${each.name.replace(/\W/g, "_")}`;
    return [[name, { kind: "text", value: each.template } as const]];
  }));
}

function refusal(why: string): InputError {
  return new InputError(
    `Cannot write the tokenizer as GGUF metadata: ${why}; export as safetensors, and convert that with llama.cpp's own script`,
  );
}
