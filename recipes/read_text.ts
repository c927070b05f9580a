/** A recipe's text from its file, or what that file is instead. */
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { dirname, extname } from "node:path";
import { identify } from "../files/what_is_it.ts";
import { listSimilar } from "./suggest.ts";

/** Why there is no text. */
export interface Refusal {
  /** Sentence part without period: `it is a folder`. */
  readonly reason: string;
  /** Name of a file beside it that may be meant. */
  readonly similar?: string;
  /** What to do. */
  readonly note?: string;
}

/** Bytes of the longest recipe; those that people write have a hundredth of it. */
const MOST_BYTES = 2 ** 18;

/**
 * Reads a recipe's file, and not more of it than a recipe can have.
 *
 * @param file absolute path
 * @param options `before`: a line at which the recipe ends, where more follows in the file
 * @returns the text, without a byte order mark, or why there is none
 */
export async function readText(
  file: string,
  { before }: { readonly before?: string } = {},
): Promise<{ readonly text: string } | Refusal> {
  let bytes: Buffer;
  try {
    bytes = Buffer.from(await readStart(file));
  } catch (error) {
    return await explain(error, file);
  }
  if (before !== undefined && bytes.length > 0) {
    const end = bytes.toString("latin1").search(new RegExp(`^${before}\\r?$`, "m"));
    if (end < 0) return { reason: `it has no line \`${before}\`, so it is no lock of a run` };
    bytes = bytes.subarray(0, end);
  }
  return decodeText(bytes);
}

/** A recipe's text from the bytes that it is said to be, of which more than a recipe may have need not be given. */
export function decodeText(bytes: Uint8Array): { readonly text: string } | Refusal {
  if (bytes.length === 0) return { reason: "it is empty" };
  const other = identify(bytes, bytes.length, "recipe");
  if (other !== undefined) return { reason: other.is, note: other.remedy };
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    return { reason: `it is not text: there is a zero byte at ${zero} in it`, note: "name a YAML file" };
  }
  if (bytes.length > MOST_BYTES) {
    return { reason: `it has more than ${MOST_BYTES / 1024} KiB, which is no recipe`, note: "name a YAML file" };
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.trim() !== "") return { text };
    return { reason: "there is nothing but blanks in it" };
  } catch {
    return { reason: `line ${firstWrongLine(bytes)} is not UTF-8 text`, note: "save it as UTF-8" };
  }
}

/** The first bytes of a file: one more than a recipe may have, so that longer ones are told. */
async function readStart(file: string): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file);
    const bytes = new Uint8Array(MOST_BYTES + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return bytes.subarray(0, length);
  } finally {
    await handle?.close();
  }
}

/** Words for what the system says; where it says something else, its own code is told. */
const REASONS: Readonly<Record<string, Refusal>> = {
  EACCES: { reason: "reading it is not permitted", note: "give yourself the right to read it, and its folders" },
  EPERM: { reason: "reading it is not permitted", note: "give yourself the right to read it, and its folders" },
  ELOOP: { reason: "it is a link that leads back to itself", note: "name a YAML file" },
  ENAMETOOLONG: { reason: "its name is longer than the system allows", note: "name a YAML file" },
  ENOTDIR: { reason: "what stands before the last `/` is a file, not a folder" },
  ERR_INVALID_ARG_VALUE: { reason: "no file can have this name" },
};

async function explain(error: unknown, file: string): Promise<Refusal> {
  const code = String((error as { code?: unknown }).code);
  if (code === "EISDIR") return await describeFolder(file);
  if (code === "ENOENT") return await describeMissing(file);
  if (error instanceof Deno.errors.NotCapable) {
    return { reason: "Deno does not let this program read it", note: "copy it into a file of your own" };
  }
  return REASONS[code] ?? { reason: `the system refuses it (${code})` };
}

async function describeFolder(folder: string): Promise<Refusal> {
  const reason = "it is a folder";
  const names = (await readdir(folder).catch(() => [])).filter((name) => [".yaml", ".yml"].includes(extname(name)));
  if (names.length === 0) return { reason, note: "name a YAML file" };
  const some = names.sort().slice(0, 5).map((name) => `\`${name}\``).join(", ");
  return { reason, note: `name a recipe in it: ${some}${names.length > 5 ? " …" : ""}` };
}

async function describeMissing(file: string): Promise<Refusal> {
  const link = await lstat(file).then((found) => found.isSymbolicLink(), () => false);
  if (link) {
    const target = await readlink(file);
    return { reason: `it is a link to \`${target}\`, which is not there`, note: "mend the link, or name another file" };
  }
  const there = await lstat(dirname(file)).then(() => true, () => false);
  if (!there) return { reason: "there is no such file, nor its folder" };
  const similar = await listSimilar(file);
  return { reason: "there is no such file", ...(similar === undefined ? {} : { similar }) };
}

/** The first line that is no UTF-8, from 1. */
function firstWrongLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let [line, start] = [1, 0];; line++) {
    const end = bytes.indexOf(10, start);
    try {
      decoder.decode(bytes.subarray(start, end < 0 ? undefined : end));
    } catch {
      return line;
    }
    start = end + 1;
  }
}
