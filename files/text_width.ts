/**
 * Text as a terminal shows it: how many columns it takes, and cut to a width.
 *
 * Not the layout of tables and lines, which their printers know.
 */
import stringWidth from "string-width";

/**
 * Columns that a text takes: 2 for East Asian wide characters and for emoji, whole sequences of them too, 0 for
 * combining marks and colours.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(["abc", "漢字", "e\u0301", "👩‍💻", "\x1b[1mx\x1b[0m"].map(textWidth), [3, 4, 1, 2, 1]);
 * ```
 */
export function textWidth(text: string): number {
  // Most text is ASCII.
  return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text);
}

/** Characters as people count them: with the marks on them, and a sequence of emoji as one. */
export function graphemes(text: string): string[] {
  return /^[\x20-\x7e]*$/.test(text) ? text.split("") : [...segmenter.segment(text)].map(({ segment }) => segment);
}

/**
 * A text cut to some columns; `…` stands for what is left out.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([fitText("short", 5), fitText("longer", 5), fitText("漢字漢字", 5)], ["short", "long…", "漢字…"]);
 * ```
 */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let [cut, used] = ["", 0];
  for (const each of graphemes(text)) {
    const columns = textWidth(each);
    if (used + columns > width - 1) break;
    cut += each;
    used += columns;
  }
  return `${cut}…`;
}

const segmenter = new Intl.Segmenter();
