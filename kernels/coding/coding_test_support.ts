/** Layers of codes as a quantizer leaves them: Gaussian weights, each rounded to the nearest point of its state's quantizer. */
import { pointOf, SIZE_STEPS, type States, STEP_PARTS, stepOf, trellisOf } from "../trellis/ops.ts";
import type { LayerCodes } from "./layer_codes.ts";

/** What a layer is like. */
export interface RandomCodes {
  readonly rows: number;
  readonly cols: number;
  readonly states: States;
  readonly strip: number;
  /** Root mean square of the weights, in steps. */
  readonly size: number;
  /** Standard deviation of the logarithms of rows' and columns' sizes and of steps, in octaves. */
  readonly spread?: number;
  /** Parts of an octave that steps are rounded to; a divisor of `STEP_PARTS`. */
  readonly stepParts?: number;
  readonly seed: number;
}

/** A layer; the same for the same seed. */
export function randomCodes(shape: RandomCodes): LayerCodes {
  const { rows, cols, states, strip, size, spread = 0.3, stepParts = STEP_PARTS, seed } = shape;
  const normal = normals(seed), octaves = (length: number) => Float64Array.from({ length }, () => spread * normal());
  const rowOctaves = octaves(rows), columnOctaves = octaves(cols), unit = STEP_PARTS / stepParts;
  const steps = Int16Array.from(
    octaves(cols),
    (octave) => unit * Math.round(STEP_PARTS * (octave - Math.log2(size)) / unit),
  );
  const { next, quantizers } = trellisOf(states), codes = new Int16Array(rows * cols);
  for (let j = 0; j < cols; j++) {
    let state = 0;
    for (let row = 0, at = j; row < rows; row++, at += cols) {
      if (row % strip === 0) state = 0;
      const x = normal() * 2 ** (rowOctaves[row] + columnOctaves[j]) / stepOf(steps[j]);
      codes[at] = nearest(states, quantizers[state], x);
      state = next[2 * state + (codes[at] & 1)];
    }
  }
  return {
    ...{ rows, cols, states, strip, codes, steps },
    rowSizes: Int8Array.from(rowOctaves, (octave) => Math.round(SIZE_STEPS * octave)),
    columnSizes: Int8Array.from(
      columnOctaves,
      (octave, j) => Math.round(SIZE_STEPS * (octave - steps[j] / STEP_PARTS)),
    ),
  };
}

function nearest(states: States, quantizer: number, x: number): number {
  const guess = Math.round(states === 1 ? x : x / 2), tried = [guess - 1, guess, guess + 1];
  const far = (code: number) => Math.abs(x - pointOf(states, quantizer, code));
  return tried.reduce((best, code) => far(code) < far(best) ? code : best);
}

/** Standard normal numbers (Box & Muller, 1958) from mulberry32. */
export function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
