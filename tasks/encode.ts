/** From questions to token ids, as lm-evaluation-harness makes them for a causal model of transformers. */
import type { Tokenizer } from "../tokenizers/tokenizer.ts";
import { stripEnd } from "./python_text.ts";
import type { Choice, Item } from "./task.ts";

/** A choice as token ids. */
export interface EncodedChoice {
  readonly context: Int32Array;
  readonly continuation: Int32Array;
  /** What the model is fed: both, without the last token, the last so many of them that the model takes. */
  readonly input: Int32Array;
  /** Tokens that were cut off on the left. */
  readonly cut: number;
}

/** How questions are encoded. */
export interface EncodeOptions {
  /** Tokens that the model takes at once. */
  readonly maxLength: number;
}

/**
 * Encodes all choices of a question.
 *
 * Context and continuation are encoded together and parted after as many tokens as the context alone has; a token that both would share
 * is the context's, spelled as it would be alone. White space at the context's end is the continuation's.
 *
 * @throws {RangeError} a continuation has no tokens, or more than the model takes
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openTokenizer } from "../tokenizers/tokenizer.ts";
 * import { encodeItem } from "./encode.ts";
 *
 * const model = { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: [["a", "b"]] };
 * const tokenizer = openTokenizer({ kind: "files", tokenizer: { model }, config: {} });
 * const item = { choices: [{ context: "aa", continuation: "bb" }], gold: 0, texts: ["bb"] };
 * const [{ context, continuation, input }] = encodeItem(tokenizer, item, { maxLength: 8 });
 * assert.deepEqual([[...context], [...continuation], [...input]], [[0, 0], [1], [0, 0]]);
 * ```
 */
export function encodeItem(
  tokenizer: Tokenizer,
  { choices }: Pick<Item, "choices">,
  { maxLength }: EncodeOptions,
): EncodedChoice[] {
  return choices.map((choice) => {
    const { context, continuation } = encodePair(tokenizer, choice);
    if (continuation.length === 0 || continuation.length > maxLength) {
      throw new RangeError(
        `a continuation has ${continuation.length} tokens: it must have 1 to ${maxLength}, which the model takes at once`,
      );
    }
    const all = Int32Array.from([...context, ...continuation]), cut = Math.max(0, all.length - maxLength - 1);
    return { context, continuation, input: all.subarray(cut, all.length - 1), cut };
  });
}

function encodePair(
  tokenizer: Tokenizer,
  { context, continuation }: Choice,
): Pick<EncodedChoice, "context" | "continuation"> {
  const prefix = tokenizer.bos ?? tokenizer.eos;
  if (context === "") {
    const ids = tokenizer.encode(continuation, { special: false });
    // A text that begins with the token that would be put before it has its context.
    return prefix === undefined || ids[0] === prefix
      ? { context: ids.slice(0, 1), continuation: ids.slice(1) }
      : { context: Int32Array.of(prefix), continuation: ids };
  }
  const begin = prefix === undefined ? "" : tokenizer.decode([prefix]);
  // What spells the first token out is not given it once more.
  const encode = (text: string) => tokenizer.encode(text, { special: begin === "" || !text.startsWith(begin) });
  const short = stripEnd(context);
  const before = encode(short), both = encode(context + continuation);
  return { context: before, continuation: both.slice(before.length) };
}
