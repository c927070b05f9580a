/**
 * Byte pair encoding as the reference does it, its corners included: what an unknown character becomes, and in which
 * order pairs of equal rank merge. Source: huggingface/tokenizers, tokenizers/src/models/bpe (model.rs, word.rs).
 */
import { found, shown } from "../files/clear_text.ts";
import { isObject } from "../files/json.ts";
import { GREATEST_ID, inexact, isId, malformed, type Part } from "./parts.ts";
import { remembered } from "./word_memo.ts";

const FIELDS = [
  "dropout",
  "unk_token",
  "continuing_subword_prefix",
  "end_of_word_suffix",
  "fuse_unk",
  "byte_fallback",
  "ignore_merges",
  "vocab",
  "merges",
];

/** A vocabulary and what it makes of a word. */
export interface BytePairs {
  readonly vocab: ReadonlyMap<string, number>;
  /** Ids of a word. */
  encode(word: string): readonly number[];
}

interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** Merges by pair of ids (see `pairKey`), and the id that each rank makes. */
interface Merges {
  readonly byPair: ReadonlyMap<number, Merge>;
  readonly ids: readonly number[];
}

const pairKey = (left: number, right: number) => left * (GREATEST_ID + 1) + right;

/**
 * Opens the `model` of a tokenizer.json.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { Part } from "./parts.ts";
 * const model = { type: "BPE", vocab: { h: 0, i: 1, hi: 2 }, merges: [["h", "i"]] };
 * assert.deepEqual(bytePairs(new Part(model, "model")).encode("hih"), [2, 0]);
 * ```
 * @throws {InputError} when it is malformed, no BPE, or drops merges by chance
 */
export function bytePairs(part: Part): BytePairs {
  const type = part.type ?? "BPE";
  if (type !== "BPE") throw malformed(`its model must be BPE: ${found(type)}`);
  part.only(FIELDS);
  if ((part.get("dropout") ?? 0) !== 0) throw inexact(part.path, `dropout ${shown(part.get("dropout"))}`);
  const vocab = vocabulary(part);
  const prefix = part.text("continuing_subword_prefix", "");
  const suffix = part.text("end_of_word_suffix", "");
  const pairs = mergesOf(part, vocab, prefix.length);
  const symbols = spelling(part, vocab, { prefix, suffix });
  const ignoreMerges = part.flag("ignore_merges", false);
  const whole = (word: string): readonly number[] => {
    const id = ignoreMerges ? vocab.get(word) : undefined;
    return id === undefined ? merge(symbols(word), pairs) : [id];
  };
  const encode = remembered(whole);
  if (ignoreMerges || `${prefix}${suffix}` !== "" || !canCut(pairs, vocab)) return { vocab, encode };
  return { vocab, encode: (text) => (text.match(/▁*[^▁]+|▁+/gu) ?? []).flatMap(encode) };
}

function vocabulary(part: Part): ReadonlyMap<string, number> {
  const entries = part.get("vocab");
  if (!isObject(entries)) throw malformed(`${part.path}.vocab must be an object: ${found(entries)}`);
  const vocab = new Map<string, number>();
  const owners = new Map<number, string>();
  for (const [token, id] of Object.entries(entries)) {
    if (!isId(id)) {
      throw malformed(
        `in ${part.path}.vocab the id of ${shown(token)} must be a whole number from 0 to ${GREATEST_ID}: ` +
          `${found(id)}`,
      );
    }
    const owner = owners.get(id);
    if (owner !== undefined) throw malformed(`in ${part.path}.vocab ${shown(owner)} and ${shown(token)} have id ${id}`);
    if (!token.isWellFormed()) throw malformed(`in ${part.path}.vocab the token of id ${id} is half a character`);
    owners.set(id, token);
    vocab.set(token, id);
  }
  return vocab;
}

function mergesOf(part: Part, vocab: ReadonlyMap<string, number>, prefix: number): Merges {
  const byPair = new Map<number, Merge>();
  const ids: number[] = [];
  for (const merge of part.list("merges")) {
    if (typeof merge === "string" && merge.startsWith("#version")) continue;
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const at = () => `${part.path}.merges[${ids.length}]`;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((token) => typeof token === "string")) {
      throw malformed(`${at()} must be two tokens: ${found(merge)}`);
    }
    const [left, right]: string[] = pair;
    const [a, b, id] = [left, right, left + right.slice(prefix)].map((token) => vocab.get(token));
    if (a === undefined || b === undefined || id === undefined) {
      throw malformed(`${at()} must be two tokens of the vocabulary, joined too: ${found(merge)}`);
    }
    byPair.set(pairKey(a, b), { rank: ids.length, id });
    ids.push(id);
  }
  return { byPair, ids };
}

/** A word's characters as ids, before any merge. */
function spelling(
  part: Part,
  vocab: ReadonlyMap<string, number>,
  { prefix, suffix }: { readonly prefix: string; readonly suffix: string },
): (word: string) => number[] {
  const [fuse, fallback] = [part.flag("fuse_unk", false), part.flag("byte_fallback", false)];
  const unknownToken = part.get("unk_token") == null ? undefined : part.text("unk_token");
  const unknown = unknownToken === undefined ? undefined : vocab.get(unknownToken);
  if (unknownToken !== undefined && unknown === undefined) {
    throw malformed(`${part.path}.unk_token must be in the vocabulary: ${found(unknownToken)}`);
  }
  return (word) => {
    const ids: number[] = [];
    // An unknown character waits until a known one follows; bytes that stand for others overtake it.
    let waiting = false;
    const characters = Array.from(word);
    characters.forEach((plain, i) => {
      const token = `${i > 0 ? prefix : ""}${plain}${i === characters.length - 1 ? suffix : ""}`;
      const id = vocab.get(token);
      if (id !== undefined) {
        if (waiting && unknown !== undefined) ids.push(unknown);
        waiting = false;
        ids.push(id);
        return;
      }
      const bytes = fallback ? byteTokens(token, vocab) : undefined;
      if (bytes !== undefined) {
        ids.push(...bytes);
      } else if (unknown !== undefined) {
        if (waiting && !fuse) ids.push(unknown);
        waiting = true;
      }
    });
    if (waiting && unknown !== undefined) ids.push(unknown);
    return ids;
  };
}

/** `<0xE2>` and so on, or undefined where the vocabulary lacks one. */
function byteTokens(text: string, vocab: ReadonlyMap<string, number>): readonly number[] | undefined {
  const ids: number[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    const id = vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}

/** Merges neighbours, the lowest rank first, from left to right; `ids` is changed. */
function merge(ids: number[], { byPair, ids: made }: Merges): readonly number[] {
  const length = ids.length;
  if (length < 2) return ids;
  const next = Int32Array.from(ids, (_, i) => i + 1);
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const gone = new Uint8Array(length);
  const queue: number[] = [];
  const offer = (at: number, right: number) => {
    const merge = byPair.get(pairKey(ids[at], ids[right]));
    if (merge !== undefined) push(queue, merge.rank * length + at);
  };
  for (let at = 0; at + 1 < length; at++) offer(at, at + 1);
  for (let top = pop(queue); top !== undefined; top = pop(queue)) {
    const at = top % length;
    const id = made[(top - at) / length];
    const right = next[at];
    if (gone[at] === 1 || right >= length) continue;
    // An entry is stale when its pair no longer makes what it made.
    if (byPair.get(pairKey(ids[at], ids[right]))?.id !== id) continue;
    ids[at] = id;
    gone[right] = 1;
    next[at] = next[right];
    if (next[at] < length) previous[next[at]] = at;
    if (previous[at] >= 0) offer(previous[at], at);
    if (next[at] < length) offer(at, next[at]);
  }
  return ids.filter((_, at) => gone[at] === 0);
}

/** Puts a number into a binary heap, the least on top. */
function push(heap: number[], value: number): void {
  let at = heap.length;
  heap.push(value);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent] <= value) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = value;
}

/** Takes the least number out. */
function pop(heap: number[]): number | undefined {
  const top = heap[0];
  const value = heap.pop();
  if (value === undefined || heap.length === 0) return top;
  let at = 0;
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= value) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = value;
  return top;
}

/**
 * Whether words may be cut off before each "▁" that does not follow another, as SentencePiece-like BPE has no
 * pre-tokenizer and merges over the whole text at once.
 *
 * That changes no id when no merge can ever join across such a cut, which is seen from the merges themselves: none has
 * a right part that begins with "▁" after a left part that does not end with it. Pieces then merge independently, and
 * as "▁" is known, no unknown character waits across a cut.
 */
function canCut({ byPair }: Merges, vocab: ReadonlyMap<string, number>): boolean {
  if (!vocab.has("▁")) return false;
  const begins = new Set<number>();
  const ends = new Set<number>();
  for (const [token, id] of vocab) {
    if (token.startsWith("▁")) begins.add(id);
    if (token.endsWith("▁")) ends.add(id);
  }
  for (const key of byPair.keys()) {
    const right = key % (GREATEST_ID + 1);
    if (begins.has(right) && !ends.has((key - right) / (GREATEST_ID + 1))) return false;
  }
  return true;
}
