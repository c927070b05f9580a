/** Text of untrusted files inside messages: nothing in it steers a terminal, breaks a line or buries what is said. */

/** Letters without a space in a message; paths are shorter. */
const LONGEST_WORD = 240;

/** Letters of a message. */
const LONGEST_MESSAGE = 560;

/** Letters of a value that a message shows. */
const LONGEST_VALUE = 80;

/**
 * A text in which every character is written out that does not show, or that steers a terminal: control characters, and
 * those that turn the direction of writing.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(visibleText("a\x1b[2Jb\u202ec"), "a\\u001b[2Jb\\u202ec");
 * ```
 */
export function visibleText(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A message as it may be shown: one line, what does not show written out, and what is too long cut in its middle, as what is wrong
 * stands at its beginning and the remedy at its end.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(clearMessage("Cannot read a\tb"), String.raw`Cannot read a\u0009b`);
 * const long = clearMessage(`Cannot read "${"x".repeat(1e6)}"; download it again`);
 * assert.match(long, /^Cannot read "x+…x+"; download it again$/);
 * assert.ok(long.length < 300);
 * ```
 */
export function clearMessage(message: string): string {
  const words = visibleText(message).replaceAll(/[^ ]{241,}/g, (word) => cutMiddle(word, LONGEST_WORD));
  return cutMiddle(words, LONGEST_MESSAGE);
}

/**
 * A value of a file, fit for a message.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([shown("a"), shown([1, 2]), shown(1n), shown(undefined)], ['"a"', "[1,2]", "1", "nothing"]);
 * assert.equal(shown("x".repeat(100)).length, 81);
 * ```
 */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "number" || typeof value === "bigint"
    ? String(value)
    : JSON.stringify(value) ?? String(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

/**
 * What is found where something else must be.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([found(-1), found(undefined)], ["current value is -1", "it is missing"]);
 * ```
 */
export function found(value: unknown): string {
  return value === undefined ? "it is missing" : `current value is ${shown(value)}`;
}

function cutMiddle(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) * 0.45), begin = most - 1 - end;
  return `${text.slice(0, begin)}…${text.slice(text.length - end)}`;
}
