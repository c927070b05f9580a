/**
 * What a file is that is not what it should be, told by its first bytes, and what to do about it: the pointer that a clone without Git LFS
 * leaves, a page or an error that a server sent in its place, an archive, a download that never came.
 */
import type { ByteSource } from "./byte_source.ts";
import type { JsonRecord } from "./json.ts";

/** What a reader wanted to read. */
export type Wanted = "safetensors" | "GGUF" | "PyTorch" | "Parquet" | "gzip" | "JSON" | "recipe" | "lines" | "text";

/** The beginning of a file. */
interface Beginning {
  readonly bytes: Uint8Array;
  /** The same as text, or undefined where it is none. */
  readonly text: string | undefined;
  /** Of the whole file, in bytes. */
  readonly size: number;
}

/** What a file is, and what to do about it: two parts of a sentence that has named the file. */
export interface Other {
  readonly is: string;
  readonly remedy: string;
}

/** One kind of files. `what` says nothing where it is another kind. */
interface Kind {
  /** Readers for which it is no mistake. */
  readonly fine: readonly Wanted[];
  what(beginning: Beginning): Other | undefined;
}

/** So many bytes tell a kind; a tar archive has its mark after 257. */
const LOOK = 1024;

/** Keys of a server's refusal that say why, and all that one may have. */
const SAID: readonly string[] = ["error", "message", "detail", "error_message", "msg"];
const ANSWER: ReadonlySet<string> = new Set(
  [...SAID, "status", "statusCode", "status_code", "code", "path", "timestamp", "url", "type", "success", "error_type"]
    .concat(["request_id", "requestId", "documentation_url", "details", "reason"]),
);

const AGAIN = "download it again";
const SENT = "as a server sends in place of a file";

/** Those of which any file may consist as far as its content goes. */
const TEXTS = ["lines", "text"] as const satisfies Wanted[];

/** In the order in which they are tried. */
const KINDS: readonly Kind[] = [
  { fine: [], what: ({ size }) => size === 0 ? { is: "it is empty", remedy: AGAIN } : undefined },
  {
    fine: [],
    what: ({ text }) =>
      text?.startsWith("version https://git-lfs")
        ? { is: "it is a Git LFS pointer, not the file itself", remedy: "fetch it with `git lfs pull` in its folder" }
        : undefined,
  },
  {
    fine: [],
    what: ({ bytes, size }) =>
      bytes.every((byte) => byte === 0)
        ? {
          is: `its first ${bytes.length} of ${size} bytes are all zero: it was never written to its end`,
          remedy: AGAIN,
        }
        : undefined,
  },
  { fine: ["text"], what: ({ text }) => text === undefined ? undefined : page(text) },
  { fine: ["text"], what: ({ text }) => text === undefined ? undefined : answer(text) },
  { fine: [], what: ({ bytes }) => wide(bytes) },
  ...[
    magic("a gzip archive", [0x1f, 0x8b], "unpack it with gunzip", ["gzip"]),
    magic("a zip archive", [0x50, 0x4b, 3, 4], "unpack it", ["PyTorch"]),
    magic("a zip archive", [0x50, 0x4b, 5, 6], "unpack it", ["PyTorch"]),
    magic("an xz archive", [0xfd, 0x37, 0x7a, 0x58, 0x5a], "unpack it"),
    magic("a Zstandard archive", [0x28, 0xb5, 0x2f, 0xfd], "unpack it"),
    magic("a bzip2 archive", ascii("BZh"), "unpack it"),
    magic("a 7z archive", [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "unpack it"),
    magic("a rar archive", ascii("Rar!"), "unpack it"),
    magic("a tar archive", ascii("ustar"), "unpack it", [], 257),
    magic("a GGUF file", ascii("GGUF"), "name the .gguf file itself as the model", ["GGUF"]),
    ...["ggml", "ggjt", "ggla", "ggmf"].map((mark) =>
      magic("a GGML file from before GGUF", ascii(mark).toReversed(), "convert it to GGUF, or give the original model")
    ),
    magic("a Parquet file", ascii("PAR1"), "give what this file should be", ["Parquet"]),
    magic("an HDF5 file", [0x89, 0x48, 0x44, 0x46], "save the model as safetensors"),
    magic("a NumPy file", [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], "save it as safetensors"),
    magic("a PDF document", ascii("%PDF"), "give what this file should be"),
    magic("a SQLite database", ascii("SQLite format 3"), "give what this file should be"),
    magic("a PNG image", [0x89, 0x50, 0x4e, 0x47], "give what this file should be"),
    magic("a JPEG image", [0xff, 0xd8, 0xff], "give what this file should be"),
  ],
  {
    fine: ["PyTorch"],
    what: ({ bytes: [proto, version] }) =>
      proto === 0x80 && version >= 2 && version <= 5
        ? { is: "it is a Python pickle", remedy: "load it with PyTorch and save the model as safetensors" }
        : undefined,
  },
  {
    fine: ["safetensors"],
    what: ({ bytes }) =>
      bytes.length > 9 && bytes[8] === 0x7b && bytes.subarray(4, 8).every((byte) => byte === 0)
        ? { is: "it is a safetensors file", remedy: "name it so, and give what this file should be" }
        : undefined,
  },
  {
    fine: ["JSON", "recipe", ...TEXTS],
    what: ({ text }) =>
      text === undefined ? undefined : { is: `it is a text that begins with ${quote(text, 60)}`, remedy: AGAIN },
  },
];

/**
 * Says what a file is, and what to do about it, where its beginning shows that it is not what a reader wants.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const page = new TextEncoder().encode("<!DOCTYPE html><title>429 Too Many Requests</title>");
 * assert.equal(
 *   whatIsIt(page, page.length, "safetensors"),
 *   'it is an HTML page ("429 Too Many Requests"), as a server sends in place of a file; download it again',
 * );
 * assert.equal(whatIsIt(page, page.length, "text"), undefined);
 * ```
 * @param bytes the beginning, or all of it
 * @param size of the whole file, in bytes
 * @returns the rest of a message that has named the file, or undefined where the beginning does not tell
 */
export function whatIsIt(bytes: Uint8Array, size: number, wanted: Wanted): string | undefined {
  const other = identify(bytes, size, wanted);
  return other && `${other.is}; ${other.remedy}`;
}

/** As `whatIsIt`, in parts. */
export function identify(bytes: Uint8Array, size: number, wanted: Wanted): Other | undefined {
  const first = bytes.subarray(0, LOOK);
  const beginning = { bytes: first, size, text: textOf(first, first.length < size) };
  for (const { fine, what } of KINDS) {
    const found = fine.includes(wanted) ? undefined : what(beginning);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** As `whatIsIt`, of a file that is open. */
export async function lookAt(source: ByteSource, wanted: Wanted): Promise<string | undefined> {
  return whatIsIt(await source.read(0, Math.min(source.size, LOOK)), source.size, wanted);
}

/** A text of an untrusted file, fit for a message. */
export function quote(text: string, most = 100): string {
  return JSON.stringify(text.length > most ? `${text.slice(0, most)}…` : text);
}

function magic(name: string, mark: readonly number[], remedy: string, fine: readonly Wanted[] = [], at = 0): Kind {
  return {
    fine,
    what: ({ bytes }) => mark.every((byte, i) => bytes[at + i] === byte) ? { is: `it is ${name}`, remedy } : undefined,
  };
}

function ascii(text: string): readonly number[] {
  return [...new TextEncoder().encode(text)];
}

/** Text of printable characters in UTF-8. @param cut whether its last character may be incomplete */
function textOf(bytes: Uint8Array, cut: boolean): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: cut });
    // deno-lint-ignore no-control-regex -- these are what tells bytes from text
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? undefined : text.trimStart();
  } catch {
    return undefined;
  }
}

function page(text: string): Other | undefined {
  if (/^<(!doctype html|html|head|body)\b/i.test(text) || /^<!--[\s\S]*<html\b/i.test(text)) {
    const [, title] = /<title[^>]*>\s*([^<]*?)\s*</i.exec(text) ?? [];
    return { is: `it is an HTML page${title ? ` (${quote(title)})` : ""}, ${SENT}`, remedy: AGAIN };
  }
  if (!/^<(\?xml|Error)\b/.test(text)) return undefined;
  const [, said] = /<Message>([^<]*)</.exec(text) ?? [];
  return { is: `it is an XML document${said ? ` (${quote(said)})` : ""}, ${SENT}`, remedy: AGAIN };
}

/** A server's refusal in JSON: it has the keys of one and no others, which no config has. */
function answer(text: string): Other | undefined {
  const value = jsonOf(text);
  const [key] = Object.keys(value).filter((key) => SAID.includes(key));
  if (key === undefined || Object.keys(value).some((key) => !ANSWER.has(key))) return undefined;
  const said = typeof value[key] === "string" ? value[key] : JSON.stringify(value[key]);
  return { is: `it is the answer of a server (${quote(said)}) in place of the file`, remedy: AGAIN };
}

/** A short JSON object; empty where the text is anything else. */
function jsonOf(text: string): JsonRecord {
  try {
    return text.startsWith("{") ? JSON.parse(text) : {};
  } catch {
    return {};
  }
}

/** UTF-32 and UTF-16 by their marks, or UTF-16 by every other byte of the first few being zero. */
function wide(bytes: Uint8Array): Other | undefined {
  const [a, b, c, d] = bytes;
  const little = a === 0xff && b === 0xfe, big = a === 0xfe && b === 0xff;
  const longer = little && c === 0 && d === 0 || a === 0 && b === 0 && c === 0xfe && d === 0xff;
  const isText = (byte: number) => byte >= 0x20 && byte < 0x7f || byte >= 9 && byte <= 13;
  const plain = (low: number) =>
    bytes.length >= 8 && bytes.subarray(0, 8).every((byte, i) => i % 2 === low ? isText(byte) : byte === 0);
  if (!longer && !little && !big && !plain(0) && !plain(1)) return undefined;
  return { is: `it is UTF-${longer ? 32 : 16}`, remedy: "save it as UTF-8" };
}
