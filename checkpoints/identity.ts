/** What a set of tensors is, by content: for the keys of whatever is computed from them. */
import { createHash } from "node:crypto";
import type { TensorInfo } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { WeightFile } from "./model_files.ts";

/** A tensor and the file that holds it. */
export interface Placed {
  readonly info: TensorInfo;
  readonly file: WeightFile;
}

/**
 * Hash of the tensors' names, stored types and shapes and of the files that hold them; the order of the names does not
 * matter, paths and times do not enter.
 *
 * @returns hex sha256
 * @throws {InputError} when a name is unknown
 */
export async function identityOf(
  label: string,
  tensors: ReadonlyMap<string, Placed>,
  names: readonly string[],
): Promise<string> {
  const lines: string[] = [];
  for (const name of new Set(names)) {
    const { info: { dtype, shape }, file } = placed(label, tensors, name);
    lines.push(JSON.stringify([name, dtype, shape, await file.sha256()]));
  }
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}

/** The infos alone, for a checkpoint's `tensors`. */
export function infos(tensors: ReadonlyMap<string, Placed>): ReadonlyMap<string, TensorInfo> {
  return new Map([...tensors].map(([name, { info }]) => [name, info]));
}

/** The tensor of that name. @throws {InputError} when there is none */
export function placed<T>(label: string, tensors: ReadonlyMap<string, T>, name: string): T {
  const tensor = tensors.get(name);
  if (tensor === undefined) {
    throw new InputError(`Cannot read tensor "${name}" of ${label}: the checkpoint has no such tensor`);
  }
  return tensor;
}
