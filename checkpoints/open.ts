/** Opens a model from wherever a recipe says it is. */
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Checkpoint } from "./checkpoint.ts";
import { type FileHashes, inMemoryHashes } from "./file_hashes.ts";
import { InputError } from "./input_error.ts";
import { folderFiles, readJson, readTokenizer } from "./model_files.ts";
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
  if (!kind.isDirectory()) throw new InputError(`Cannot open model ${path}: it must be a folder or a .gguf file`);
  const files = await folderFiles(path, hashes);
  const described = source.config === undefined ? files : await folderFiles(source.config, hashes);
  return await openSafetensors(files, {
    label: basename(path),
    config: await readJson(described, "config.json"),
    tokenizer: await readTokenizer(described),
    local: true,
  });
}
