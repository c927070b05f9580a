/** Opens a model from wherever a recipe says it is. */
import { stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { parseGgufShardFilename } from "@huggingface/gguf";
import { type HubAccess, resolveModel } from "../hub/mod.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { whyUnreadable } from "../files/byte_source.ts";
import { inMemoryHashes } from "../files/file_hashes.ts";
import { openGguf } from "./gguf.ts";
import type { GgufLayout } from "./gguf_layout.ts";
import { hubFiles } from "./hub_files.ts";
import { shown } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { isObject } from "../files/json.ts";
import {
  folderFiles,
  type ModelFiles,
  readGeneration,
  readJson,
  readTokenizer,
  type WeightFile,
} from "./model_files.ts";
import { locateWeights, openSharded } from "./sharded_checkpoint.ts";

/**
 * Where weights come from: the recipe's `model`, with absolute paths.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { type ModelSource, openCheckpoint } from "./open.ts";
 *
 * const source: ModelSource = { path: "configs/models/tiny-llama" };
 * const checkpoint = await openCheckpoint(source);
 * assert.equal(checkpoint.label, "tiny-llama");
 * checkpoint.close();
 * ```
 */
export type ModelSource =
  | { readonly path: string; readonly config?: string }
  | { readonly hub: string; readonly revision: string; readonly file?: string };

/** How a model is opened. `cache` is where downloads go; it is needed for models of the hub only. */
export interface OpenCheckpointOptions extends Partial<HubAccess> {
  /** Families whose GGUF files can be read; needed for GGUF only (`openModel` of models/ gives all it has). */
  readonly gguf?: readonly GgufLayout[];
  /** Opens a folder that holds a packed model, where such a one will do; a recipe needs the original, and refuses it. */
  readonly packed?: (folder: string) => Promise<Checkpoint>;
  /** `plan` downloads configs only and reads the headers of weights by range; default `run`. */
  readonly purpose?: "plan" | "run";
}

/** Files that a checkpoint's weights and its description are taken from. */
interface Place {
  readonly weights: ModelFiles;
  /** Where config.json and the tokenizer lie, if not beside the weights. */
  readonly described?: ModelFiles;
  readonly label: string;
  readonly local: boolean;
  readonly layouts: readonly GgufLayout[] | undefined;
  readonly warn?: (message: string) => void;
  /** Opens the folder as a packed model, where it may be one. */
  readonly packed?: () => Promise<Checkpoint>;
}

/**
 * Opens a checkpoint: a folder with safetensors or PyTorch files, a GGUF file, or a model of the hub.
 * Of weights that are here, only headers are read; a model of the hub is downloaded first, unless `purpose` is `plan`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const checkpoint = await openCheckpoint({ path: "configs/models/tiny-llama" });
 * assert.equal((await checkpoint.read("model.norm.weight")).length, 256);
 * checkpoint.close();
 * ```
 * @param source the recipe's `model`, its paths absolute
 * @throws {InputError} when the model is missing, truncated, malformed or not of a kind that can be read
 */
export async function openCheckpoint(source: ModelSource, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  return "path" in source ? await openPath(source, options) : await openHub(source, options);
}

async function openPath(
  source: Extract<ModelSource, { path: string }>,
  { hashes = inMemoryHashes(), gguf: layouts, packed, warn }: OpenCheckpointOptions,
): Promise<Checkpoint> {
  const path = resolve(source.path);
  const kind = await stat(path).catch(async (cause) => {
    const why = (await whyUnreadable(path, cause)).replace("no such file", "no such file or folder");
    throw new InputError(`Cannot open model ${path}: ${why}`, { cause });
  });
  const described = source.config === undefined ? undefined : await folderFiles(resolve(source.config), hashes);
  const label = basename(path);
  if (kind.isDirectory()) {
    const open = packed && { packed: () => packed(path) };
    return await openFolder({
      weights: await folderFiles(path, hashes),
      described,
      label,
      local: true,
      layouts,
      warn,
      ...open,
    });
  }
  if (!path.endsWith(".gguf")) {
    throw new InputError(
      `Cannot open model ${path}: a model must be a folder with safetensors or PyTorch files, or a .gguf file`,
    );
  }
  return await openGgufFile(
    { weights: await folderFiles(dirname(path), hashes), described, label, local: true, layouts },
    label,
  );
}

async function openHub(
  { hub, revision, file }: Extract<ModelSource, { hub: string }>,
  options: OpenCheckpointOptions,
): Promise<Checkpoint> {
  if (file !== undefined && !/^[^/]+\.gguf$/.test(file)) {
    throw new InputError(`Cannot open ${file} of ${hub}: a single file must be a .gguf at the top of the repository`);
  }
  const access = accessOf(hub, options);
  const repo = await resolveModel(hub, revision, access);
  const local = options.purpose !== "plan";
  const label = `${hub}@${repo.commit.slice(0, 8)}${file === undefined ? "" : ` ${file}`}`;
  const { gguf: layouts, warn } = options;
  const place = { weights: hubFiles(repo, label, access, local), label, local, layouts, warn };
  return file === undefined ? await openFolder(place) : await openGgufFile(place, file);
}

async function openFolder({ weights, described = weights, label, local, packed, warn }: Place): Promise<Checkpoint> {
  refuseAdapters(weights);
  const located = await locateWeights(weights, warn);
  const config = await readJson(described, "config.json");
  const { quantization_config: quantized } = config;
  if (isObject(quantized)) {
    if (quantized.quant_method === "pbs2p" && packed !== undefined) return await packed();
    throw new InputError(
      `Cannot open model ${label}: its weights are quantized already (quant_method: ${
        shown(quantized.quant_method)
      }); give the original model`,
    );
  }
  return await openSharded(weights, located, {
    label,
    config,
    tokenizer: await readTokenizer(described),
    generation: await readGeneration(described),
    local,
  });
}

/** An adapter beside the weights changes what they compute: transformers applies it without a word. */
function refuseAdapters({ names, label }: ModelFiles): void {
  const found = [...names].find((name) =>
    /^adapter(_config\.json|_model\.(safetensors|bin)|s\.safetensors)$/.test(name)
  );
  if (found === undefined) return;
  throw new InputError(
    `Cannot open model ${label}: an adapter lies in its folder (${found}); merge it into the weights first ` +
      "(PEFT: `merge_and_unload`) and give the merged model, or move the adapter elsewhere to use the weights without it",
  );
}

async function openGgufFile({ weights, described, label, local, layouts }: Place, name: string): Promise<Checkpoint> {
  if (layouts === undefined) {
    throw new RangeError(`Cannot open ${label} without the layouts of families: give \`gguf\``);
  }
  const beside = described === undefined ? {} : {
    config: described.names.has("config.json") ? await readJson(described, "config.json") : undefined,
    tokenizer: await readTokenizer(described),
    generation: await readGeneration(described),
  };
  const opened: WeightFile[] = [];
  try {
    for (const shard of shardsOf(name)) opened.push(await weights.open(shard));
  } catch (error) {
    for (const { source } of opened) source.close();
    throw error;
  }
  return await openGguf(opened, { label, local, layouts, ...beside });
}

/** All shards of a GGUF model, given any of them; the file itself when it is not sharded. */
function shardsOf(name: string): string[] {
  const shard = parseGgufShardFilename(name);
  if (shard === null) return [name];
  const part = (index: number) => `${shard.prefix}-${String(index).padStart(5, "0")}-of-${shard.total}.gguf`;
  return Array.from({ length: Number(shard.total) }, (_, index) => part(index + 1));
}

function accessOf(hub: string, { cache, ...rest }: OpenCheckpointOptions): HubAccess {
  if (cache === undefined) throw new RangeError(`Cannot open ${hub} without a folder for downloads: give \`cache\``);
  return { cache, ...rest };
}
