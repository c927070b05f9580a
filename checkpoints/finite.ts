/** Weights must be numbers. */
import { InputError } from "./input_error.ts";

const LARGEST = 3.4028234663852886e38;

/**
 * Returns the values if none of them is NaN or infinite.
 *
 * @param values any length
 * @param tensor for the message
 * @param file for the message
 * @throws {InputError} naming the first bad index, the tensor and the file
 */
export function assertFinite<T extends Float32Array>(values: T, tensor: string, file: string): T {
  for (let i = 0; i < values.length; i++) {
    if (Math.abs(values[i]) <= LARGEST) continue;
    throw new InputError(
      `Cannot use tensor "${tensor}" of ${file}: weights must be finite: value ${i} is ${values[i]}`,
    );
  }
  return values;
}
