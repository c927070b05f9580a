/**
 * A plane of bits as symbols, whose chances tables say: numbers of so many bits one after the other, of which the highest are a symbol and
 * the others stand as they are; or digits of base 3 as `kernels/packing` lays them out, some together.
 *
 * A symbol's table is that of its place, modulo a period, and of what stood a period before it.
 */
import { radixCode, readDigits, writeDigits } from "../packing/ops.ts";

/** How the bits are read. */
export interface PlaneView {
  /** Bits of a number: 1 to 8, 16 or 32; 0 for digits. */
  readonly unit: number;
  /** Its highest bits that are a symbol, 1 to 8; or digits that are one together, 1 to 4. */
  readonly head: number;
  /** Tables that are taken in turn: 1 to 16. */
  readonly period: number;
  /** Highest bits of the symbol a period before that tables depend on, 0 to head; of digits 0, or head for all of them. */
  readonly past: number;
}

/** Units that are longer than a symbol. */
const LONG = [16, 32];
/** Most tables that are taken in turn. */
export const MOST_PERIOD = 16;
/** Most tables of a plane. */
const MOST_TABLES = 1024;

/** Base of digits. */
const BASE = 3;
const DIGITS = radixCode(BASE), TILE = DIGITS.widths.length - 1;

/** Whether there is such a view: what says so in a file is not trusted. */
export function isView({ unit, head, period, past }: PlaneView): boolean {
  const within = unit === 0
    ? head >= 1 && head <= 4 && (past === 0 || past === head)
    : (unit <= 8 ? head === unit : LONG.includes(unit) && head >= 1 && head <= 8) && past <= head;
  return within && period >= 1 && period <= MOST_PERIOD && tablesOf({ unit, head, period, past }) <= MOST_TABLES;
}

/** How many symbols there are. */
export function alphabetOf({ unit, head }: PlaneView): number {
  return unit === 0 ? BASE ** head : 2 ** head;
}

/** How many tables there are. */
export function tablesOf(view: PlaneView): number {
  return view.period * classesOf(view);
}

/** How many kinds of symbols a period before are told apart. */
export function classesOf(view: PlaneView): number {
  return view.past === 0 ? 1 : view.unit === 0 ? alphabetOf(view) : 2 ** view.past;
}

/** Bits by which a symbol a period before is shifted, so that what is left is its kind. */
export function classShift({ unit, head, past }: PlaneView): number {
  return past === 0 ? 8 : unit === 0 ? 0 : head - past;
}

/** Bits of a number that stand as they are. */
export function tailBits({ unit, head }: PlaneView): number {
  return unit === 0 ? 0 : unit - head;
}

/** Symbols of a plane of so many bytes. */
export function symbolCount({ unit, head }: PlaneView, bytes: number): number {
  return Math.ceil((unit === 0 ? digitCount(bytes) : 8 * bytes) / (unit === 0 ? head : unit));
}

/** Digits that so many bytes hold at most. */
function digitCount(bytes: number): number {
  const { widths } = DIGITS, tiles = Math.floor(8 * bytes / widths[TILE]), left = 8 * bytes - tiles * widths[TILE];
  return tiles * TILE + widths.findLastIndex((width) => width <= left);
}

/** Bytes of a part that is a plane by itself, or a multiple of that. */
export function grainOf({ unit, period }: PlaneView): number {
  return unit === 0 ? 4 * DIGITS.widths[TILE] : unit <= 8 ? unit * period : unit / 8 * period;
}

/**
 * Reads all symbols.
 *
 * @param bytes of a plane of bits
 * @throws {RangeError} when the bits are no digits
 */
export function readSymbols(bytes: Uint8Array, view: PlaneView): Uint8Array {
  const { unit, head } = view, symbols = new Uint8Array(symbolCount(view, bytes.length));
  if (unit === 0) {
    const digits = readAllDigits(bytes, head);
    for (let i = 0, at = 0; i < symbols.length; i++, at += head) {
      let value = 0;
      for (let k = head - 1; k >= 0; k--) value = value * BASE + digits[at + k];
      symbols[i] = value;
    }
    return symbols;
  }
  if (unit > 8) {
    const step = unit / 8;
    for (let i = 0, at = step - 1; i < symbols.length; i++, at += step) symbols[i] = bytes[at] >> 8 - head;
    return symbols;
  }
  const field = 2 ** unit - 1;
  for (let i = 0, bit = 0; i < symbols.length; i++, bit += unit) {
    const at = bit >>> 3;
    symbols[i] = (bytes[at] | bytes[at + 1] << 8) >> (bit & 7) & field;
  }
  return symbols;
}

/** Digits of a plane, and zeros until they make whole symbols. */
function readAllDigits(bytes: Uint8Array, together: number): Uint8Array {
  const count = digitCount(bytes.length), digits = new Uint8Array(together * Math.ceil(count / together));
  if (bytes.length % 4 !== 0) throw new RangeError(`Cannot read ${bytes.length} bytes as digits: they are no words`);
  readDigits(DIGITS, wordsOf(bytes), 0, digits.subarray(0, count));
  return digits;
}

/** Whether digits are all that the plane holds: nothing stands behind them. */
export function holdsDigits(bytes: Uint8Array): boolean {
  if (bytes.length % 4 !== 0) return false;
  const count = digitCount(bytes.length), digits = new Uint8Array(count), words = wordsOf(bytes);
  try {
    readDigits(DIGITS, words, 0, digits);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
  const again = new Uint32Array(words.length);
  writeDigits(DIGITS, again, 0, digits);
  return again.every((word, i) => word === words[i]);
}

/**
 * The plane that symbols were read of, but for what stands as it is.
 *
 * @throws {RangeError} when bits or digits are set behind its end
 */
export function writeSymbols(symbols: Uint8Array, { unit, head }: PlaneView, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  if (unit === 0) {
    const count = digitCount(length), digits = new Uint8Array(head * symbols.length);
    for (let i = 0, at = 0; i < symbols.length; i++) {
      for (let k = 0, value = symbols[i]; k < head; k++, value = value / BASE | 0) digits[at++] = value % BASE;
    }
    if (digits.subarray(count).some((digit) => digit > 0)) throw behindEnd(length);
    writeDigits(DIGITS, new Uint32Array(bytes.buffer), 0, digits.subarray(0, count));
    return bytes;
  }
  if (unit > 8) {
    const last = unit / 8;
    for (let i = 0, at = last - 1; i < symbols.length; i++, at += last) bytes[at] = symbols[i] << 8 - head;
    return bytes;
  }
  let at = 0, filled = 0, byte = 0;
  for (let i = 0; i < symbols.length; i++) {
    byte |= symbols[i] << filled;
    filled += unit;
    if (filled >= 8) {
      bytes[at++] = byte;
      byte >>>= 8;
      filled -= 8;
    }
  }
  // The last number may be longer than what is left for it.
  if (at < length) {
    bytes[at] = byte;
    byte >>>= 8;
  }
  if (byte !== 0) throw behindEnd(length);
  return bytes;
}

function behindEnd(length: number): RangeError {
  return new RangeError(`Cannot decode a plane of ${length} bytes: bits are set behind its end`);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return bytes.byteOffset % 4 === 0
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    : new Uint32Array(bytes.slice().buffer);
}

/** What of a number stands as it is, from its lowest bits. @param bytes of the plane */
export function tailOf(bytes: Uint8Array, { unit, head }: PlaneView, index: number): number {
  const at = index * unit / 8;
  const value = unit === 16
    ? bytes[at] | bytes[at + 1] << 8
    : bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
  return (value & 2 ** (unit - head) - 1) >>> 0;
}

/** Puts back what stood as it is. */
export function putTail(bytes: Uint8Array, { unit }: PlaneView, index: number, value: number): void {
  for (let k = 0, at = index * unit / 8; k < unit; k += 8, at++) bytes[at] |= value >>> k & 255;
}
