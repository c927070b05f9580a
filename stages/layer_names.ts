/** Layers as recipes name them. */

/**
 * Whether a layer's name ends in some of its words.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { endsIn } from "./layer_names.ts";
 *
 * const name = "model.layers.3.mlp.down_proj";
 * assert.deepEqual(["down_proj", "mlp.down_proj", "own_proj", name].map((end) => endsIn(name, end)), [true, true, false, true]);
 * ```
 */
export function endsIn(name: string, end: string): boolean {
  return `.${name}`.endsWith(`.${end}`);
}
