/**
 * A coded layer: its streams, and what they take.
 *
 * A strip of rows is one stream of 16-bit words: four lanes of 32 bits that it begins with, low words first, then the words that they
 * take (`rans.ts`). Weights are in it row by row; column j is in lane j mod 4. The table of a weight is that of its quantizer, which its
 * column's trellis is in, and of its row's and column's size together (`book.ts`): shapes make all tables (`shapes.ts`), but for those of
 * contexts that they do not suit. What a table says of a place in 2^12 is a symbol; a code of which no table knows the symbol follows in
 * bits, as do low bits where sizes are large (`symbols.ts`).
 *
 * Sizes and steps are streams of their own (`integers.ts`); a column's size is what its step leaves of it.
 */
import type { CodedShape } from "./layer_codes.ts";
import type { Shapes } from "./shapes.ts";

/** A coded layer: its shape, and its streams. */
export interface CodedLayer extends CodedShape {
  /** The strips one after the other, in 16-bit words. */
  readonly codes: Uint16Array;
  /** [strips − 1]: where strips begin among the words, but the first. */
  readonly starts: Uint32Array;
  /** [quantizers, SHAPE_FIELDS]: what tables are made of. */
  readonly shapes: Shapes;
  /** Tables that are not made of shapes, as `explicit.ts` writes them. */
  readonly explicit: Uint8Array;
  readonly rowSizes: Uint16Array;
  /** What is left of columns' sizes where steps have said their part; see `predicted`. */
  readonly columnSizes: Uint16Array;
  readonly steps: Uint16Array;
}

/** Bits of a coded layer by what they are spent on. */
export interface CodedBits {
  readonly codes: number;
  /** Of shapes, of other tables, and of where strips begin. */
  readonly tables: number;
  readonly sizes: number;
  readonly steps: number;
  readonly total: number;
}

/**
 * What steps say of columns' sizes: columns are much alike before they are divided by their steps.
 *
 * @param step in 32nds of an octave
 * @returns in eighths
 */
export function predicted(step: number): number {
  return -(step >> 2);
}

/**
 * Bits of a coded layer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { bitsOf, type CodedBits } from "./coded_layer.ts";
 * import { encodeCodes } from "./encode.ts";
 *
 * const arrays = { codes: new Int16Array(6), rowSizes: new Int8Array(2), columnSizes: new Int8Array(3), steps: new Int16Array(3) };
 * const { sizes, steps, total }: CodedBits = bitsOf(encodeCodes({ rows: 2, cols: 3, states: 1, strip: 2, ...arrays }).coded);
 * // All rows are alike, all columns too: a word for each kind.
 * assert.deepEqual([sizes, steps], [32, 16]);
 * assert.ok(total < 300);
 * ```
 */
export function bitsOf({ codes, starts, shapes, explicit, rowSizes, columnSizes, steps }: CodedLayer): CodedBits {
  const bits = {
    codes: 8 * codes.byteLength,
    tables: 8 * (starts.byteLength + shapes.byteLength + explicit.byteLength),
    sizes: 8 * (rowSizes.byteLength + columnSizes.byteLength),
    steps: 8 * steps.byteLength,
  };
  return { ...bits, total: bits.codes + bits.tables + bits.sizes + bits.steps };
}
