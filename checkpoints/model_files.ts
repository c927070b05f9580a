/** The files of one model, wherever they lie: a folder here, or a hub repository at one commit. */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type ByteSource, openFile } from "../files/byte_source.ts";
import type { JsonObject, TokenizerSource } from "./checkpoint.ts";
import { type FileHashes, hashFile } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";

/** Classes of transformers whose tokenizers vocab.json and merges.txt define completely; OPT uses the first. */
const VOCAB_CLASSES: readonly unknown[] = ["GPT2Tokenizer", "GPT2TokenizerFast", undefined];

/** AutoTokenizer's classes by `model_type` (transformers 4.57.6, models/auto/tokenization_auto.py). */
const CLASS_OF_TYPE: ReadonlyMap<unknown, string> = new Map([
  ["llama", "LlamaTokenizer"],
  ["mistral", "LlamaTokenizer"],
  ["opt", "GPT2Tokenizer"],
  ["gpt2", "GPT2Tokenizer"],
  ["gpt_neox", "GPTNeoXTokenizer"],
  ["qwen2", "Qwen2Tokenizer"],
  ["qwen3", "Qwen2Tokenizer"],
  ["gemma", "GemmaTokenizer"],
]);

/** Where models say how text is generated with them. */
export const GENERATION_FILE = "generation_config.json";

/** A file of weights and the hash of its content. */
export interface WeightFile {
  readonly source: ByteSource;
  /** Hex; of the whole file. */
  sha256(): Promise<string>;
}

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
    open: (name) => openWeightFile(join(folder, name), hashes),
  };
}

/** Opens one local file of weights; it is hashed at most once. @throws {InputError} when there is no such file */
export async function openWeightFile(path: string, hashes: FileHashes): Promise<WeightFile> {
  let hash: Promise<string> | undefined;
  return { source: await openFile(path), sha256: () => hash ??= hashFile(path, hashes) };
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
    return {
      kind: "files",
      tokenizer: await readJson(files, "tokenizer.json"),
      config: await completed(files, config),
    };
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

/**
 * A tokenizer_config.json with what transformers' AutoTokenizer finds elsewhere: its class by the model's type, and the
 * special tokens of older models. One that is not there stays empty.
 */
async function completed(files: ModelFiles, config: JsonObject): Promise<JsonObject> {
  if (Object.keys(config).length === 0) return config;
  const special = config.added_tokens_decoder === undefined && files.names.has("special_tokens_map.json")
    ? await readJson(files, "special_tokens_map.json")
    : {};
  if ((config.tokenizer_class ?? null) !== null || !files.names.has("config.json")) return { ...config, ...special };
  const { tokenizer_class, model_type } = await readJson(files, "config.json");
  const found = tokenizer_class ?? CLASS_OF_TYPE.get(model_type);
  return { ...config, ...special, ...found === undefined ? {} : { tokenizer_class: found } };
}

/**
 * generation_config.json, or undefined where a model has none; its `eos_token_id` goes before the config's.
 *
 * @throws {InputError} when it is no JSON object, or its end tokens are no ids
 */
export async function readGeneration(files: ModelFiles): Promise<JsonObject | undefined> {
  if (!files.names.has(GENERATION_FILE)) return undefined;
  const generation = await readJson(files, GENERATION_FILE);
  checkGeneration(generation, files.label);
  return generation;
}

/** @throws {InputError} when the end tokens of a generation_config.json are no ids */
export function checkGeneration({ eos_token_id: eos }: JsonObject, label: string): void {
  const ids: readonly unknown[] = Array.isArray(eos) ? eos : [eos ?? 0];
  if (ids.every((id) => Number.isSafeInteger(id) && Number(id) >= 0)) return;
  throw new InputError(
    `Cannot read ${GENERATION_FILE} of ${label}: eos_token_id must be a token id or a list of them: current value is ${
      JSON.stringify(eos)
    }`,
  );
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
