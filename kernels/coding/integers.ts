/**
 * A few whole numbers that cluster, such as the sizes of rows, as a stream of their own.
 *
 * Words: their middle; where not all are the middle, one with how they are spread (bits 0 to 6 a context, 7 to 9 which of `EXPONENTS`,
 * 10 to 13 the low bits that all have in common with the middle); then one lane.
 */
import { contextOf, CONTEXTS, SIZE_STEPS } from "../trellis/ops.ts";
import { checkEnd, closeWriter, LANE_WORDS, openLanes, openWriter, type Reader } from "./rans.ts";
import { codeBits, putCode, takeCode } from "./symbols.ts";
import { fillPlaces, makeTable, PRECISION, type Table } from "./tables.ts";

/** Exponents of their density, in 32nds: from heavy tails to a box. */
const EXPONENTS = [16, 24, 32, 40, 48, 64, 96, 127] as const;
/** Width of a Gaussian against its size, in 64ths of an octave. */
const WIDTH = 15;
/** Contexts around the one of the numbers' size that are tried. */
const NEAR = [-5, -4, -3, -2, -1, 0, 1, 2] as const;
/** Low bits in common that are looked for. */
const MOST_COMMON = 7;

/** Words in front of the lane. */
const HEAD = 2;

/**
 * Codes numbers.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeIntegers, encodeIntegers } from "./integers.ts";
 *
 * const values = Int16Array.from({ length: 500 }, (_, i) => -300 + 4 * Math.round(10 * Math.sin(i)));
 * const words = encodeIntegers(values);
 * assert.deepEqual(decodeIntegers(words, values.length), values);
 * assert.ok(16 * words.length < 5 * values.length);
 * assert.deepEqual(encodeIntegers(Int16Array.of(7, 7, 7)), Uint16Array.of(7));
 * ```
 * @param values at least one, −8192 to 8191
 */
export function encodeIntegers(values: ArrayLike<number>): Uint16Array {
  let unlike = 0, sum = 0;
  for (let i = 0; i < values.length; i++) {
    unlike |= values[i] ^ values[0];
    sum += values[i] - values[0];
  }
  const common = Math.min(MOST_COMMON, 31 - Math.clz32(unlike & -unlike)), unit = 2 ** common;
  if (unlike === 0) return Uint16Array.of(values[0]);
  const middle = values[0] + unit * Math.round(sum / values.length / unit), codes = new Int16Array(values.length);
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    codes[i] = (values[i] - middle) / unit;
    squares += codes[i] ** 2;
  }
  const { context, exponent, table } = bestSpread(codes, Math.sqrt(squares / values.length));
  const writer = openWriter(1);
  for (let i = values.length - 1; i >= 0; i--) putCode(writer, 0, table, codes[i]);
  return Uint16Array.of(middle, context | exponent << 7 | common << 10, ...closeWriter(writer));
}

/** The spread that costs least. */
function bestSpread(
  codes: Int16Array,
  size: number,
): { readonly context: number; readonly exponent: number; readonly table: Table } {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const around = contextOf(Math.round(SIZE_STEPS * Math.log2(size)), 0);
  let best = { context: 0, exponent: 0, table: tableOf(0, 0) }, least = Infinity;
  for (const near of NEAR) {
    const context = Math.max(0, Math.min(CONTEXTS - 1, around + near));
    for (let exponent = 0; exponent < EXPONENTS.length; exponent++) {
      const table = tableOf(context, exponent);
      let bits = 0;
      for (const [code, count] of counts) bits += count * codeBits(table, code);
      if (bits < least) [best, least] = [{ context, exponent, table }, bits];
    }
  }
  return best;
}

/**
 * Decodes numbers.
 *
 * @param words untrusted
 * @param count how many; it bounds what is allocated
 * @throws {RangeError} when they are not what `encodeIntegers` makes of so many
 */
export function decodeIntegers(words: Uint16Array, count: number): Int16Array {
  if (words.length === 0) throw new RangeError("Cannot decode numbers: there are no words");
  const values = new Int16Array(count), [first, head] = words, middle = first << 16 >> 16;
  if (words.length === 1) return values.fill(middle);
  const context = head & 127, common = head >>> 10;
  if (words.length < HEAD + LANE_WORDS || context >= CONTEXTS || common > MOST_COMMON) {
    throw new RangeError(`Cannot decode numbers: they begin with ${first}, ${head} in ${words.length} words`);
  }
  const table = tableOf(context, head >>> 7 & 7), places = new Int32Array(2 ** PRECISION);
  fillPlaces(places, table);
  const stream = words.subarray(HEAD), lanes = openLanes(stream, 1);
  const reader: Reader = { x: lanes[0], at: LANE_WORDS, words: stream };
  for (let i = 0; i < count && reader.at <= stream.length; i++) {
    const value = takeCode(reader, table, places) * 2 ** common + middle;
    if (Math.abs(value) > MOST) throw new RangeError(`Cannot decode numbers: number ${i} is ${value}`);
    values[i] = value;
  }
  checkEnd(lanes.fill(reader.x), reader.at, stream);
  return values;
}

/** Largest of them, up or down. */
const MOST = 2 ** 13;

function tableOf(context: number, exponent: number): Table {
  return makeTable({ states: 1, quantizer: 0, context, shapes: Int8Array.of(WIDTH, EXPONENTS[exponent], 0, 0, 0, 0) });
}
