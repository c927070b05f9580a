/** Llama 3's scaling of rotary frequencies as llama.cpp takes it: a tensor of what each is divided by. */
import type { ModelSpec } from "../models/spec.ts";

/**
 * What each rotary frequency is divided by.
 *
 * Source: the reference implementation of Llama 3.1 (`apply_scaling`).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const scaling = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };
 * const factors = ropeFactors({ headDim: 128, ropeTheta: 5e5, ropeScaling: { type: "llama3", ...scaling } });
 * assert.deepEqual([factors?.length, factors?.[0], factors?.[63]], [64, 1, 8]);
 * ```
 * @returns [headDim / 2]; undefined where there is no such scaling
 */
export function ropeFactors(
  { headDim, ropeTheta, ropeScaling: scaling }: Pick<ModelSpec, "headDim" | "ropeTheta" | "ropeScaling">,
): Float32Array | undefined {
  if (scaling.type !== "llama3") return undefined;
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: length } = scaling;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const turns = length / (2 * Math.PI * ropeTheta ** (2 * i / headDim));
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
