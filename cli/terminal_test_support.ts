import { renderDiagnostics } from "../recipes/diagnostics.ts";
import type { Terminal } from "./terminal.ts";

/** A terminal that keeps what is printed on it, for tests. */
export function memoryTerminal({ width = 80 }: { readonly width?: number } = {}): Terminal & {
  readonly out: () => string;
  readonly err: () => string;
} {
  const { signal: closed } = new AbortController();
  let [out, err] = ["", ""];
  return {
    colour: false,
    live: false,
    width,
    closed,
    line: (text = "") => void (out += `${text}\n`),
    write: (text) => void (out += text),
    note: (text) => void (err += `${text}\n`),
    diagnose: (diagnostics) => {
      if (diagnostics.length > 0) err += `${renderDiagnostics(diagnostics, { width })}\n`;
    },
    paint: (_style, text) => text,
    out: () => out,
    err: () => err,
  };
}
