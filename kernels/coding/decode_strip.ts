/** The inner loop of decoding: one strip of rows, four columns at a time. */
import { contextOf, CONTEXTS, lowBits, MAX_CODE, type States, trellisOf } from "../trellis/ops.ts";
import { type Book, MIDDLE, SUMS } from "./book.ts";
import { checkEnd, LANE_WORDS, LOWEST, openLanes, type Reader } from "./rans.ts";
import { takeCode } from "./symbols.ts";
import { OUTSIDE, PRECISION } from "./tables.ts";

/** Lanes of a strip: column j is in lane j mod 4. The loop below is written out for them. */
export const LANES = 4;

/** Zeros behind a strip's words, so that the loop may look at a next one that there is not. */
const PADDING = 8;

/** What a strip is decoded with. */
export interface StripTables {
  readonly states: States;
  readonly cols: number;
  readonly rowSizes: Int8Array;
  readonly columnSizes: Int8Array;
  readonly book: Book;
  /** [tables, 2^PRECISION]: what is looked up. */
  readonly places: Int32Array;
  /** [quantizers, SUMS]: where a table's places begin. */
  readonly bases: Int32Array;
}

/** Rows of a strip, and what its codes become. */
export interface StripRows {
  readonly from: number;
  readonly to: number;
  /** Codes as they are, or the points that they stand for. */
  readonly as: "codes" | "points";
  /** Called with each row: its number, and its codes or points [cols], which are overwritten then. */
  take(row: number, values: Int16Array): void;
}

/**
 * Decodes one strip.
 *
 * @param stream its words, untrusted
 * @throws {RangeError} when it is not what such a layer's strip is coded as
 */
export function decodeRows(tables: StripTables, stream: Uint16Array, { from, to, as, take }: StripRows): void {
  const { states, cols, rowSizes, columnSizes, places, bases } = tables, { next, quantizers } = trellisOf(states);
  const lanes = openLanes(stream, LANES), words = new Uint16Array(stream.length + PADDING);
  words.set(stream);
  const points = as === "points" && states > 1, factor = points ? 2 : 1;
  const offsets = Int32Array.from(quantizers, (quantizer) => quantizer * SUMS);
  // What is taken from twice the code where it is not 0: 1 with quantizer 1.
  const minus = Int32Array.from(quantizers, (quantizer) => points ? -quantizer : 0);
  const state = new Uint8Array(cols), values = new Int16Array(cols), hottest = hottestOf(columnSizes);
  const lows = Uint8Array.from({ length: SUMS }, (_, sum) => lowBits(contextOf(sum - MIDDLE, 0)));
  const reader: Reader = { x: 0, at: 0, words }, FIELD = 2 ** PRECISION - 1, whole = cols - cols % LANES;
  // MAX_CODE is a power of 2 less 1: it bounds numbers where it bounds their bits together.
  let at = LANE_WORDS * LANES, largest = 0, [x0, x1, x2, x3] = lanes;

  /** Columns of which one has an outer symbol, or which are fewer than lanes. */
  const takeSlowly = (row: number, begin: number, end: number) => {
    const middle = MIDDLE + rowSizes[row];
    reader.at = at;
    for (let j = begin; j < end; j++) {
      const base = bases[offsets[state[j]] + middle + columnSizes[j]];
      reader.x = lanes[j % LANES];
      const code = takeCode(reader, tables.book.tables[base >> PRECISION], places, base);
      largest |= Math.abs(code);
      lanes[j % LANES] = reader.x;
      values[j] = factor * code - (minus[state[j]] & Math.sign(code));
      state[j] = next[2 * state[j] + (code & 1)];
    }
    at = reader.at;
  };

  for (let row = from; row < to; row++) {
    const middle = MIDDLE + rowSizes[row], hot = FIRST_HOT - rowSizes[row];
    for (let j = 0; j < whole; j += LANES) {
      const s0 = state[j], s1 = state[j + 1], s2 = state[j + 2], s3 = state[j + 3];
      const p0 = places[bases[offsets[s0] + middle + columnSizes[j]] + (x0 & FIELD)];
      const p1 = places[bases[offsets[s1] + middle + columnSizes[j + 1]] + (x1 & FIELD)];
      const p2 = places[bases[offsets[s2] + middle + columnSizes[j + 2]] + (x2 & FIELD)];
      const p3 = places[bases[offsets[s3] + middle + columnSizes[j + 3]] + (x3 & FIELD)];
      let k0 = p0 >> 24, k1 = p1 >> 24, k2 = p2 >> 24, k3 = p3 >> 24;
      if (k0 === OUTSIDE || k1 === OUTSIDE || k2 === OUTSIDE || k3 === OUTSIDE) {
        lanes[0] = x0;
        lanes[1] = x1;
        lanes[2] = x2;
        lanes[3] = x3;
        takeSlowly(row, j, j + LANES);
        x0 = lanes[0];
        x1 = lanes[1];
        x2 = lanes[2];
        x3 = lanes[3];
        continue;
      }
      x0 = Math.imul(p0 >>> PRECISION & FIELD, x0 >>> PRECISION) + (p0 & FIELD) | 0;
      x1 = Math.imul(p1 >>> PRECISION & FIELD, x1 >>> PRECISION) + (p1 & FIELD) | 0;
      x2 = Math.imul(p2 >>> PRECISION & FIELD, x2 >>> PRECISION) + (p2 & FIELD) | 0;
      x3 = Math.imul(p3 >>> PRECISION & FIELD, x3 >>> PRECISION) + (p3 & FIELD) | 0;
      // Whether a lane takes a word is up to chance: a branch would be foretold wrongly too often. The mask is −1 where it does.
      let low = 0;
      if (hottest[j / LANES] < hot) {
        low = (x0 - LOWEST) >> 31;
        x0 = x0 << (low & 16) | words[at] & low;
        at -= low;
        low = (x1 - LOWEST) >> 31;
        x1 = x1 << (low & 16) | words[at] & low;
        at -= low;
        low = (x2 - LOWEST) >> 31;
        x2 = x2 << (low & 16) | words[at] & low;
        at -= low;
        low = (x3 - LOWEST) >> 31;
        x3 = x3 << (low & 16) | words[at] & low;
        at -= low;
      } else {
        low = (x0 - LOWEST) >> 31;
        x0 = x0 << (low & 16) | words[at] & low;
        at -= low;
        low = lows[middle + columnSizes[j]];
        k0 = (k0 << low) + (x0 & (1 << low) - 1);
        x0 >>>= low;
        low = (x0 - LOWEST) >> 31;
        x0 = x0 << (low & 16) | words[at] & low;
        at -= low;
        low = (x1 - LOWEST) >> 31;
        x1 = x1 << (low & 16) | words[at] & low;
        at -= low;
        low = lows[middle + columnSizes[j + 1]];
        k1 = (k1 << low) + (x1 & (1 << low) - 1);
        x1 >>>= low;
        low = (x1 - LOWEST) >> 31;
        x1 = x1 << (low & 16) | words[at] & low;
        at -= low;
        low = (x2 - LOWEST) >> 31;
        x2 = x2 << (low & 16) | words[at] & low;
        at -= low;
        low = lows[middle + columnSizes[j + 2]];
        k2 = (k2 << low) + (x2 & (1 << low) - 1);
        x2 >>>= low;
        low = (x2 - LOWEST) >> 31;
        x2 = x2 << (low & 16) | words[at] & low;
        at -= low;
        low = (x3 - LOWEST) >> 31;
        x3 = x3 << (low & 16) | words[at] & low;
        at -= low;
        low = lows[middle + columnSizes[j + 3]];
        k3 = (k3 << low) + (x3 & (1 << low) - 1);
        x3 >>>= low;
        low = (x3 - LOWEST) >> 31;
        x3 = x3 << (low & 16) | words[at] & low;
        at -= low;
        largest |= Math.abs(k0) | Math.abs(k1) | Math.abs(k2) | Math.abs(k3);
      }
      state[j] = next[2 * s0 + (k0 & 1)];
      state[j + 1] = next[2 * s1 + (k1 & 1)];
      state[j + 2] = next[2 * s2 + (k2 & 1)];
      state[j + 3] = next[2 * s3 + (k3 & 1)];
      // (k >> 31) | (−k >>> 31) is the sign.
      values[j] = Math.imul(factor, k0) - (((k0 >> 31) | (-k0 >>> 31)) & minus[s0]);
      values[j + 1] = Math.imul(factor, k1) - (((k1 >> 31) | (-k1 >>> 31)) & minus[s1]);
      values[j + 2] = Math.imul(factor, k2) - (((k2 >> 31) | (-k2 >>> 31)) & minus[s2]);
      values[j + 3] = Math.imul(factor, k3) - (((k3 >> 31) | (-k3 >>> 31)) & minus[s3]);
    }
    if (whole < cols) {
      lanes[0] = x0;
      lanes[1] = x1;
      lanes[2] = x2;
      lanes[3] = x3;
      takeSlowly(row, whole, cols);
      x0 = lanes[0];
      x1 = lanes[1];
      x2 = lanes[2];
      x3 = lanes[3];
    }
    if (at > stream.length) throw new RangeError(`Cannot decode a strip: it ends in row ${row}`);
    if (largest > MAX_CODE) throw new RangeError(`Cannot decode codes: one of row ${row} exceeds ${MAX_CODE}`);
    take(row, values);
  }
  checkEnd(Int32Array.of(x0, x1, x2, x3), at, stream);
}

/** The least sum of two sizes whose codes have low bits. */
const FIRST_HOT = firstHot();

function firstHot(): number {
  let sum = 0;
  while (lowBits(contextOf(sum, 0)) === 0 && sum < 2 * CONTEXTS) sum++;
  return sum;
}

/** The largest size of each four columns. */
function hottestOf(columnSizes: Int8Array): Int8Array {
  const hottest = new Int8Array(Math.ceil(columnSizes.length / LANES)).fill(-128);
  columnSizes.forEach((size, j) => hottest[j / LANES | 0] = Math.max(hottest[j / LANES | 0], size));
  return hottest;
}
