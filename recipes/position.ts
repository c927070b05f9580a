/** Lines and columns of a text. */
import type { Source } from "./located.ts";

/** What is known of a text: where its lines begin, and the last place that was asked for. */
interface Lines {
  readonly starts: readonly number[];
  last: { offset: number; line: number; column: number };
}

const known = new WeakMap<Source, Lines>();

/**
 * Line and column, both from 1, columns in characters, of an offset in UTF-16 units.
 *
 * Places asked for in order take a time that grows with the text only, not with their number.
 */
export function position(source: Source, offset: number): { line: number; column: number } {
  const lines = linesOf(source);
  const line = lineAt(lines.starts, offset);
  const start = lines.starts[line - 1];
  const goesOn = lines.last.line === line && lines.last.offset <= offset;
  let [at, column] = goesOn ? [lines.last.offset, lines.last.column] : [start, 1];
  for (; at < offset; at += source.text.codePointAt(at)! > 0xffff ? 2 : 1) column++;
  lines.last = { offset: at, line, column };
  return { line, column };
}

/** The text of the line that an offset is in, without its end. */
export function lineText(source: Source, offset: number): string {
  const { starts } = linesOf(source);
  const line = lineAt(starts, offset);
  return source.text.slice(starts[line - 1], starts[line]).replace(/\r?\n$/, "");
}

function linesOf(source: Source): Lines {
  const before = known.get(source);
  if (before) return before;
  const starts = [0, ...[...source.text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  const lines = { starts, last: { offset: 0, line: 1, column: 1 } };
  known.set(source, lines);
  return lines;
}

/** The number of the last line that begins at or before an offset. */
function lineAt(starts: readonly number[], offset: number): number {
  let [low, high] = [0, starts.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= offset) low = middle;
    else high = middle;
  }
  return low + 1;
}
