/** Opens a model of any family and format. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { type ModelSource, openCheckpoint, type OpenCheckpointOptions } from "../checkpoints/open.ts";
import type { Family } from "./families/family.ts";
import * as families from "./families/mod.ts";

/**
 * How a model is opened; as for `openCheckpoint`, which needs to be told what GGUF files hold.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel, type OpenModelOptions } from "./open_model.ts";
 *
 * const options: OpenModelOptions = { purpose: "plan" };
 * const checkpoint = await openModel({ path: "configs/models/tiny-llama" }, options);
 * assert.equal(checkpoint.config.model_type, "llama");
 * checkpoint.close();
 * ```
 */
export type OpenModelOptions = Omit<OpenCheckpointOptions, "gguf">;

/**
 * Opens a checkpoint: a folder with safetensors or PyTorch files, a GGUF file, or a model of the hub.
 * Of weights that are here, only headers are read; a model of the hub is downloaded first, unless `purpose` is `plan`.
 *
 * @param source the recipe's `model`, its paths absolute
 * @throws {InputError} when the model is missing, truncated, malformed or not of a kind that can be read
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel } from "./open_model.ts";
 *
 * const checkpoint = await openModel({ path: "configs/models/tiny-llama" });
 * assert.equal((await checkpoint.read("model.norm.weight")).length, 256);
 * checkpoint.close();
 * ```
 */
export function openModel(source: ModelSource, options: OpenModelOptions = {}): Promise<Checkpoint> {
  const known: readonly Family[] = Object.values(families);
  return openCheckpoint(source, { ...options, gguf: known.flatMap(({ gguf }) => gguf ?? []) });
}
