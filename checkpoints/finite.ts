/** Weights must be numbers. */
import { InputError } from "../files/input_error.ts";

/** All ones for NaN and the infinities, and for nothing else. */
const EXPONENT = 0x7f800000;

/**
 * Returns the values if none of them is NaN or infinite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.throws(() => assertFinite(new Float32Array([0, NaN]), "q", "model.safetensors"), /"q" of model.*value 1 is NaN; download/);
 * ```
 * @param values any length
 * @param tensor for the message
 * @param file for the message
 * @throws {InputError} naming the first bad index, the tensor and the file
 */
export function assertFinite<T extends Float32Array>(values: T, tensor: string, file: string): T {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i] & EXPONENT) !== EXPONENT) continue;
    throw new InputError(
      `Cannot use tensor "${tensor}" of ${file}: weights must be finite: value ${i} is ${values[i]}; ` +
        "download or copy the file again if it may be damaged, or give a checkpoint from before its training diverged",
    );
  }
  return values;
}
