/** Reads a model's tensors from a checkpoint by their canonical names, whose start `model.` some checkpoints leave out. */
import type { Checkpoint } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";

/** Shapes of tensors by canonical name. */
export type TensorShapes = ReadonlyMap<string, readonly number[]>;

/**
 * The name under which a checkpoint holds a tensor.
 *
 * @param name canonical name
 * @throws {InputError} the checkpoint has it under no known name
 */
export function resolveTensor(checkpoint: Pick<Checkpoint, "tensors" | "label">, name: string): string {
  for (const candidate of [name, name.replace(/^model\./, "")]) {
    if (checkpoint.tensors.has(candidate)) return candidate;
  }
  throw new InputError(`Cannot read tensor "${name}" as checkpoint "${checkpoint.label}" does not hold it`);
}

/**
 * Checks a tensor's shape, from its header alone.
 *
 * @param name as the checkpoint has it
 * @throws {InputError} another shape
 */
export function requireShape(
  { tensors, label }: Pick<Checkpoint, "tensors" | "label">,
  name: string,
  shape: readonly number[],
): void {
  const found = tensors.get(name)?.shape ?? [];
  if (found.length === shape.length && found.every((size, i) => size === shape[i])) return;
  throw new InputError(
    `Cannot read tensor "${name}" of "${label}" as its shape must be [${shape}]: current value is [${found}]; ` +
      "give the config.json that belongs to these weights",
  );
}

/**
 * Reads tensors by canonical name, after checking their shapes, so that no wrong file leads to wrong numbers.
 *
 * @param shapes what is wanted, e.g. `blockShapes(spec, 0)`
 * @returns float32 values by canonical name
 * @throws {InputError} missing tensor or another shape than the config says; what `Checkpoint.read` throws
 */
export async function readTensors(
  checkpoint: Pick<Checkpoint, "tensors" | "label" | "read">,
  shapes: TensorShapes,
): Promise<Record<string, Float32Array>> {
  const names = [...shapes].map(([name, shape]) => {
    const resolved = resolveTensor(checkpoint, name);
    requireShape(checkpoint, resolved, shape);
    return [name, resolved];
  });
  const weights: Record<string, Float32Array> = {};
  for (const [name, resolved] of names) weights[name] = await checkpoint.read(resolved);
  return weights;
}
