/** Text files, read whole, where what is no text is told apart. */
import { openFile } from "./byte_source.ts";
import { InputError } from "./input_error.ts";
import { isObject } from "./json.ts";
import { type Fail, parseJson } from "./json_text.ts";
import { type Wanted, whatIsIt } from "./what_is_it.ts";

/** How a text is read. */
export interface TextFileOptions {
  /** `JSON` and `lines` are never a server's page; a `text` may be. */
  readonly wanted: Extract<Wanted, "JSON" | "lines" | "text">;
  /** For messages; default: the path. */
  readonly label?: string;
}

/** Larger JSON files are refused before they are read; the largest tokenizers have 40 MB. */
const MOST_JSON_BYTES = 1 << 28;
/** Strings of the runtime end there. */
const MOST_TEXT_BYTES = 2 ** 29 - 25;

/**
 * Reads a text in UTF-8, without the byte order mark that some editors put before it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "version https://git-lfs.github.com/spec/v1\noid sha256:5d\nsize 124974\n");
 * await assert.rejects(readTextFile(path, { wanted: "text" }), /it is a Git LFS pointer.*git lfs pull/);
 * await Deno.remove(path);
 * ```
 * @throws {InputError} when there is no such file, or it is none of text
 */
export async function readTextFile(path: string, { wanted, label = path }: TextFileOptions): Promise<string> {
  const source = await openFile(path);
  try {
    const fail = failing(label);
    const most = wanted === "text" ? MOST_TEXT_BYTES : MOST_JSON_BYTES;
    if (source.size > most) fail(`it may have ${most} bytes: it has ${source.size}`);
    return decodeText(await source.read(0, source.size), wanted, fail);
  } finally {
    source.close();
  }
}

/**
 * A JSON object of a text.
 *
 * @param label for messages: the file
 * @throws {InputError} when it is no JSON, or other JSON than an object
 */
export function parseJsonObject(text: string, label: string): Readonly<Record<string, unknown>> {
  const fail = failing(label);
  const value = parseJson(text, (why) => fail(`it is not valid JSON: ${why}`));
  if (isObject(value)) return value;
  return fail(
    `it is not a JSON object but ${Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`}`,
  );
}

/** Bytes as text. @param fail told why they are none */
export function decodeText(bytes: Uint8Array, wanted: TextFileOptions["wanted"], fail: Fail): string {
  const other = whatIsIt(bytes, bytes.length, wanted);
  if (other !== undefined) fail(other);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.includes("\0")) fail("it holds zero bytes and is no text");
    return text;
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    return fail("it is not UTF-8; save it as UTF-8");
  }
}

function failing(label: string): Fail {
  return (why) => {
    throw new InputError(`Cannot read ${label}: ${why}`);
  };
}
