/** One code by a table: its symbol, what is behind the symbol of all others, and its low bits. */
import { putBits, putGamma, putSymbol, type Reader, refill, takeBits, takeGamma, type Writer } from "./rans.ts";
import { OTHERS, OUTSIDE, PRECISION, type Table, ZERO } from "./tables.ts";

/** Puts a code in front of what a lane holds. */
export function putCode(writer: Writer, lane: number, { frequencies, starts, last, low }: Table, code: number): void {
  const symbol = code >> low, magnitude = Math.abs(symbol);
  if (low > 0) putBits(writer, lane, code - symbol * 2 ** low, low);
  if (magnitude <= last) return putSymbol(writer, lane, starts[ZERO + symbol], frequencies[ZERO + symbol]);
  putGamma(writer, lane, magnitude - last);
  putBits(writer, lane, symbol < 0 ? 1 : 0, 1);
  putSymbol(writer, lane, starts[OTHERS], frequencies[OTHERS]);
}

/** What a code costs, but for what its lane rounds. @returns bits */
export function codeBits({ frequencies, last, low }: Table, code: number): number {
  const symbol = code >> low, magnitude = Math.abs(symbol), inside = magnitude <= last;
  const bits = PRECISION - Math.log2(frequencies[inside ? ZERO + symbol : OTHERS]) + low;
  return inside ? bits : bits + 2 * (31 - Math.clz32(magnitude - last)) + 2;
}

/**
 * Takes the code that `putCode` put.
 *
 * @param places as `fillPlaces` fills them; the table's own begin at base
 * @throws {RangeError} when it is larger than any that was put
 */
export function takeCode(reader: Reader, { last, low }: Table, places: Int32Array, base = 0): number {
  const x = reader.x, place = places[base + (x & FIELD)];
  reader.x = Math.imul(place >>> PRECISION & FIELD, x >>> PRECISION) + (place & FIELD);
  refill(reader);
  let symbol = place >> 24;
  if (symbol === OUTSIDE) {
    const negative = takeBits(reader, 1) === 1, magnitude = takeGamma(reader) + last;
    symbol = negative ? -magnitude : magnitude;
  }
  return low === 0 ? symbol : (symbol << low) + takeBits(reader, low);
}

const FIELD = 2 ** PRECISION - 1;
