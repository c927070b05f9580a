/**
 * Attention that slides: each query sees the last keys only. Up to the window's length that is full attention, which is what is
 * computed here; longer texts are refused.
 */
import { InputError } from "../files/input_error.ts";
import type { ModelSpec } from "./spec.ts";

/**
 * Checks that attention over so many tokens is full attention.
 *
 * @param length tokens of a text's window, from the model's first position on
 * @throws {InputError} the model's attention slides over fewer
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { checkWindow } from "./sliding_window.ts";
 *
 * checkWindow({ family: "mistral", window: 4096 }, 4096);
 * assert.throws(() => checkWindow({ family: "mistral", window: 4096 }, 4097), /at most 4096 tokens/);
 * ```
 */
export function checkWindow({ family, window }: Pick<ModelSpec, "family" | "window">, length: number): void {
  if (window === null || length <= window) return;
  throw new InputError(
    `Cannot run the model as its attention slides (${family}): windows must have at most ${window} tokens, where sliding ` +
      `attention is full attention: current length is ${length}`,
  );
}
