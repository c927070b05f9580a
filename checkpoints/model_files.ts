/** The files of one model, wherever they lie: a folder here, or a hub repository at one commit. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { JsonObject, TokenizerSource } from "./checkpoint.ts";
import type { FileHashes } from "../files/file_hashes.ts";
import { type HashedFile, openHashed } from "../files/hashed_file.ts";
import { InputError } from "../files/input_error.ts";

/** Classes of transformers whose tokenizers vocab.json and merges.txt define completely; OPT uses the first. */
const VOCAB_CLASSES: readonly unknown[] = ["GPT2Tokenizer", "GPT2TokenizerFast", undefined];

/** A file of weights and the hash of its content. */
export type WeightFile = HashedFile;

/** Files that belong together, by name. */
export interface ModelFiles {
  /** For messages. */
  readonly label: string;
  readonly names: ReadonlySet<string>;
  /** @throws {InputError} when there is no such file */
  text(name: string): Promise<string>;
  /** @throws {InputError} when there is no such file */
  open(name: string): Promise<WeightFile>;
}

/**
 * The files that lie directly in a local folder.
 *
 * @param hashes memo of content hashes
 * @throws {InputError} when there is no such folder
 */
export async function folderFiles(folder: string, hashes: FileHashes): Promise<ModelFiles> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === "ENOENT" ? "there is no such folder" : cause.message;
    throw new InputError(`Cannot open model folder ${folder}: ${why}`, { cause });
  });
  const names = new Set(entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name));
  return {
    label: basename(folder),
    names,
    text: (name) =>
      readFile(join(folder, name), "utf8").catch((cause: Error) => {
        throw new InputError(`Cannot read ${join(folder, name)}: ${cause.message}`, { cause });
      }),
    open: (name) => openHashed(join(folder, name), hashes),
  };
}

/**
 * Reads a JSON object.
 *
 * @throws {InputError} when the file is missing or is not a JSON object
 */
export async function readJson(files: ModelFiles, name: string): Promise<JsonObject> {
  if (!files.names.has(name)) throw new InputError(`Cannot read ${name} of ${files.label}: there is no such file`);
  let value: unknown;
  try {
    value = JSON.parse(await files.text(name));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new InputError(`Cannot read ${name} of ${files.label}: ${cause.message}`, { cause });
  }
  if (!isObject(value)) throw new InputError(`Cannot read ${name} of ${files.label}: it is not a JSON object`);
  return value;
}

/**
 * The tokenizer that lies beside a model, or undefined when there is none that can be read: tokenizer.json, or
 * vocab.json and merges.txt of GPT-2's kind, as OPT models have.
 *
 * @throws {InputError} when a file is no JSON object
 */
export async function readTokenizer(files: ModelFiles): Promise<TokenizerSource | undefined> {
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
