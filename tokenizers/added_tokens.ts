/**
 * Added tokens: found in a text before anything else, special ones and others. Source: huggingface/tokenizers,
 * tokenizers/src/tokenizer/added_vocabulary.rs.
 */
import { shown } from "../files/clear_text.ts";
import type { Normalize } from "./normalizers.ts";
import { inexact, isId, malformed, type Part } from "./parts.ts";
import { SPACE } from "./patterns.ts";
import { RUST_WORD } from "./pre_tokenizers.ts";

/** A token that is found in texts as it is. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where no letter, digit or underscore touches it. */
  readonly single_word: boolean;
  /** Takes the white space before it. */
  readonly lstrip: boolean;
  /** Takes the white space after it. */
  readonly rstrip: boolean;
  /** Looked for after normalization, itself normalized. */
  readonly normalized: boolean;
  readonly special: boolean;
}

/** A piece of a text: a token, or text between tokens; `first` where it begins as the whole text does. */
export type Piece =
  | { readonly id: number; readonly text?: undefined }
  | { readonly id?: undefined; readonly text: string; readonly first: boolean };

const FLAGS = ["single_word", "lstrip", "rstrip", "normalized", "special"] as const;
const SPACES = new RegExp(`[${SPACE}]`, "v");
const LETTERS = new RegExp(`[${RUST_WORD}]`, "v");

/**
 * The added tokens of a tokenizer.json. Ids are those that the reference gives; the file must say the same.
 *
 * @param vocab of the model
 * @throws {InputError} when one is malformed, or its id is another
 */
export function addedTokens(parts: readonly Part[], vocab: ReadonlyMap<string, number>): readonly AddedToken[] {
  const tokens: AddedToken[] = [];
  const known = new Set<string>();
  for (const part of parts) {
    part.only(["id", "content", ...FLAGS]);
    const content = part.text("content");
    const id = part.whole("id");
    if (content === "") throw inexact(part.path, "an empty token");
    if (known.has(content)) throw inexact(part.path, `${shown(content)}, which is added twice`);
    const given = vocab.get(content) ?? nextId(tokens, vocab);
    if (given !== id) {
      throw inexact(part.path, `${shown(content)} with id ${id}, where its own library gives it ${given}`);
    }
    known.add(content);
    const [single_word, lstrip, rstrip] = FLAGS.slice(0, 3).map((name) => part.flag(name, false));
    const special = part.flag("special", false);
    tokens.push({ id, content, single_word, lstrip, rstrip, normalized: part.flag("normalized", !special), special });
  }
  return tokens;
}

/** The id of the next token that the vocabulary lacks. */
export function nextId(tokens: readonly AddedToken[], vocab: ReadonlyMap<string, number>): number {
  const greatest = tokens.reduce((most, { id }) => Math.max(most, id), -1);
  return greatest >= vocab.size || vocab.size === 0 ? greatest + 1 : vocab.size;
}

/**
 * Cuts a text into added tokens and the normalized text between them.
 *
 * @throws {InputError} when a token is nothing once it is normalized
 */
export function tokenFinder(tokens: readonly AddedToken[], normalize: Normalize): (text: string) => readonly Piece[] {
  const exact = finder(tokens.filter(({ normalized }) => !normalized));
  const others = finder(
    tokens.filter(({ normalized }) => normalized).map((token) => {
      const content = normalize(token.content);
      if (content === "") throw inexact("added_tokens", `${shown(token.content)}, which normalization leaves empty`);
      return { ...token, content };
    }),
  );
  return (text) =>
    exact({ text, first: true }).flatMap((piece) =>
      piece.text === undefined ? piece : others({ text: normalize(piece.text), first: piece.first })
    );
}

type Text = Extract<Piece, { readonly text: string }>;

/** Finds the longest token at the leftmost place, again and again. */
function finder(tokens: readonly AddedToken[]): (piece: Text) => readonly Piece[] {
  if (tokens.length === 0) return (piece) => (piece.text === "" ? [] : [piece]);
  const byBegin = new Map<string, AddedToken[]>();
  for (const token of tokens) {
    const begin = token.content[0];
    byBegin.set(begin, [...byBegin.get(begin) ?? [], token]);
  }
  // Sorting is stable: of tokens that normalization makes equal the first is found.
  for (const list of byBegin.values()) list.sort((a, b) => b.content.length - a.content.length);
  return ({ text, first }) => {
    const pieces: Piece[] = [];
    let done = 0;
    const tell = (until: number) => {
      if (done < until) pieces.push({ text: text.slice(done, until), first: first && done === 0 });
    };
    for (let at = 0; at < text.length;) {
      const token = byBegin.get(text[at])?.find(({ content }) => text.startsWith(content, at));
      if (token === undefined) {
        at++;
        continue;
      }
      let [begin, end] = [at, at + token.content.length];
      at = end;
      if (token.single_word && (LETTERS.test(before(text, begin)) || LETTERS.test(after(text, end)))) continue;
      if (token.lstrip) {
        while (SPACES.test(before(text, begin))) begin--;
        begin = Math.max(begin, done);
      }
      if (token.rstrip) { while (SPACES.test(after(text, end))) end++; }
      tell(begin);
      pieces.push({ id: token.id });
      done = end;
    }
    tell(text.length);
    return pieces;
  };
}

/** The character that ends at a place; empty at the begin. */
function before(text: string, at: number): string {
  const low = text.charCodeAt(at - 1) >> 10 === 0xdc00 >> 10;
  return text.slice(Math.max(0, at - (low ? 2 : 1)), at);
}

/** The character that begins at a place; empty at the end. */
function after(text: string, at: number): string {
  const point = text.codePointAt(at);
  return point === undefined ? "" : String.fromCodePoint(point);
}

/** A token by its id: added ones go before the vocabulary's. @throws {InputError} when two added tokens have one id */
export function tokensById(
  tokens: readonly AddedToken[],
  vocab: ReadonlyMap<string, number>,
): ReadonlyMap<number, string> {
  const byId = new Map([...vocab].map(([token, id]) => [id, token]));
  for (const { id, content } of tokens) {
    if (!isId(id) || byId.has(id) && byId.get(id) !== content) {
      throw malformed(`two tokens have the id ${id}: ${shown(byId.get(id))} and ${shown(content)}`);
    }
    byId.set(id, content);
  }
  return byId;
}
