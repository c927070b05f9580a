/** Types of the tensors of safetensors and PyTorch files whose values are weights. */
import type { TensorInfo } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";

/** Others hold someone else's quantized codes. */
const FLOATS = new Set(["F32", "F16", "BF16", "F64"]);

/**
 * Checks that a tensor's values are weights, from its header alone.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const codes = { name: "q", dtype: "F8_E4M3", shape: [2], bytes: 2 };
 * assert.throws(() => requireFloats(codes, "model.safetensors"), /current dtype is F8_E4M3/);
 * ```
 * @param file for the message
 * @throws {InputError} another type
 */
export function requireFloats({ name, dtype }: TensorInfo, file: string): void {
  if (FLOATS.has(dtype)) return;
  throw new InputError(
    `Cannot use tensor "${name}" of ${file}: weights must be F32, F16, BF16 or F64: current dtype is ${dtype}; ` +
      "give the original model, not one that is quantized already",
  );
}
