/**
 * What is wrong with a recipe, as data and as text: place, source line with a caret, what is allowed, "did you mean".
 *
 * Not the finding of problems (`problems.ts`, `rules.ts`).
 */
import { graphemes, textWidth } from "../files/text_width.ts";
import type { Span } from "./located.ts";
import { lineText, position } from "./position.ts";

/** One thing that is wrong, at a place in a text. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** Sentence without capital and period: `unknown key \`iteratons\` in stages.spbo`. */
  readonly message: string;
  readonly at?: Span;
  /** What stands there: `"a" (text)`. */
  readonly found?: string;
  /** What may stand there. */
  readonly allowed?: string;
  /** What was probably meant. */
  readonly suggestion?: string;
  /** Why, or what else to do. */
  readonly note?: string;
  /** What was thrown, where foreign code failed. */
  readonly cause?: unknown;
}

/** A problem without references: lines and columns from 1, `endColumn` is the first column after it. */
export interface Diagnostic extends Omit<Problem, "at" | "cause"> {
  /** File, or `--set`; undefined where the problem has no place. */
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly endColumn?: number;
  /** The text of that line. */
  readonly text?: string;
}

/**
 * A recipe that cannot be used; exit code 2.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe } from "../pipeline/mod.ts";
 * import { RecipeError } from "./diagnostics.ts";
 *
 * const loading = loadRecipe("configs/quickstart.yaml", { set: ["stages.spbo.itertions=20"] });
 * await assert.rejects(loading, (error) => {
 *   assert.ok(error instanceof RecipeError);
 *   assert.deepEqual(error.diagnostics.map(({ suggestion }) => suggestion), ["iterations"]);
 *   return true;
 * });
 * ```
 */
export class RecipeError extends Error {
  override readonly name = "RecipeError";
  /** Everything that is wrong, by file and place. */
  readonly diagnostics: readonly Diagnostic[];

  constructor(problems: readonly Problem[]) {
    const diagnostics = toDiagnostics(problems);
    const cause = problems.find((problem) => problem.cause !== undefined)?.cause;
    super(diagnostics.map((each) => renderDiagnostic(each)).join("\n\n"), cause === undefined ? {} : { cause });
    this.diagnostics = diagnostics;
  }
}

/** Most that is said of one recipe; where more is wrong, it is the same mistake many times, or no recipe. */
const MOST = 50;

/** Problems as data, without repetitions, sorted: files as they were first named, then by line and column. */
export function toDiagnostics(problems: readonly Problem[]): Diagnostic[] {
  const seen = new Map<string, Problem>();
  const files = new Map<string | undefined, number>();
  for (const problem of problems) {
    const { at, message } = problem;
    const file = at?.source.name;
    if (!files.has(file)) files.set(file, files.size);
    // Every `--set` is a text of its own.
    const key = JSON.stringify([file, at?.source.kind === "set" ? at.source.text : "", at?.start, message]);
    if (!seen.has(key)) seen.set(key, problem);
  }
  const order = ({ at }: Problem) => files.get(at?.source.name) ?? 0;
  const sorted = [...seen.values()].sort((a, b) => order(a) - order(b) || (a.at?.start ?? 0) - (b.at?.start ?? 0));
  const shown = sorted.slice(0, MOST).map(({ at, cause: _cause, ...rest }): Diagnostic =>
    at ? { ...rest, file: at.source.name, ...placeOf(at) } : rest
  );
  const left = sorted.slice(MOST).filter(({ severity }) => severity === "error").length;
  if (left > 0) shown.push({ severity: "error", message: `${left} more errors are not shown` });
  return shown;
}

/**
 * One diagnostic as lines of text.
 *
 * @param colour whether to use ANSI colours
 * @param width columns to stay within where words allow it
 */
export function renderDiagnostic(
  diagnostic: Diagnostic,
  { colour = false, width = 80 }: { readonly colour?: boolean; readonly width?: number } = {},
): string {
  const paint = (codes: string, text: string) => colour ? `\x1b[${codes}m${text}\x1b[0m` : text;
  const { severity, message, file, line, column, endColumn, text, found, allowed, suggestion, note } = diagnostic;
  const tone = severity === "error" ? "1;31" : "1;33";
  const [first, ...more] = wrap(`${severity}: ${shorten(message)}`, width, "  ");
  const lines = [
    paint(tone, severity) + paint("1", first.slice(severity.length)),
    ...more.map((each) => paint("1", each)),
  ];
  let gutter = " ";
  if (file !== undefined && line !== undefined && column !== undefined) {
    const number = String(line);
    gutter = " ".repeat(number.length + 1);
    const bar = paint("1;34", "|");
    const shown = excerpt(text ?? "", column - 1, (endColumn ?? column + 1) - 1, width - gutter.length - 2);
    lines.push(`${gutter.slice(1)}${paint("1;34", "-->")} ${file}:${line}:${column}`);
    lines.push(`${gutter}${bar}`);
    lines.push(`${paint("1;34", number)} ${bar} ${shown.text}`);
    const hint = suggestion === undefined ? "" : ` did you mean \`${suggestion}\`?`;
    const fits = gutter.length + 2 + shown.end + textWidth(hint) <= width;
    const carets = " ".repeat(shown.start) + paint(tone, "^".repeat(shown.end - shown.start) + (fits ? hint : ""));
    lines.push(`${gutter}${bar} ${carets}`);
    if (!fits) lines.push(`${gutter}${bar}${paint(tone, hint)}`);
  } else if (suggestion !== undefined) lines.push(`${gutter}= did you mean \`${suggestion}\`?`);
  for (const [label, value] of [["found", found], ["allowed", allowed], ["note", note]] as const) {
    if (value === undefined) continue;
    const [head, ...rest] = wrap(
      `${gutter}= ${label}: ${shorten(value)}`,
      width,
      " ".repeat(gutter.length + label.length + 4),
    );
    lines.push(paint("1;34", head.slice(0, gutter.length + 1)) + head.slice(gutter.length + 1), ...rest);
  }
  return lines.join("\n");
}

/** All diagnostics with a count at the end. */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  options: { readonly colour?: boolean; readonly width?: number } = {},
): string {
  const blocks = diagnostics.map((each) => renderDiagnostic(each, options));
  const errors = diagnostics.filter(({ severity }) => severity === "error").length;
  if (errors > 1) blocks.push(`${errors} errors`);
  return blocks.join("\n\n");
}

function placeOf(at: Span) {
  // What is missing at the end is shown where the text ends.
  const start = Math.min(at.start, at.source.text.trimEnd().length);
  const { line, column } = position(at.source, start);
  const text = lineText(at.source, start);
  const end = at.source.text.slice(at.start, at.end).indexOf("\n");
  const inside = [...at.source.text.slice(at.start, end < 0 ? at.end : at.start + end).trimEnd()].length;
  return { line, column, endColumn: column + Math.max(1, inside), text };
}

/**
 * The part of a line around [start, end), with nothing in it that would move the caret or the terminal's.
 *
 * @param start characters before the place; what is returned counts columns
 */
function excerpt(line: string, start: number, end: number, width: number) {
  const { cells, cellAt } = toCells(printable(line));
  [start, end] = [cellAt(start), cellAt(end)];
  if (cells.length <= width) return { text: cells.join("").trimEnd(), start, end: Math.max(start + 1, end) };
  // The line's start is shown where the caret allows it, else its end, else the middle.
  const last = cells.length - (width - 1);
  const from = end <= width - 2 ? 0 : Math.min(Math.max(1, start - Math.floor(width / 3)), last);
  const to = from + width - (from > 0 && from < last ? 2 : 1);
  const cut = cells.slice(from, to);
  // Half of a wide character does not show.
  if (cut[0] === "") cut[0] = " ";
  if (cells[to] === "") cut[cut.length - 1] = " ";
  const [before, after] = [from > 0 ? "…" : "", from + cut.length < cells.length ? "…" : ""];
  const shift = before.length - from;
  return {
    text: before + cut.join("") + after,
    start: start + shift,
    end: Math.max(start + shift + 1, Math.min(end + shift, cut.length + before.length)),
  };
}

/** A line by columns: a wide character and an empty text after it; and the column at which each character begins. */
function toCells(line: string) {
  const cells: string[] = [];
  const begins: number[] = [];
  for (const each of graphemes(line)) {
    const columns = textWidth(each);
    for (const _ of each) begins.push(cells.length);
    if (columns === 0 && cells.length > 0) cells[cells.length - 1] += each;
    else cells.push(each, ...Array(Math.max(0, columns - 1)).fill(""));
  }
  const past = begins.length;
  return { cells, cellAt: (at: number) => at < past ? begins[at] : cells.length + at - past };
}

/** What is read by nobody if it is longer. */
function shorten(text: string): string {
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text;
}

/** Text with a space for every character that would not show, or would steer a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}

function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).split(/(?<=\S) /)) {
    if (line !== "" && line.trim() !== "" && textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = indent + word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
