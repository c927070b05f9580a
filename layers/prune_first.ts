/** Weights pruned before anything is quantized, where a method asks for it (`Method.prunesFirst`). */
import type { LayerJob } from "./job.ts";

/**
 * Sets weights to 0 that a layer's masks prune.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const weight = Float32Array.of(1, 2, 3, 4);
 * assert.deepEqual([...pruneWeights({ weight, ranks: Uint8Array.of(0, 1, 2, 3) }, 2)], [1, 2, 0, 0]);
 * assert.deepEqual([...weight], [0, 0, 3, 4]);
 * ```
 * @param job.weight changed in place
 * @param pruned ranks below it go
 * @returns what was taken away; 0 elsewhere
 */
export function pruneWeights(
  { weight, ranks }: { readonly weight: Float32Array; readonly ranks: Uint8Array },
  pruned: number,
): Float32Array {
  const taken = new Float32Array(weight.length);
  for (let i = 0; i < weight.length; i++) {
    if (ranks[i] >= pruned) continue;
    taken[i] = weight[i];
    weight[i] = 0;
  }
  return taken;
}

/**
 * The masks of a layer that is pruned first.
 *
 * @throws {RangeError} when there are none
 */
export function givenRanks({ name, ranks, settings: { method } }: LayerJob): Uint8Array {
  if (ranks) return ranks;
  throw new RangeError(
    `Cannot compress layer "${name}" as ${method} prunes it before anything else: stages.fine-search.mask_from must be original`,
  );
}
