/** What was written, read again and held against what was packed. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import type { Closeness, ExportOptions } from "./job.ts";

/** What a tensor must read as. */
export type Expected = (name: string, values: Float32Array) => Float32Array;

/**
 * Reads every tensor from both, and compares all values.
 *
 * @param original as packed
 * @param written as written, opened as any model is
 * @param expected what the type that was written makes of a tensor's values
 * @throws {Error} naming the first tensor and value that is not as it must be
 */
export async function compareTensors(
  original: Checkpoint,
  written: Checkpoint,
  { expected, progress, signal }: Pick<ExportOptions, "progress" | "signal"> & { readonly expected: Expected },
): Promise<Closeness> {
  const names = [...original.tensors.keys()], missing = names.find((name) => !written.tensors.has(name));
  if (missing !== undefined || written.tensors.size !== names.length) {
    throw new Error(
      `Cannot trust what was written: it has ${written.tensors.size} tensors in place of ${names.length}` +
        (missing === undefined ? "" : `, and no "${missing}"`),
    );
  }
  let exact = 0, worst = { name: "", error: 0 };
  for (const [index, name] of names.entries()) {
    signal?.throwIfAborted();
    const values = await original.read(name), read = await written.read(name), wanted = expected(name, values);
    const wrong = read.length === wanted.length ? read.findIndex((value, i) => value !== wanted[i]) : read.length;
    if (wrong >= 0) {
      throw new Error(
        `Cannot trust what was written: value ${wrong} of "${name}" reads as ${read[wrong]} and must be ${
          wanted[wrong]
        }`,
      );
    }
    const error = relativeError(values, read);
    if (error === 0) exact++;
    else if (error > worst.error) worst = { name, error };
    progress?.("compared", index + 1, names.length);
  }
  return { tensors: names.length, exact, worst };
}

/** ‖a − b‖ / ‖a‖. */
function relativeError(a: Float32Array, b: Float32Array): number {
  let differences = 0, squares = 0;
  for (let i = 0; i < a.length; i++) {
    differences += (a[i] - b[i]) ** 2;
    squares += a[i] ** 2;
  }
  return differences === 0 ? 0 : Math.sqrt(differences / squares);
}
