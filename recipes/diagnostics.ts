/**
 * What is wrong with a recipe, as data and as text: place, source line with a caret, what is allowed, "did you mean".
 *
 * Not the finding of problems (`problems.ts`, `rules.ts`).
 */
import { position, type Span } from "./located.ts";

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
}

/** A problem without references: lines and columns from 1, `endColumn` is the first column after it. */
export interface Diagnostic extends Omit<Problem, "at"> {
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
    super(diagnostics.map((each) => renderDiagnostic(each)).join("\n\n"));
    this.diagnostics = diagnostics;
  }
}

/** Problems as data, without repetitions, sorted: files as they were first named, then by line and column. */
export function toDiagnostics(problems: readonly Problem[]): Diagnostic[] {
  const seen = new Map<string, Diagnostic>();
  for (const { at, ...rest } of problems) {
    const place: Pick<Diagnostic, "file" | "line" | "column" | "endColumn" | "text"> = at
      ? { file: at.source.name, ...placeOf(at) }
      : {};
    const diagnostic = { ...rest, ...place };
    const key = `${place.file}:${place.line}:${place.column}:${rest.message}`;
    if (!seen.has(key)) seen.set(key, diagnostic);
  }
  const all = [...seen.values()];
  const files = [...new Set(all.map(({ file }) => file))];
  return all.sort((a, b) =>
    files.indexOf(a.file) - files.indexOf(b.file) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
  );
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
  const [first, ...more] = wrap(`${severity}: ${message}`, width, "  ");
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
    const fits = gutter.length + 2 + shown.end + hint.length <= width;
    const carets = " ".repeat(shown.start) + paint(tone, "^".repeat(shown.end - shown.start) + (fits ? hint : ""));
    lines.push(`${gutter}${bar} ${carets}`);
    if (!fits) lines.push(`${gutter}${bar}${paint(tone, hint)}`);
  } else if (suggestion !== undefined) lines.push(`${gutter}= did you mean \`${suggestion}\`?`);
  for (const [label, value] of [["found", found], ["allowed", allowed], ["note", note]] as const) {
    if (value === undefined) continue;
    const [head, ...rest] = wrap(`${gutter}= ${label}: ${value}`, width, " ".repeat(gutter.length + label.length + 4));
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
  const { line, column } = position(at.source, Math.min(at.start, at.source.text.trimEnd().length));
  const text = at.source.text.split("\n")[line - 1].replace(/\r$/, "");
  const inside = [...at.source.text.slice(at.start, at.end).split("\n")[0].trimEnd()].length;
  return { line, column, endColumn: column + Math.max(1, inside), text };
}

/** The part of a line around [start, end), with nothing in it that would move the caret or the terminal's. */
function excerpt(line: string, start: number, end: number, width: number) {
  const letters = [...printable(line)];
  if (letters.length <= width) return { text: letters.join("").trimEnd(), start, end };
  // The line's start is shown where the caret allows it, else its end, else the middle.
  const last = letters.length - (width - 1);
  const from = end <= width - 2 ? 0 : Math.min(Math.max(1, start - Math.floor(width / 3)), last);
  const cut = letters.slice(from, from + width - (from > 0 && from < last ? 2 : 1));
  const [before, after] = [from > 0 ? "…" : "", from + cut.length < letters.length ? "…" : ""];
  const shift = before.length - from;
  return {
    text: before + cut.join("") + after,
    start: start + shift,
    end: Math.max(start + shift + 1, Math.min(end + shift, cut.length + before.length)),
  };
}

/** Text with a space for every character that would not show, or would steer a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}

function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).split(/(?<=\S) /)) {
    if (line !== "" && line.trim() !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
