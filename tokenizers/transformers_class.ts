/**
 * What transformers makes of a tokenizer.json by its tokenizer_config.json. The release that is meant is 4.57.6, the
 * last 4.x: papers' numbers were made with 4.x, where `tokenizer_class` decides who puts bos before a text; 5.x ignores
 * `add_bos_token` where tokenizer.json exists.
 *
 * Source: transformers 4.57.6, tokenization_utils_fast.py and models/{llama,gemma,gpt2,gpt_neox,qwen2}.
 */
import { found, shown } from "../files/clear_text.ts";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { isObject } from "../files/json.ts";
import { type AddedToken, nextId } from "./added_tokens.ts";
import { inexact, malformed, Part } from "./parts.ts";
import type { Ends } from "./post_processors.ts";

/** Special tokens in transformers' order. */
const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] as const;
type Name = (typeof NAMES)[number];

interface TokenizerClass {
  /** Special tokens where the config does not say. */
  readonly tokens: Partial<Record<Name, string>>;
  /** Whether `add_bos_token` and `add_eos_token` replace the post-processor, and bos is added where nobody says. */
  readonly ends?: { readonly bos: boolean };
  /** Whether an `add_prefix_space` makes it start from tokenizer.model instead. */
  readonly slowPrefix?: boolean;
}

const END_OF_TEXT = "<|endoftext|>";
const PLAIN: TokenizerClass = { tokens: {} };
const LLAMA: TokenizerClass = {
  tokens: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  ends: { bos: true },
  slowPrefix: true,
};
/** By name without "Fast"; transformers takes the fast one of either. */
const CLASSES: ReadonlyMap<string, TokenizerClass> = new Map([
  ["PreTrainedTokenizer", PLAIN],
  // What 5.x writes for PreTrainedTokenizerFast.
  ["TokenizersBackend", PLAIN],
  ["LlamaTokenizer", LLAMA],
  ["GemmaTokenizer", {
    tokens: { bos_token: "<bos>", eos_token: "<eos>", unk_token: "<unk>", pad_token: "<pad>" },
    ends: { bos: true },
  }],
  ["GPT2Tokenizer", { tokens: { bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, unk_token: END_OF_TEXT } }],
  ["GPTNeoXTokenizer", {
    tokens: { bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, unk_token: END_OF_TEXT },
    ends: { bos: false },
  }],
  ["Qwen2Tokenizer", { tokens: { eos_token: END_OF_TEXT, unk_token: END_OF_TEXT, pad_token: END_OF_TEXT } }],
]);

/** What a class adds to a tokenizer.json. */
export interface Adapted {
  readonly added: readonly AddedToken[];
  /** Undefined where the post-processor stays. */
  readonly ends: Ends | undefined;
  /** What ByteLevel's `add_prefix_space` becomes; undefined where it stays. */
  readonly prefixSpace: boolean | undefined;
  readonly bos: string | undefined;
  readonly eos: string | undefined;
}

/**
 * Applies a tokenizer_config.json. An empty one stands for a missing file: tokenizer.json alone decides then.
 *
 * @param tokenizer tokenizer.json
 * @param config tokenizer_config.json; without `tokenizer_class` it is taken for a LLaMA's
 * @param base what tokenizer.json says
 * @throws {InputError} when the config is malformed, of a class that is not known, or such that transformers refuses it
 */
export function adapt(
  tokenizer: Part,
  config: JsonObject,
  base: { readonly added: readonly AddedToken[]; readonly vocab: ReadonlyMap<string, number> },
): Adapted {
  const none = { added: base.added, ends: undefined, prefixSpace: undefined, bos: undefined, eos: undefined };
  if (Object.keys(config).length === 0) return none;
  const part = new Part(config, "tokenizer_config.json");
  const kind = classOf(part);
  if (part.get("split_special_tokens") === true) throw inexact(part.path, "split_special_tokens");
  if (kind.slowPrefix === true) assertNotRemade(part, tokenizer);
  const special = specialTokens(part, kind);
  const added = [...base.added, ...addedByConfig(part, special, base)];
  const bos = contentOf(special.get("bos_token"));
  const eos = contentOf(special.get("eos_token"));
  const id = (name: "bos_token" | "eos_token") => {
    const content = contentOf(special.get(name));
    const found = added.find((token) => token.content === content)?.id;
    if (found !== undefined) return [found];
    throw malformed(`add_${name} is true but ${name} is ${shown(part.get(name))}`);
  };
  const wants = (name: string, otherwise: boolean) => {
    const value = part.get(name) === undefined ? otherwise : part.get(name) ?? false;
    if (typeof value !== "boolean") {
      throw malformed(`${part.path}.${name} must be true or false: ${found(value)}`);
    }
    return value;
  };
  const ends = kind.ends && {
    before: wants("add_bos_token", kind.ends.bos) ? id("bos_token") : [],
    after: wants("add_eos_token", false) ? id("eos_token") : [],
  };
  const prefixSpace = kind.slowPrefix ? undefined : part.flag("add_prefix_space", false);
  return { added, ends, prefixSpace, bos, eos };
}

function classOf(part: Part): TokenizerClass {
  const name = part.text("tokenizer_class", "LlamaTokenizer");
  const found = CLASSES.get(name.replace(/Fast$/, ""));
  if (found === undefined) {
    throw inexact(
      part.path,
      `tokenizer_class ${shown(name)}, which is none of ${[...CLASSES.keys()].join(", ")}`,
    );
  }
  return found;
}

/** LLaMA's class makes itself anew from tokenizer.model where `add_prefix_space` is given; often the same comes out. */
function assertNotRemade(part: Part, tokenizer: Part): void {
  const prefix = part.get("add_prefix_space") ?? null;
  if (prefix === null && part.get("from_slow") !== true) return;
  const legacy = (part.get("legacy") ?? true) === true;
  const normalizer = tokenizer.optional("normalizer");
  const pre = tokenizer.optional("pre_tokenizer");
  const same = legacy
    ? pre === undefined && normalizer?.type === "Sequence" && normalizer.parts("normalizers")[0]?.type === "Prepend"
    : normalizer === undefined && pre?.type === "Metaspace" && pre.get("prepend_scheme") === "first";
  if (prefix === false || !same) {
    throw inexact(part.path, `add_prefix_space ${shown(prefix)}, for which transformers starts from tokenizer.model`);
  }
}

/** Special tokens by name, in transformers' order. */
function specialTokens(part: Part, kind: TokenizerClass): ReadonlyMap<string, unknown> {
  const tokens = new Map<string, unknown>();
  for (const name of NAMES) {
    const value = part.get(name) === undefined ? kind.tokens[name] : part.get(name);
    if (value === undefined || value === null || value === "") continue;
    if (contentOf(value) === undefined) {
      throw malformed(`${part.path}.${name} must be a token: ${found(value)}`);
    }
    tokens.set(name, value);
  }
  return tokens;
}

/** Tokens of the config that tokenizer.json does not add. */
function addedByConfig(
  part: Part,
  special: ReadonlyMap<string, unknown>,
  { added, vocab }: { readonly added: readonly AddedToken[]; readonly vocab: ReadonlyMap<string, number> },
): readonly AddedToken[] {
  const known = new Set(added.map(({ content }) => content));
  const all = [...added];
  const fresh: AddedToken[] = [];
  const specials = [...special.values(), ...part.list("additional_special_tokens", [])];
  const contents = new Set(specials.map(contentOf));
  const add = (value: unknown, path: string, wanted?: number) => {
    const content = contentOf(value);
    if (content === undefined) throw malformed(`${path} must be a token: ${found(value)}`);
    if (content === "" || known.has(content)) return;
    const id = vocab.get(content) ?? nextId(all, vocab);
    if (wanted !== undefined && wanted !== id) {
      throw inexact(path, `${shown(content)} with id ${wanted}, where its own library gives it ${id}`);
    }
    const flags = isObject(value) ? new Part(value, path) : new Part({}, path);
    const isSpecial = contents.has(content) || flags.flag("special", false);
    known.add(content);
    const token = {
      id,
      content,
      single_word: flags.flag("single_word", false),
      lstrip: flags.flag("lstrip", false),
      rstrip: flags.flag("rstrip", false),
      normalized: flags.flag("normalized", !isSpecial),
      special: isSpecial,
    };
    all.push(token);
    fresh.push(token);
  };
  const decoder = part.optional("added_tokens_decoder");
  const ids = decoder === undefined ? [] : Object.keys(part.get("added_tokens_decoder") as JsonObject);
  for (const id of ids.map(Number).sort((a, b) => a - b)) {
    add(decoder?.get(String(id)), `${part.path}.added_tokens_decoder.${id}`, id);
  }
  specials.forEach((value) => add(value, `${part.path}'s special token`));
  return fresh;
}

/** A token in a config is its text or an object with `content`. */
function contentOf(value: unknown): string | undefined {
  if (isObject(value)) return typeof value.content === "string" ? value.content : undefined;
  return typeof value === "string" ? value : undefined;
}
