import { clearMessage } from "./clear_text.ts";

/**
 * What is wrong lies in the input: a checkpoint, a text, a hub id. Not a defect of the program and not of the machine.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(new InputError("Cannot read model.safetensors: the file is empty").code, "INPUT");
 * ```
 */
export class InputError extends Error {
  override readonly name = "InputError";
  /** For exit codes. */
  readonly code = "INPUT";

  /** @param message one sentence; what it quotes of the input may be anything */
  constructor(message: string, options?: ErrorOptions) {
    super(clearMessage(message), options);
  }
}
