/**
 * Opens a tokenizer.json so that it gives the ids of the reference (Hugging Face tokenizers, Rust), or refuses it: every
 * part and every field is one of those that are known to be exact.
 */
import { shown } from "../files/clear_text.ts";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { type AddedToken, addedTokens, tokenFinder, tokensById } from "./added_tokens.ts";
import { bytePairs } from "./bpe.ts";
import { decoder } from "./decoders.ts";
import { normalizer } from "./normalizers.ts";
import { inexact, malformed, Part } from "./parts.ts";
import { type Ends, endsOf } from "./post_processors.ts";
import { leaves, preTokenizer, scheme } from "./pre_tokenizers.ts";
import { adapt } from "./transformers_class.ts";

/** tokenizer.json and tokenizer_config.json. */
export interface TokenizerDefinition {
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
}

/** What a definition amounts to. */
export interface OpenDefinition {
  /** Ids of a text, without those that stand around it. */
  encode(text: string): readonly number[];
  /** Text of ids; those that have no token are skipped. */
  decode(ids: readonly number[]): string;
  readonly ends: Ends;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly size: number;
  /** Ids of special tokens. */
  readonly special: ReadonlySet<number>;
  /** Everything that decides ids. */
  readonly decisive: JsonObject;
}

/** `truncation` and `padding` are ignored, as transformers ignores them unless it is asked. */
const FIELDS = [
  "version",
  "truncation",
  "padding",
  "added_tokens",
  "normalizer",
  "pre_tokenizer",
  "post_processor",
  "decoder",
  "model",
];

/** A pre-tokenizer that cuts a text into the matches of a regular expression and what lies between them. */
export function splitBy(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}

/**
 * Opens a definition.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const model = { type: "BPE", vocab: { "½": 0, x: 1 }, merges: [] };
 * const { encode, decode } = openDefinition({ tokenizer: { model }, config: {} });
 * assert.deepEqual(encode("x½"), [1, 0]);
 * ```
 * @throws {InputError} when it is malformed, or of a kind that cannot be reproduced exactly
 */
export function openDefinition({ tokenizer, config }: TokenizerDefinition): OpenDefinition {
  const part = new Part(tokenizer, "tokenizer.json").only(FIELDS);
  if ((part.get("version") ?? "1.0") !== "1.0") throw inexact(part.path, `version ${shown(part.get("version"))}`);
  if (part.optional("model") === undefined) throw malformed("tokenizer.json must have a model");
  const { vocab, encode: encodeWord } = bytePairs(part.part("model"));
  const adapted = adapt(part, config, { vocab, added: addedTokens(part.parts("added_tokens", []), vocab) });
  const byId = tokensById(adapted.added, vocab);
  const pre = withPrefix(part.optional("pre_tokenizer"), adapted.prefixSpace);
  assertKnownBegin(part, pre, adapted.added);
  const words = preTokenizer(pre);
  const find = tokenFinder(adapted.added, normalizer(part.optional("normalizer")));
  const toText = decoder(part.optional("decoder"));
  const ends = adapted.ends ?? endsOf(part.optional("post_processor"));
  const stray = [...ends.before, ...ends.after].find((id) => !byId.has(id));
  if (stray !== undefined) throw malformed(`its post-processor adds id ${stray}, which its vocabulary lacks`);
  const idOf = (token: string | undefined) =>
    token === undefined ? undefined : adapted.added.find(({ content }) => content === token)?.id ?? vocab.get(token);
  let size = 0;
  for (const id of byId.keys()) size = Math.max(size, id + 1);
  const [bos, eos] = [idOf(adapted.bos), idOf(adapted.eos)];
  const { model, normalizer: normal, decoder: last } = tokenizer;
  return {
    // Half of a surrogate pair is no text: it reads as U+FFFD wherever text becomes bytes.
    encode: (text) =>
      find(text.toWellFormed()).flatMap((piece) =>
        piece.text === undefined ? [piece.id] : words(piece.text, piece.first).flatMap(encodeWord)
      ),
    decode: (ids) => {
      const tokens = ids.map((id) => byId.get(id)).filter((token) => token !== undefined);
      return tokens.length === 0 ? "" : toText(tokens);
    },
    ends,
    bos,
    eos,
    size,
    special: new Set(adapted.added.flatMap(({ id, special }) => (special ? [id] : []))),
    decisive: {
      model,
      normalizer: normal,
      decoder: last,
      pre_tokenizer: tokenizer.pre_tokenizer,
      prefixSpace: adapted.prefixSpace,
      added: adapted.added,
      ends,
      bos,
      eos,
    },
  };
}

/** transformers sets `add_prefix_space` of a pre-tokenizer that has it, where none stands around it. */
function withPrefix(part: Part | undefined, prefixSpace: boolean | undefined): Part | undefined {
  if (part?.type !== "ByteLevel" || prefixSpace === undefined) return part;
  const { trim_offsets, use_regex } = { trim_offsets: part.get("trim_offsets"), use_regex: part.get("use_regex") };
  part.only(["add_prefix_space", "trim_offsets", "use_regex"]);
  return new Part({ type: part.type, trim_offsets, use_regex, add_prefix_space: prefixSpace }, part.path);
}

/** Where a piece began in the text as given is known only as long as nobody has changed it. */
function assertKnownBegin(part: Part, pre: Part | undefined, added: readonly AddedToken[]): void {
  const first = pre !== undefined && leaves(pre).some((leaf) => leaf.type === "Metaspace" && scheme(leaf) === "first");
  if (first && part.optional("normalizer") !== undefined && added.some(({ normalized }) => normalized)) {
    throw inexact(pre.path, 'prepend_scheme "first" with a normalizer and added tokens that are normalized');
  }
}
