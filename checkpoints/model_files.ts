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
async function completed(files: Texts, config: JsonObject): Promise<JsonObject> {
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
export async function readGeneration(files: Texts): Promise<JsonObject | undefined> {
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
