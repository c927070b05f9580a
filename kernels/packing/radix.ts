/**
 * Digits of any base as bits: as many digits to one integer as make the waste smallest, so that 70 patterns cost 6.143 bits
 * instead of 7 and three marks 1.586 instead of 2, while any digit is still found without reading those before it.
 */

/** How digits of one base are laid out. */
export interface RadixCode {
  /** Digits are 0..base−1. */
  readonly base: number;
  /** Bits of the integer that holds 0, 1, 2, … digits; the last entry is a full tile, all others are for the last one. */
  readonly widths: readonly number[];
  /** Digits that are looked up together when reading. */
  readonly chunk: number;
  /** [base^chunk, chunk]: the digits of each number, lowest first. */
  readonly table: Uint16Array;
}

/** A tile's integer is exact in a double and is three 16-bit limbs on a device without 64-bit integers. */
const MAX_TILE_BITS = 48;

/** Digits above this take a tile each, so that a device divides limbs by them in 32 bits. */
const MAX_SHARED_BASE = 1 << 16;

/** Numbers in the table; it stays in the fastest cache. */
const MAX_TABLE = 2500;

/**
 * Chooses the tile of least waste for digits of a base.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(radixCode(70).widths, [0, 7, 13, 19, 25, 31, 37, 43]); // seven patterns of 4:8 in 43 bits
 * assert.deepEqual(radixCode(1).widths, [0, 0]); // a digit that can only be 0 costs nothing
 * ```
 * @param base 1..2³²
 * @throws {RangeError} for any other base
 */
export function radixCode(base: number): RadixCode {
  if (!Number.isSafeInteger(base) || base < 1 || base > 2 ** 32) {
    throw new RangeError(`Cannot lay out digits as base must be an integer from 1 to 2^32: current value is ${base}`);
  }
  if (base === 1) return { base, widths: [0, 0], chunk: 1, table: new Uint16Array(1) };
  const widths = [0];
  const most = base > MAX_SHARED_BASE ? 1 : MAX_TILE_BITS;
  for (let power = base; widths.length <= most && power <= 2 ** MAX_TILE_BITS; power *= base) {
    let width = widths[widths.length - 1];
    while (2 ** width < power) width++;
    widths.push(width);
  }
  let best = 1;
  for (let digits = 2; digits < widths.length; digits++) {
    if (widths[digits] * best <= widths[best] * digits) best = digits;
  }
  let chunk = 0;
  let numbers = 1;
  while (numbers * base <= MAX_TABLE && chunk < best) {
    numbers *= base;
    chunk++;
  }
  const table = new Uint16Array(numbers * chunk);
  for (let i = 0, rest = 0; i < table.length; i++) {
    rest = i % chunk === 0 ? i / chunk : Math.floor(rest / base);
    table[i] = rest % base;
  }
  return { base, widths: widths.slice(0, best + 1), chunk, table };
}

/**
 * Bits of a run of digits.
 *
 * @param count digits
 */
export function radixBits({ widths }: RadixCode, count: number): number {
  const tile = widths.length - 1;
  return Math.floor(count / tile) * widths[tile] + widths[count % tile];
}

/**
 * Writes a run of digits at a bit position, lowest bit and lowest digit first.
 *
 * @param words [⌈bits / 32⌉], zero where the run goes
 * @param at first bit
 * @param digits the run
 * @returns the bit after the run
 */
export function writeDigits(
  { base, widths }: RadixCode,
  words: Uint32Array,
  at: number,
  digits: Uint8Array | Uint32Array,
): number {
  const tile = widths.length - 1;
  for (let first = 0; first < digits.length; first += tile) {
    const count = Math.min(tile, digits.length - first);
    let value = 0;
    for (let i = first + count - 1; i >= first; i--) value = value * base + digits[i];
    const width = widths[count];
    if (width > 32) {
      const high = Math.floor(value / 2 ** 32);
      writeBits(words, at, value - high * 2 ** 32, 32);
      writeBits(words, at + 32, high, width - 32);
    } else if (width > 0) writeBits(words, at, value, width);
    at += width;
  }
  return at;
}

/**
 * Reads a run of digits.
 *
 * @param words as written
 * @param at first bit
 * @param digits filled
 * @returns the bit after the run
 * @throws {RangeError} when a tile holds a number that no digits make: the words are not what was written
 */
export function readDigits(
  { base, widths, chunk, table }: RadixCode,
  words: Uint32Array,
  at: number,
  digits: Uint8Array | Uint32Array,
): number {
  const tile = widths.length - 1;
  const numbers = base ** chunk;
  for (let first = 0; first < digits.length; first += tile) {
    const last = Math.min(first + tile, digits.length) - 1;
    const width = widths[last - first + 1];
    let value = width > 32
      ? readBits(words, at, 32) + readBits(words, at + 32, width - 32) * 2 ** 32
      : width > 0
      ? readBits(words, at, width)
      : 0;
    let i = first;
    // Exact: value < 2^48, so the rounded quotient cannot reach the next integer.
    for (; chunk > 1 && i + chunk <= last; i += chunk) {
      const quotient = Math.floor(value / numbers);
      const from = (value - quotient * numbers) * chunk;
      for (let k = 0; k < chunk; k++) digits[i + k] = table[from + k];
      value = quotient;
    }
    for (; i < last; i++) {
      const quotient = Math.floor(value / base);
      digits[i] = value - quotient * base;
      value = quotient;
    }
    if (value >= base) {
      throw new RangeError(`Cannot read digits of base ${base}: the tile at bit ${at} holds none`);
    }
    digits[last] = value;
    at += width;
  }
  return at;
}

/** `width` 1..32 */
function writeBits(words: Uint32Array, at: number, value: number, width: number): void {
  const word = Math.floor(at / 32);
  const offset = at % 32;
  words[word] |= value << offset;
  if (offset + width > 32) words[word + 1] |= value >>> (32 - offset);
}

/** `width` 1..32 */
function readBits(words: Uint32Array, at: number, width: number): number {
  const word = Math.floor(at / 32);
  const offset = at % 32;
  let value = words[word] >>> offset;
  if (offset + width > 32) value |= words[word + 1] << (32 - offset);
  return width === 32 ? value >>> 0 : (value & ((1 << width) - 1)) >>> 0;
}
