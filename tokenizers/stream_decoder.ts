/** Text of tokens as they are generated: never half a character, never a character twice. */

/** Turns tokens into text one by one. */
export interface StreamDecoder {
  /** The text that is certain once `id` is known; often empty, or more than one character. */
  push(id: number): string;
  /** Whatever is left; an unfinished character becomes U+FFFD. The decoder is as new afterwards. */
  flush(): string;
}

/** Tokens kept as context at least: how a token reads can depend on whether something stands before it. */
const CONTEXT = 4;

/** Tokens after which settled ones are dropped, so that the cost of a token does not grow with the text. */
const MOST = 32;

/**
 * Decodes a growing list of tokens. Only the last character of a decoded text can change when tokens follow, and only
 * when it is U+FFFD, which stands for the bytes of an unfinished character; it is held back.
 *
 * @param decode text of a list of tokens
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const bytes = (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids));
 * const stream = streamDecoder(bytes);
 * assert.deepEqual([0x61, 0xc3, 0xa9].map((id) => stream.push(id)), ["a", "", "é"]);
 * ```
 */
export function streamDecoder(decode: (ids: readonly number[]) => string): StreamDecoder {
  let ids: number[] = [];
  let told = 0;
  const take = (text: string) => {
    const fresh = text.slice(told);
    told = Math.max(told, text.length);
    return fresh;
  };
  return {
    push(id) {
      ids.push(id);
      const text = decode(ids);
      if (text.endsWith("\uFFFD")) return take(text.slice(0, -1));
      const fresh = take(text);
      if (ids.length > MOST) {
        ids = ids.slice(-CONTEXT);
        told = decode(ids).length;
      }
      return fresh;
    },
    flush() {
      const fresh = take(ids.length === 0 ? "" : decode(ids));
      ids = [];
      told = 0;
      return fresh;
    },
  };
}
