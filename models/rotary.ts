/** Rotary positions: cosines and sines by position, with the scalings that LLaMA configs know. */
import type { ModelSpec } from "./spec.ts";

/** Tables of rotary angles, each rows × headDim / 2. */
export interface RotaryTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Cosines and sines for positions 0 to `length` − 1.
 *
 * Angles are formed in float32 from float32 frequencies, as Hugging Face's transformers does, so that long contexts agree.
 *
 * @param length number of positions; under `dynamic` scaling beyond the original maximum it changes the frequencies
 * @returns two tables [length, headDim / 2]
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { rotaryTables } from "./rotary.ts";
 *
 * const spec = { headDim: 4, ropeTheta: 10_000, ropeScaling: { type: "default" } } as const;
 * assert.deepEqual([...rotaryTables(spec, 2).cos], [1, 1, Math.fround(Math.cos(1)), Math.fround(Math.cos(0.01))]);
 * ```
 */
export function rotaryTables(
  spec: Pick<ModelSpec, "headDim" | "ropeTheta" | "ropeScaling">,
  length: number,
): RotaryTables {
  const frequencies = rotaryFrequencies(spec, length);
  const half = frequencies.length;
  const cos = new Float32Array(length * half);
  const sin = new Float32Array(length * half);
  for (let position = 0; position < length; position++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * frequencies[i]);
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/**
 * Radians per position of each pair of dimensions.
 *
 * Sources: linear: Chen et al. 2306.15595; dynamic: NTK-aware base as in transformers; llama3: Llama 3.1's release.
 *
 * @param length number of positions that will be used; only `dynamic` looks at it
 * @returns headDim / 2 frequencies
 */
function rotaryFrequencies(
  { headDim, ropeTheta, ropeScaling: scaling }: Pick<ModelSpec, "headDim" | "ropeTheta" | "ropeScaling">,
  length: number,
): Float32Array {
  const plain = (theta: number) =>
    Float32Array.from({ length: headDim / 2 }, (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / headDim)));
  switch (scaling.type) {
    case "default":
      return plain(ropeTheta);
    case "linear":
      return plain(ropeTheta).map((frequency) => frequency / scaling.factor);
    case "dynamic": {
      const { factor, originalMaxPositions } = scaling;
      const stretch = (factor * Math.max(length, originalMaxPositions)) / originalMaxPositions - (factor - 1);
      return plain(ropeTheta * stretch ** (headDim / (headDim - 2)));
    }
    case "llama3": {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling;
      return plain(ropeTheta).map((frequency) => {
        const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
        if (turns > high) return frequency;
        if (turns < low) return frequency / factor;
        const smooth = (turns - low) / (high - low);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
    default:
      return scaling satisfies never;
  }
}
