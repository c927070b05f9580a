/** Where a layer stands in the model, read from its name. */

/** Block and kind of a layer. */
export interface LayerPlace {
  /** Index of the transformer block. */
  readonly block: number;
  /** Last part of the name: `q_proj`, `fc1`, …. */
  readonly kind: string;
}

/**
 * Reads block and kind from a layer's name.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(placeOf("model.layers.3.mlp.up_proj"), { block: 3, kind: "up_proj" });
 * assert.equal(placeOf("lm_head"), undefined);
 * ```
 */
export function placeOf(name: string): LayerPlace | undefined {
  const match = /\.(\d+)\.(?:.*\.)?([^.]+)$/.exec(name);
  return match === null ? undefined : { block: Number(match[1]), kind: match[2] };
}
