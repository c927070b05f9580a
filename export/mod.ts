/** Models written for others to run: Hugging Face's safetensors, and GGUF. */
import { basename } from "node:path";
import { InputError } from "../files/input_error.ts";
import { exportGguf, GGUF_TYPES, ggufFile, type GgufType } from "./gguf.ts";
import type { Exportable, Exported, ExportOptions } from "./job.ts";
import { exportSafetensors, SAFETENSORS_TYPES, type SafetensorsType } from "./safetensors.ts";
import { folderOf, sameFolder } from "./staging.ts";
import { requireWhole } from "./whole.ts";

export { ggufFile };
export type { Exportable, Exported, ExportOptions };
export type { Closeness, ExportedFile } from "./job.ts";
export { SHARD_BYTES } from "./safetensors.ts";

/** Formats and their types. */
export const EXPORTS = { safetensors: SAFETENSORS_TYPES, gguf: GGUF_TYPES } as const;

/** A format and one of its types. */
export type ExportKind =
  | { readonly format: "safetensors"; readonly type: SafetensorsType }
  | { readonly format: "gguf"; readonly type: GgufType };

/**
 * Writes a model in another format: decoded, rounded to the type, read again, and compared with what was packed, tensor by tensor.
 *
 * Memory: a few times the largest tensor in float32. Files appear under their names when all of them are complete.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fitModel } from "../models/fit.ts";
 * import { openModel } from "../models/open_model.ts";
 * import { exportModel } from "./mod.ts";
 *
 * const to = await Deno.makeTempDir();
 * const fitted = await fitModel(await openModel({ path: "configs/models/tiny-llama" }));
 * const model = { ...fitted, name: "tiny-llama" };
 * const { files, closeness } = await exportModel(model, { format: "gguf", type: "F16" }, { to });
 * assert.deepEqual(files, ["tiny-llama-F16.gguf"]);
 * assert.equal(closeness.exact, closeness.tensors);
 * fitted.checkpoint.close();
 * await Deno.remove(to, { recursive: true });
 * ```
 * @param source path of the model, where it is known: none is written over itself
 * @throws {InputError} when the model is not whole, or cannot be said in that format and type
 * @throws {RangeError} when something is there that would be replaced
 */
export async function exportModel(
  model: Exportable,
  kind: ExportKind,
  options: ExportOptions,
  source?: string,
): Promise<Exported> {
  requireWhole(model);
  const inPlace = source !== undefined && await sameFolder(await folderOf(source), options.to);
  if (inPlace && (kind.format === "safetensors" || basename(source) === ggufFile(model, kind.type))) {
    throw new InputError(`Cannot export to ${options.to} as the model itself lies there: name another folder`);
  }
  if (kind.format === "gguf") return await exportGguf(model, kind.type, options);
  return await exportSafetensors(model, kind.type, options);
}
