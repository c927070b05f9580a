/** How far layers moved towards their outputs in the original model, in words. */
import type { Metrics } from "./metrics.ts";

/**
 * The shares and dampings that layers were given, in a few parts.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sayPropagation } from "./propagation.ts";
 *
 * const layers = [[0.12, 1], [0.83, 0.1], [0.5, 1]].map(([share, damping]) => ({ name: "q_proj", share, damping }));
 * assert.deepEqual(sayPropagation({ mean: 0.4833, layers }), ["p 0.12 to 0.83", "mean 0.48", "damping 0.1 in 1", "1 in 2 of 3 layers"]);
 * ```
 */
export function sayPropagation({ mean, layers }: NonNullable<Metrics["propagation"]>): string[] {
  const shares = layers.map(({ share }) => share), dampings = new Map<number, number>();
  for (const { damping } of layers) dampings.set(damping, (dampings.get(damping) ?? 0) + 1);
  const sorted = [...dampings].sort(([a], [b]) => a - b);
  const range = [Math.min(...shares), Math.max(...shares)].map((share) => `${Number(share.toFixed(2))}`);
  return [
    `p ${range[0]} to ${range[1]}`,
    `mean ${Number(mean.toFixed(2))}`,
    ...sorted.map(([damping, count], i) =>
      `${i === 0 ? "damping " : ""}${damping} in ${count}${
        i === sorted.length - 1 ? ` of ${layers.length} layers` : ""
      }`
    ),
  ];
}
