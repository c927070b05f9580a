/** What Python's strings do, where JavaScript's do a little otherwise. */

/** Characters that Python takes for white space. */
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const START = new RegExp(`^${SPACE}+`), END = new RegExp(`${SPACE}+$`);

/** `str.strip()`. */
export function strip(text: string): string {
  return stripEnd(stripStart(text));
}

/** `str.lstrip()`. */
export function stripStart(text: string): string {
  return text.replace(START, "");
}

/** `str.rstrip()`. */
export function stripEnd(text: string): string {
  return text.replace(END, "");
}

/**
 * `str.capitalize()`: the first character as in titles, all others small.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { capitalize } from "./python_text.ts";
 *
 * assert.equal(capitalize("ǆ ABC"), "ǅ abc");
 * ```
 */
export function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  // Letters that are two in one have a form of their own in titles.
  const title = TITLES.get(first.toLowerCase()) ?? first.toUpperCase();
  // Two capitals that come of one letter are not two in a title.
  const [head = "", ...more] = title;
  return head + more.join("").toLowerCase() + rest.join("").toLowerCase();
}

const TITLES: ReadonlyMap<string, string> = new Map([["ǆ", "ǅ"], ["ǉ", "ǈ"], ["ǌ", "ǋ"], ["ǳ", "ǲ"]]);

/** `len(str)`: characters, each of one or two of JavaScript's units. */
export function characters(text: string): number {
  let count = 0;
  for (const _character of text) count++;
  return count;
}
