/** Opens a model from wherever a recipe says it is. */
import { stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { parseGgufShardFilename } from "@huggingface/gguf";
import type { Checkpoint } from "./checkpoint.ts";
import { type FileHashes, inMemoryHashes } from "./file_hashes.ts";
import { openGguf } from "./gguf.ts";
import { InputError } from "./input_error.ts";
import { folderFiles, isObject, type ModelFiles, readJson, readTokenizer, type WeightFile } from "./model_files.ts";
import { openPacked } from "./packed.ts";
import { openSafetensors } from "./safetensors_checkpoint.ts";

/** Where weights come from: the recipe's `model`, with absolute paths. */
export type ModelSource =
  | { readonly path: string; readonly config?: string }
  | { readonly hub: string; readonly revision: string; readonly file?: string };

/** How a model is opened. */
export interface OpenCheckpointOptions {
  /** Memo of file hashes; default: forgotten when the process ends. */
  readonly hashes?: FileHashes;
}

/**
 * Opens a checkpoint: a folder with safetensors, a GGUF file, a packed model, or a model of the hub.
 * Only headers and configs are read.
 *
 * @param source the recipe's `model`, its paths absolute
 * @throws {InputError} when the model is missing, truncated, malformed or not of a kind that can be read
 */
export async function openCheckpoint(source: ModelSource, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  const { hashes = inMemoryHashes() } = options;
  if (!("path" in source)) throw new InputError(`Cannot open ${source.hub}: the hub is not reachable`);
  const path = resolve(source.path);
  const kind = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === "ENOENT" ? "there is no such file or folder" : cause.message;
    throw new InputError(`Cannot open model ${path}: ${why}`, { cause });
  });
  const beside = source.config === undefined ? undefined : await folderFiles(resolve(source.config), hashes);
  const label = basename(path);
  if (kind.isDirectory()) {
    const files = await folderFiles(path, hashes);
    return await openFolder(path, files, beside ?? files);
  }
  if (!path.endsWith(".gguf")) {
    throw new InputError(`Cannot open model ${path}: a model must be a folder with safetensors, or a .gguf file`);
  }
  return await openGgufFile(await folderFiles(dirname(path), hashes), beside, label);
}

async function openFolder(path: string, files: ModelFiles, described: ModelFiles): Promise<Checkpoint> {
  const config = await readJson(described, "config.json");
  const { label } = files;
  const { quantization_config: quantized } = config;
  if (isObject(quantized)) {
    if (quantized.quant_method === "pbs2p") return await openPacked(path);
    throw new InputError(
      `Cannot open model ${path}: its weights are quantized already (${quantized.quant_method}); give the original model`,
    );
  }
  return await openSafetensors(files, { label, config, tokenizer: await readTokenizer(described), local: true });
}

async function openGgufFile(files: ModelFiles, beside: ModelFiles | undefined, name: string): Promise<Checkpoint> {
  const described = beside === undefined ? {} : {
    config: beside.names.has("config.json") ? await readJson(beside, "config.json") : undefined,
    tokenizer: await readTokenizer(beside),
  };
  const opened: WeightFile[] = [];
  try {
    for (const shard of shardsOf(name)) opened.push(await files.open(shard));
  } catch (error) {
    for (const { source } of opened) source.close();
    throw error;
  }
  return await openGguf(opened, { label: name, local: true, ...described });
}

/** All shards of a GGUF model, given any of them; the file itself when it is not sharded. */
function shardsOf(name: string): string[] {
  const shard = parseGgufShardFilename(name);
  if (shard === null) return [name];
  const part = (index: number) => `${shard.prefix}-${String(index).padStart(5, "0")}-of-${shard.total}.gguf`;
  return Array.from({ length: Number(shard.total) }, (_, index) => part(index + 1));
}
