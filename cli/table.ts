/** Tables and quantities as text. */
import { size } from "../runner/cache/no_space.ts";

/** A column: its head, and on which side its cells stand. */
export interface Column {
  readonly head: string;
  readonly side?: "left" | "right";
}

/**
 * Lines of a table: a head, a rule, rows; columns two spaces apart.
 *
 * @param width columns of the terminal: the widest left-sided column is cut to fit
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width = 80 }: { readonly width?: number } = {},
): string[] {
  const heads = columns.map(({ head }) => head);
  const widths = columns.map((_, index) => Math.max(...[heads, ...rows].map((row) => lengthOf(row[index] ?? ""))));
  const spare = () => width - widths.reduce((sum, each) => sum + each, 2 * (widths.length - 1));
  while (spare() < 0) {
    const left = widths.map((each, index) => columns[index].side === "right" ? 0 : each);
    const widest = left.indexOf(Math.max(...left));
    if (left[widest] <= 8) break;
    widths[widest]--;
  }
  const line = (row: readonly string[]) =>
    columns.map(({ side }, index) => fit(row[index] ?? "", widths[index], side)).join("  ").trimEnd();
  return [line(heads), widths.map((each) => "─".repeat(each)).join("  "), ...rows.map(line)];
}

/** Seconds for people: `0.4 s`, `41 s`, `3 min 5 s`, `2 h 10 min`, `1 d 4 h`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [big, small, names] = whole < 3600
    ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
    : whole < 86_400
    ? [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), ["h", "min"]]
    : [Math.floor(whole / 86_400), Math.floor(whole % 86_400 / 3600), ["d", "h"]];
  return small === 0 ? `${big} ${names[0]}` : `${big} ${names[0]} ${small} ${names[1]}`;
}

/** Bytes for people: `1.5 GiB`. */
export const bytes = size;

/**
 * Bytes from text such as `20GiB`, `500 MB` or `1e9`.
 *
 * @throws {RangeError} when the text is no size
 */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*(?:([kmgt])?(i)?b?)?\s*$/i.exec(text);
  if (!match) throw new RangeError(`Cannot read "${text}" as a size: write it as 20GiB, 500MB or a number of bytes`);
  const [, number, letter = "", binary] = match;
  const power = "kmgt".indexOf(letter.toLowerCase()) + 1;
  return Math.round(Number(number) * (binary ? 1024 : 1000) ** (letter === "" ? 0 : power));
}

/** Numbers in ranges: [0, 1, 2, 5] is `0–2, 5`. */
export function ranges(numbers: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const number of numbers) {
    const last = parts[parts.length - 1];
    if (last && last[1] + 1 === number) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => from === to ? `${from}` : `${from}–${to}`).join(", ");
}

/** Breaks text at spaces into lines of at most `width` columns; later lines start with `indent`. */
export function wrapText(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  // Spaces before a word belong to it, so that indents stay.
  for (const word of text.match(/ *[^ ]+/g) ?? [""]) {
    if (line !== "" && lengthOf(line + word) > width) {
      lines.push(line);
      line = indent + word.trimStart();
    } else line += word;
  }
  return [...lines, line];
}

function fit(cell: string, width: number, side: Column["side"]): string {
  const length = lengthOf(cell);
  if (length > width) return `${[...cell].slice(0, width - 1).join("")}…`;
  const space = " ".repeat(width - length);
  return side === "right" ? space + cell : cell + space;
}

function lengthOf(text: string): number {
  return [...text].length;
}
