/**
 * What the coder of a trellis' codes knows of a code before it reads it: the size to expect, from its row's and its column's, and the
 * quantizer. And how a code is split into a symbol, of which there are statistics, and bits that are stored as they are.
 */

/** Sizes to expect that are told apart; a quarter of an octave each. */
export const CONTEXTS = 96;

/** The context of size 1. */
const ONE = 48;

/** Magnitudes of symbols: 0 to the one that stands for all larger ones. */
export const SYMBOLS = 64;
/** The symbol of a magnitude that is stored behind it. */
export const ESCAPE = SYMBOLS - 1;

/** Largest magnitude of a code. */
export const MAX_CODE = 16_383;

/** Parts of an octave that sizes of rows and columns are stored in. */
export const SIZE_STEPS = 8;

/**
 * The context of a code: quarter octaves of the root mean square that it is expected to have, in steps.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf, CONTEXTS } from "./contexts.ts";
 *
 * assert.deepEqual([contextOf(0, 0), contextOf(3, 5), contextOf(-120, -120), contextOf(127, 127)], [48, 52, 0, CONTEXTS - 1]);
 * ```
 * @param row log2 of a row's size against the layer's, in eighths
 * @param column log2 of a column's size in its steps, in eighths
 */
export function contextOf(row: number, column: number): number {
  const context = ((row + column) >> 1) + ONE;
  return context < 0 ? 0 : context >= CONTEXTS ? CONTEXTS - 1 : context;
}

/** The size of a context's middle, in steps. */
export function sizeOf(context: number): number {
  return 2 ** ((context - ONE + 0.25) / 4);
}

/**
 * Low bits of a code that are stored as they are, so that symbols stay few where codes are large: the symbol is the code without them,
 * rounded down. Where a step is a sixteenth of the size or less, its place among its neighbours is next to chance.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf, lowBits } from "./contexts.ts";
 *
 * assert.deepEqual([0, 24, 32, 40].map((column) => lowBits(contextOf(0, column))), [0, 0, 1, 2]);
 * ```
 */
export function lowBits(context: number): number {
  return Math.max(0, ((context - ONE) >> 2) - 3);
}
