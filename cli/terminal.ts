/** The one place through which everything is printed: colours, width, lines, and what is an error stream's. */
import { renderDiagnostics } from "../recipes/diagnostics.ts";
import type { Diagnostic } from "../recipes/diagnostics.ts";

/** Where and how a command prints. */
export interface Terminal {
  /** Whether colours are wanted on the standard output. */
  readonly colour: boolean;
  /** Whether lines may be rewritten: the standard output is a terminal. */
  readonly live: boolean;
  /** Columns to stay within. */
  readonly width: number;
  /** Prints one line, or an empty one, on the standard output. */
  line(text?: string): void;
  /** Prints text without a line's end, as it comes. */
  write(text: string): void;
  /** Prints one line on the error output: warnings, errors, progress that is no result. */
  note(text: string): void;
  /** Prints diagnostics on the error output. */
  diagnose(diagnostics: readonly Diagnostic[]): void;
  /** Text in bold, dim, …, where colours are wanted. */
  paint(style: Style, text: string): string;
}

/** A look, independent of the terminal. */
export type Style = "bold" | "dim" | "good" | "bad" | "warn" | "accent";

const codes: Readonly<Record<Style, string>> = {
  bold: "1",
  dim: "2",
  good: "32",
  bad: "31",
  warn: "33",
  accent: "36",
};

/** Columns where the terminal does not say. */
const DEFAULT_WIDTH = 80;

/** Most columns that text fills, however wide the terminal. */
const WIDEST = 120;

/**
 * The process's own terminal.
 *
 * @param colour false for `--no-color`; NO_COLOR is respected, and there is no colour where the output is not a terminal
 * @param json whether the standard output is for programs, so that nothing may be rewritten on it
 */
export function openTerminal(
  { colour = true, json = false }: { readonly colour?: boolean; readonly json?: boolean } = {},
): Terminal {
  const [out, err] = [Deno.stdout.isTerminal(), Deno.stderr.isTerminal()];
  const wanted = colour && !Deno.noColor;
  const width = Math.min(WIDEST, out || err ? columns() : DEFAULT_WIDTH);
  return {
    colour: wanted && out,
    live: out && !json && Deno.env.get("TERM") !== "dumb",
    width,
    line: (text = "") => writeAll(Deno.stdout, `${text}\n`),
    write: (text) => writeAll(Deno.stdout, text),
    note: (text) => writeAll(Deno.stderr, `${text}\n`),
    diagnose: (diagnostics) => {
      if (diagnostics.length === 0) return;
      writeAll(Deno.stderr, `${renderDiagnostics(diagnostics, { colour: wanted && err, width })}\n`);
    },
    paint: (style, text) => wanted && out ? `\x1b[${codes[style]}m${text}\x1b[0m` : text,
  };
}

function columns(): number {
  try {
    return Math.max(40, Deno.consoleSize().columns);
  } catch {
    return DEFAULT_WIDTH;
  }
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch (error) {
    // A reader such as `head` that has seen enough ends the command, not with a failure.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}
