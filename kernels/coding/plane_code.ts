/**
 * A plane of bits as a stream of symbols, entropy-coded by tables of its own, and back. What comes from a file is not trusted: it gives a
 * plane of the length that was asked for or a RangeError.
 *
 * Words: two of the view (`plane_view.ts`: unit and head, period and past, a byte each), the tables (`plane_tables.ts`), filled up to a whole
 * word with 0, and the stream (`rans.ts`) of one lane, or of four from 4096 symbols on, which take them in turn. Behind a symbol its number's
 * other bits follow as they are, from the lowest, at most 12 at a time.
 */
import { PRECISION } from "./tables.ts";
import { checkEnd, closeWriter, LANE_WORDS, LOWEST, openLanes, openWriter, putBits, putSymbol } from "./rans.ts";
import { type PlaneTable, readTables, writeTables } from "./plane_tables.ts";
import {
  alphabetOf,
  classesOf,
  classShift,
  isView,
  type PlaneView,
  putTail,
  readSymbols,
  symbolCount,
  tablesOf,
  tailBits,
  tailOf,
  writeSymbols,
} from "./plane_view.ts";

/** Lanes of a stream, each of which takes two words; and the symbols from which on there are so many, else one. */
const LANES = 4, MANY = 4096;
/** Bytes in front of the tables. */
const HEAD = 4;
/** Bits that are put or taken at once. */
const MOST_BITS = 12;

/** Bytes of a plane that any stream may claim. */
const FEW = 1 << 20;
/** Bytes of a longer plane for each of its stream. */
const MOST_PER_BYTE = 8;

/** Whether a stream bears out a plane of that length: before anything of such a length is made. */
export function bearsOut(coded: number, bytes: number): boolean {
  return bytes <= Math.max(FEW, MOST_PER_BYTE * coded);
}

/**
 * How often each symbol occurs in each table. Before the first period the past is that of symbol 0.
 *
 * @returns [tables, alphabet]
 */
export function countSymbols(symbols: Uint8Array, view: PlaneView): Uint32Array {
  const alphabet = alphabetOf(view), classes = classesOf(view), shift = classShift(view), { period } = view;
  const counts = new Uint32Array(tablesOf(view) * alphabet);
  for (let i = 0, turn = 0; i < symbols.length; i++) {
    const past = i < period ? 0 : symbols[i - period] >> shift;
    counts[(turn * classes + past) * alphabet + symbols[i]]++;
    if (++turn === period) turn = 0;
  }
  return counts;
}

/**
 * Codes a plane.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodePlane, encodePlane } from "./plane_code.ts";
 *
 * // Numbers of three bits, most of them 0.
 * const plane = Uint8Array.from({ length: 3000 }, (_, i) => i % 9 === 0 ? 0b10001001 : 0);
 * const words = encodePlane(plane, { unit: 3, head: 3, period: 1, past: 3 });
 * assert.ok(words.byteLength < 1500);
 * assert.deepEqual(decodePlane(words, plane.length), plane);
 * ```
 * @param bytes its bits, lowest first
 * @throws {RangeError} when they cannot be read in that way
 */
export function encodePlane(bytes: Uint8Array, view: PlaneView): Uint16Array {
  const { unit, head, period, past } = view;
  if (!isView(view) || unit > 8 && bytes.length % (unit / 8) !== 0) {
    throw new RangeError(`Cannot code a plane of ${bytes.length} bytes as ${JSON.stringify(view)}: it is no such view`);
  }
  const count = symbolCount(view, bytes.length), symbols = readSymbols(bytes, view);
  const alphabet = alphabetOf(view), classes = classesOf(view), shift = classShift(view), tail = tailBits(view);
  const written = writeTables(countSymbols(symbols, view), alphabet);
  const { tables } = readTables(written, { tables: tablesOf(view), alphabet }),
    lanes = lanesOf(count),
    writer = openWriter(lanes);
  for (let i = count - 1, turn = (count + period - 1) % period; i >= 0; i--) {
    const lane = i % lanes, symbol = symbols[i];
    if (tail > 0) {
      const value = tailOf(bytes, view, i);
      for (let done = Math.floor((tail - 1) / MOST_BITS) * MOST_BITS; done >= 0; done -= MOST_BITS) {
        const bits = Math.min(MOST_BITS, tail - done);
        putBits(writer, lane, value >>> done & 2 ** bits - 1, bits);
      }
    }
    const table = tables[turn * classes + (i < period ? 0 : symbols[i - period] >> shift)] as PlaneTable;
    putSymbol(writer, lane, table.starts[symbol], table.frequencies[symbol]);
    if (--turn < 0) turn = period - 1;
  }
  const stream = closeWriter(writer), begin = Math.ceil((HEAD + written.length) / 2);
  const words = new Uint16Array(begin + stream.length), front = new Uint8Array(words.buffer, 0, 2 * begin);
  front.set([unit, head, period, past]);
  front.set(written, HEAD);
  words.set(stream, begin);
  return words;
}

/**
 * Decodes a plane.
 *
 * @param words untrusted
 * @param length of the plane in bytes
 * @throws {RangeError} when they are not what `encodePlane` makes of a plane of that length, or too few to bear it out
 */
export function decodePlane(words: Uint16Array, length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(words.buffer, words.byteOffset, words.byteLength), [unit, head, period, past] = all;
  const view: PlaneView = { unit, head, period, past };
  if (words.length < HEAD / 2 || !isView(view) || unit > 8 && length % (unit / 8) !== 0) {
    throw new RangeError(`Cannot decode a plane of ${length} bytes: it begins with ${[unit, head, period, past]}`);
  }
  if (!bearsOut(all.length, length) || unit === 0 && length % 4 !== 0) {
    throw new RangeError(`Cannot decode a plane of ${length} bytes from ${all.length}: they cannot hold so many`);
  }
  const { tables, end } = readTables(all.subarray(HEAD), { tables: tablesOf(view), alphabet: alphabetOf(view) });
  if (end % 2 !== 0 && all[HEAD + end] !== 0) {
    throw new RangeError("Cannot decode a plane: what fills up its tables is not zero");
  }
  const stream = words.subarray(Math.ceil((HEAD + end) / 2)),
    lanes = openLanes(stream, lanesOf(symbolCount(view, length)));
  return tailBits(view) > 0
    ? decodeNumbers({ stream, lanes, view, tables }, length)
    : writeSymbols(decodeSymbols({ stream, lanes, view, tables }, length), view, length);
}

/** A power of two. */
function lanesOf(symbols: number): number {
  return symbols < MANY ? 1 : LANES;
}

interface Stream {
  readonly stream: Uint16Array;
  readonly lanes: Int32Array;
  readonly view: PlaneView;
  readonly tables: readonly (PlaneTable | undefined)[];
}

const FIELD = 2 ** PRECISION - 1;

function decodeSymbols({ stream, lanes, view, tables }: Stream, length: number): Uint8Array {
  const symbols = new Uint8Array(symbolCount(view, length)), { bases, places } = placesOf(tables), { period } = view;
  const classes = classesOf(view), shift = classShift(view), turns = lanes.length - 1;
  let at = LANE_WORDS * lanes.length;
  for (let i = 0, turn = 0; i < symbols.length; i++) {
    const base = bases[turn * classes + (i < period ? 0 : symbols[i - period] >> shift)];
    if (base < 0) throw withoutTable(i);
    let x = lanes[i & turns];
    const place = places[base + (x & FIELD)];
    x = Math.imul(place >>> PRECISION & FIELD, x >>> PRECISION) + (place & FIELD);
    if (x < LOWEST) x = x << 16 | stream[at++];
    lanes[i & turns] = x;
    symbols[i] = place >>> 24;
    if (++turn === period) turn = 0;
  }
  checkEnd(lanes, at, stream);
  return symbols;
}

/** The same with the bits that stand as they are. */
function decodeNumbers({ stream, lanes, view, tables }: Stream, length: number): Uint8Array<ArrayBuffer> {
  const symbols = new Uint8Array(symbolCount(view, length)), { bases, places } = placesOf(tables), { period } = view;
  const classes = classesOf(view), shift = classShift(view), tail = tailBits(view), turns = lanes.length - 1;
  const tails = new Uint32Array(symbols.length);
  let at = LANE_WORDS * lanes.length;
  for (let i = 0, turn = 0; i < symbols.length; i++) {
    const base = bases[turn * classes + (i < period ? 0 : symbols[i - period] >> shift)];
    if (base < 0) throw withoutTable(i);
    let x = lanes[i & turns];
    const place = places[base + (x & FIELD)];
    x = Math.imul(place >>> PRECISION & FIELD, x >>> PRECISION) + (place & FIELD);
    if (x < LOWEST) x = x << 16 | stream[at++];
    symbols[i] = place >>> 24;
    for (let done = 0; done < tail; done += MOST_BITS) {
      const bits = Math.min(MOST_BITS, tail - done);
      tails[i] |= (x & (1 << bits) - 1) << done;
      x >>>= bits;
      if (x < LOWEST) x = x << 16 | stream[at++];
    }
    lanes[i & turns] = x;
    if (++turn === period) turn = 0;
  }
  checkEnd(lanes, at, stream);
  const bytes = writeSymbols(symbols, view, length);
  for (let i = 0; i < tails.length; i++) putTail(bytes, view, i, tails[i]);
  return bytes;
}

/** What is looked up by place: a symbol (bits 24 to 31), its frequency (12 to 23), and how far the place is from its start. */
function placesOf(
  tables: readonly (PlaneTable | undefined)[],
): { readonly bases: Int32Array; readonly places: Int32Array } {
  const bases = new Int32Array(tables.length).fill(-1), met = tables.filter((table) => table !== undefined);
  const places = new Int32Array(met.length << PRECISION);
  let base = 0;
  tables.forEach((table, number) => {
    if (table === undefined) return;
    bases[number] = base;
    const { frequencies, starts } = table;
    for (let symbol = 0; symbol < frequencies.length; symbol++) {
      const frequency = frequencies[symbol], begin = base + starts[symbol];
      for (let offset = 0; offset < frequency; offset++) {
        places[begin + offset] = symbol << 24 | frequency << PRECISION | offset;
      }
    }
    base += 1 << PRECISION;
  });
  return { bases, places };
}

function withoutTable(index: number): RangeError {
  return new RangeError(`Cannot decode a plane: symbol ${index} has no table`);
}
