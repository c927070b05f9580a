/** The files of one model, wherever they lie: a folder here, or a hub repository at one commit. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { whyUnreadable } from "../files/byte_source.ts";
import type { JsonObject, TokenizerSource } from "./checkpoint.ts";
import type { FileHashes } from "../files/file_hashes.ts";
import { type HashedFile, openHashed } from "../files/hashed_file.ts";
import { InputError } from "../files/input_error.ts";
import { parseJsonObject, readTextFile } from "../files/text_file.ts";

/** Classes of transformers whose tokenizers vocab.json and merges.txt define completely; OPT uses the first. */
const VOCAB_CLASSES: readonly unknown[] = ["GPT2Tokenizer", "GPT2TokenizerFast", undefined];

/** A file of weights and the hash of its content. */
export type WeightFile = HashedFile;

/** Files that belong together, by name. */
export interface ModelFiles {
  /** For messages. */
  readonly label: string;
  readonly names: ReadonlySet<string>;
  /** Whether there is a file of that path, in a sub-folder too. @param path such as `inPlace` gives */
  has(path: string): Promise<boolean>;
  /** @throws {InputError} when there is no such file, or it is no text */
  text(name: string): Promise<string>;
  /** @throws {InputError} when there is no such file */
  open(path: string): Promise<WeightFile>;
}

/**
 * The files that lie in a local folder; `names` has what lies directly in it.
 *
 * @param hashes memo of content hashes
 * @throws {InputError} when there is no such folder
 */
export async function folderFiles(folder: string, hashes: FileHashes): Promise<ModelFiles> {
  // Folders are listed too: whoever wants a file of that name hears that it is one.
  const names = await readdir(folder).catch(async (cause: NodeJS.ErrnoException) => {
    const why = cause.code === "ENOENT" ? "there is no such folder" : await whyUnreadable(folder, cause);
    throw new InputError(`Cannot open model folder ${folder}: ${why}`, { cause });
  });
  return {
    label: basename(folder),
    names: new Set(names),
    has: (path) => stat(join(folder, path)).then((found) => found.isFile(), () => false),
    text: (name) =>
      readTextFile(join(folder, name), { wanted: wantedOf(name), label: `${name} of ${basename(folder)}` }),
    open: (path) => openHashed(join(folder, path), hashes),
  };
}

/** What a text file beside a model must be, by its name. */
export function wantedOf(name: string): "JSON" | "lines" {
  return name.endsWith(".json") ? "JSON" : "lines";
}

/**
 * A path that an index names, in its plain form; undefined where it leads out of the model's folder.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(["./a/b.bin", "../b.bin", "/b.bin"].map(inPlace), ["a/b.bin", undefined, undefined]);
 * ```
 */
export function inPlace(path: string): string | undefined {
  if (/^[/\\]|^[A-Za-z]:|\0/.test(path)) return undefined;
  const parts = path.split(/[/\\]/).filter((part) => part !== "." && part !== "");
  return parts.length === 0 || parts.includes("..") ? undefined : parts.join("/");
}

/** Of a model's files, those that describe it. */
type Texts = Pick<ModelFiles, "label" | "names" | "text">;

/**
 * Reads a JSON object, as Python reads it.
 *
 * @throws {InputError} when the file is missing or is not a JSON object
 */
export async function readJson(files: Texts, name: string): Promise<JsonObject> {
  if (!files.names.has(name)) throw new InputError(`Cannot read ${name} of ${files.label}: there is no such file`);
  return parseJsonObject(await files.text(name), `${name} of ${files.label}`);
}

/**
 * The tokenizer that lies beside a model, or undefined when there is none that can be read: tokenizer.json, or
 * vocab.json and merges.txt of GPT-2's kind, as OPT models have.
 *
 * @throws {InputError} when a file is no JSON object
 */
export async function readTokenizer(files: Texts): Promise<TokenizerSource | undefined> {
  const optional = async (name: string) => files.names.has(name) ? await readJson(files, name) : {};
  const config = await optional("tokenizer_config.json");
  if (files.names.has("tokenizer.json")) {
    return { kind: "files", tokenizer: await readJson(files, "tokenizer.json"), config };
  }
  if (!files.names.has("vocab.json") || !files.names.has("merges.txt")) return undefined;
  if (!VOCAB_CLASSES.includes(config.tokenizer_class)) return undefined;
  const source = {
    label: files.label,
    vocab: await readJson(files, "vocab.json"),
    merges: await files.text("merges.txt"),
    config,
    special: await optional("special_tokens_map.json"),
    added: await optional("added_tokens.json"),
  };
  return { kind: "vocab", files: source };
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
