/**
 * The trellises of dependent quantization: which of two quantizers rounds a weight depends on the codes before it in its column.
 *
 * Trellis-coded quantization (Marcellin & Fischer, IEEE Trans. Commun. 38(1), 1990) in the form of VVC and ISO/IEC 15938-17: quantizer 0
 * has the points 2k, quantizer 1 the points sign(k)·(2|k| − 1) and 0. A state chooses the quantizer, the parity of k the next state. With
 * one state there is one quantizer, whose points are the integers.
 */

/** States of a trellis; 1 is none. */
export type States = 1 | 4 | 8;

/** All that there are. */
export const STATES: readonly States[] = [1, 4, 8];

/**
 * A trellis.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { trellisOf } from "./states.ts";
 *
 * const { next, quantizers } = trellisOf(8);
 * assert.deepEqual([next[2 * 1], next[2 * 1 + 1], quantizers[1]], [5, 7, 1]);
 * ```
 */
export interface Trellis {
  readonly states: States;
  /** [states, 2]: the state after an even and an odd code. */
  readonly next: Uint8Array;
  /** [states]: 0 or 1. */
  readonly quantizers: Uint8Array;
  /** How many quantizers there are. */
  readonly count: 1 | 2;
}

const TRELLISES: Readonly<Record<States, Trellis>> = {
  1: { states: 1, next: Uint8Array.of(0, 0), quantizers: Uint8Array.of(0), count: 1 },
  4: { states: 4, next: Uint8Array.of(0, 2, 2, 0, 1, 3, 3, 1), quantizers: Uint8Array.of(0, 0, 1, 1), count: 2 },
  8: {
    states: 8,
    next: Uint8Array.of(0, 2, 5, 7, 1, 3, 6, 4, 2, 0, 4, 6, 3, 1, 7, 5),
    quantizers: Uint8Array.of(0, 1, 0, 1, 0, 1, 0, 1),
    count: 2,
  },
};

/** The trellis of so many states; a column starts in state 0. */
export function trellisOf(states: States): Trellis {
  return TRELLISES[states];
}

/**
 * The point that a code stands for, in steps.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { pointOf } from "./states.ts";
 *
 * assert.deepEqual([-2, 0, 1].map((k) => pointOf(8, 0, k)), [-4, 0, 2]);
 * assert.deepEqual([-2, 0, 1].map((k) => pointOf(8, 1, k)), [-3, 0, 1]);
 * assert.deepEqual([-2, 0, 1].map((k) => pointOf(1, 0, k)), [-2, 0, 1]);
 * ```
 */
export function pointOf(states: States, quantizer: number, code: number): number {
  if (states === 1 || code === 0) return code;
  return quantizer === 0 ? 2 * code : 2 * code - Math.sign(code);
}
