/** What a set of tensors is, by content: for the keys of whatever is computed from them. */
import { createHash } from "node:crypto";
import type { TensorInfo } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { WeightFile } from "./model_files.ts";
import { sameBytes, type Span } from "./same_bytes.ts";

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

/**
 * Whether two tensors have one type, one shape and the same bytes.
 *
 * @param options `span`: where a tensor's bytes lie; `local`: whether files are here, and so compared whole
 * @throws {InputError} when a name is unknown
 */
export async function sameTensors<T extends Placed>(
  label: string,
  tensors: ReadonlyMap<string, T>,
  names: readonly [string, string],
  { span, local }: { readonly span: (tensor: T) => Promise<Span>; readonly local: boolean },
): Promise<boolean> {
  const [a, b] = names.map((name) => placed(label, tensors, name));
  const kind = ({ info: { dtype, shape } }: Placed) => JSON.stringify([dtype, shape]);
  return kind(a) === kind(b) && await sameBytes(await span(a), await span(b), { sampled: !local });
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
