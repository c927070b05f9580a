/** The one place through which everything is printed: colours, width, lines, and what is an error stream's. */
import { fstatSync } from "node:fs";
import { visibleText } from "../files/clear_text.ts";
import { renderDiagnostics } from "../recipes/diagnostics.ts";
import type { Diagnostic } from "../recipes/diagnostics.ts";

/** What is printed cannot be written: the device or file that it goes to is full or fails. */
export class OutputError extends Error {
  override readonly name = "OutputError";
  /** For exit codes. */
  readonly code = "OUTPUT";
}

/** Where and how a command prints. */
export interface Terminal {
  /** Whether colours are wanted on the standard output. */
  readonly colour: boolean;
  /** Whether lines may be rewritten: the standard output is a terminal. */
  readonly live: boolean;
  /** Columns to stay within. */
  readonly width: number;
  /** Aborted once nobody reads the standard output any more, as after `| head`: what is printed then goes nowhere. */
  readonly closed: AbortSignal;
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

const ESCAPE = "\x1b";

/** What this program itself prints besides text, to split by. */
const OWN = new RegExp(`(${ESCAPE}\\[\\?25h|[\\t\\n\\r])`);
const OWN_WITH_COLOURS = new RegExp(`(${ESCAPE}\\[(?:[\\d;]{1,8}m|\\?25h)|[\\t\\n\\r])`);

/** Number of Linux's device that is always full. */
const FULL = 0x107;

/** Columns where the terminal does not say. */
const DEFAULT_WIDTH = 80;

/** Fewest columns that are kept to. */
const NARROWEST = 20;

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
  const width = Math.min(WIDEST, columns(out || err));
  const closed = new AbortController();
  const print = (text: string) => {
    if (!closed.signal.aborted && !writeAll(Deno.stdout, text, out)) closed.abort();
  };
  const tell = (text: string) => void writeAll(Deno.stderr, text, err);
  return {
    colour: wanted && out,
    live: out && !json && Deno.env.get("TERM") !== "dumb",
    width,
    closed: closed.signal,
    line: (text = "") => print(`${harmless(text, wanted && out)}\n`),
    write: (text) => print(out ? harmless(text, wanted) : text),
    note: (text) => tell(`${harmless(text, false)}\n`),
    diagnose: (diagnostics) => {
      if (diagnostics.length > 0) tell(`${renderDiagnostics(diagnostics, { colour: wanted && err, width })}\n`);
    },
    paint: (style, text) => wanted && out ? `\x1b[${codes[style]}m${visibleText(text)}\x1b[0m` : text,
  };
}

/**
 * Text with what would steer a terminal written out, so that no name of a model or a step can; lines, tabs and what this
 * program itself prints stay: a cursor that is shown again and, where they are wanted, colours.
 */
export function harmless(text: string, colour: boolean): string {
  const own = colour ? OWN_WITH_COLOURS : OWN;
  return text.split(own).map((part, at) => at % 2 === 0 ? visibleText(part) : part).join("");
}

/** The columns there are: what COLUMNS says, else what the terminal says. */
function columns(terminal: boolean): number {
  const stated = Number(Deno.env.get("COLUMNS") ?? "");
  if (Number.isInteger(stated) && stated > 0) return Math.max(NARROWEST, stated);
  if (!terminal) return DEFAULT_WIDTH;
  try {
    // Some pseudo-terminals have no size.
    return Math.max(NARROWEST, Deno.consoleSize().columns || DEFAULT_WIDTH);
  } catch {
    return DEFAULT_WIDTH;
  }
}

type Stream = Pick<typeof Deno.stdout, "writeSync">;

/** Writes all of a text. @returns false when nobody reads it any more @throws {OutputError} when it cannot be written */
function writeAll(stream: Stream, text: string, wasTerminal: boolean): boolean {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
    return true;
  } catch (error) {
    if (isClosed(error, wasTerminal)) return false;
    const [name, number] = stream === Deno.stdout ? ["standard output", 1] : ["error output", 2];
    throw new OutputError(`Cannot write the output: ${describeFailure(error, `the ${name}${deviceOf(number)}`)}`);
  }
}

/** Whether a stream has no reader: a pipe's is gone, the stream was closed, or the terminal was, which then is none. */
function isClosed(error: unknown, wasTerminal: boolean): boolean {
  if (error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.BadResource) return true;
  const { code } = error as { code?: unknown };
  return code === "EPIPE" || code === "EBADF" || (code === "EIO" && wasTerminal);
}

// The system's error is no cause of it: a full disk of the output is not one of the cache.
function describeFailure(error: unknown, where: string): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === "ENOSPC" || code === "EDQUOT"
    ? `${where} is full; free some space there, or send the output elsewhere`
    : `${where} fails (${visibleText(String(code ?? message))}); send the output elsewhere`;
}

/** The device behind a stream, as far as this program may know: Deno's permissions keep /proc to itself. */
function deviceOf(number: number): string {
  const stat = fstatSync(number);
  return Deno.build.os === "linux" && stat.isCharacterDevice() && stat.rdev === FULL ? " (/dev/full)" : "";
}
