/** A recipe's text from its file, or what that file is instead. */
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { dirname, extname } from "node:path";
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
 * @returns the text, without a byte order mark, or why there is none
 */
export async function readText(file: string): Promise<{ readonly text: string } | Refusal> {
  let bytes: Uint8Array;
  try {
    bytes = await readStart(file);
  } catch (error) {
    return await explain(error, file);
  }
  const kind = kindOf(bytes);
  if (kind !== undefined) return kind;
  if (bytes.length > MOST_BYTES) {
    return { reason: `it has more than ${MOST_BYTES / 1024} KiB, which is no recipe`, note: "name a YAML file" };
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (text.trim() !== "") return { text };
    return { reason: bytes.length === 0 ? "it is empty" : "there is nothing but blanks in it" };
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

/** What files that are no recipes begin with; Latin-1 letters stand for bytes. */
const BEGINNINGS: readonly (readonly [RegExp, Refusal])[] = [
  [/^\xff\xfe\0\0|^\0\0\xfe\xff/, { reason: "it is UTF-32 text, and recipes are UTF-8", note: "save it as UTF-8" }],
  [/^\xff\xfe|^\xfe\xff/, { reason: "it is UTF-16 text, and recipes are UTF-8", note: "save it as UTF-8" }],
  [/^(?:[\t\n\r -~]\0){2}/, { reason: "it looks like UTF-16 text, and recipes are UTF-8", note: "save it as UTF-8" }],
  [/^(?:\0[\t\n\r -~]){2}/, { reason: "it looks like UTF-16 text, and recipes are UTF-8", note: "save it as UTF-8" }],
  [/^version https:\/\/git-lfs\.github\.com\//, {
    reason: "it is a Git LFS pointer, not the file that it stands for",
    note: "`git lfs pull` brings the file",
  }],
  [/^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|!--)/i, {
    reason: "it is a web page (HTML or XML), not a recipe",
    note: "download the file itself: on code hosts its raw form",
  }],
  [/^GGUF/, { reason: "it is a GGUF model, not a recipe", note: "`model.path` in a recipe names it" }],
  [/^[^]{2}\0{6}\{"/, { reason: "it is a safetensors file, not a recipe", note: "`model.path` names its folder" }],
  [/^PK\p{Cc}\p{Cc}/u, { reason: "it is a ZIP archive or a PyTorch file, not a recipe", note: "name a YAML file" }],
  [/^\p{Cc}\x8b\p{Cc}|^\(\xb5\/\xfd|^\xfd7zXZ|^BZh\d/u, {
    reason: "it is compressed, not a recipe",
    note: "unpack it first",
  }],
  [/^%PDF-/, { reason: "it is a PDF, not a recipe", note: "name a YAML file" }],
];

/** What a file is that is not a recipe, by its first bytes; undefined where it may be one. */
function kindOf(bytes: Uint8Array): Refusal | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 4096));
  const found = BEGINNINGS.find(([pattern]) => pattern.test(start));
  if (found) return found[1];
  const zero = bytes.indexOf(0);
  return zero < 0 ? undefined : {
    reason: `it is not text: there is a zero byte at ${zero} in it`,
    note: "name a YAML file",
  };
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
