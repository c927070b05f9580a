/** Small whole numbers, each in equally many bits, one after the other in words of 32 bits, lowest bits first. */

/** Words that so many numbers take. */
export function fixedWords(count: number, bits: number): number {
  return Math.ceil(count * bits / 32);
}

/**
 * Packs numbers.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { packFixed, unpackFixed } from "./fixed_bits.ts";
 *
 * const codes = Uint8Array.of(5, 0, 7, 1), words = packFixed(codes, 3);
 * assert.deepEqual([...words], [0b001_111_000_101]);
 * assert.deepEqual(unpackFixed(words, codes.length, 3), codes);
 * ```
 * @param bits 1..8
 * @throws {RangeError} when a number does not fit
 */
export function packFixed(values: Uint8Array, bits: number): Uint32Array {
  const words = new Uint32Array(fixedWords(values.length, bits));
  let word = 0, filled = 0, at = 0, seen = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    seen |= value;
    word |= value << filled;
    filled += bits;
    if (filled >= 32) {
      words[at++] = word;
      filled -= 32;
      word = value >>> (bits - filled);
    }
  }
  if (filled > 0) words[at] = word;
  if (seen >>> bits !== 0) {
    const broken = values.findIndex((value) => value >>> bits !== 0);
    throw new RangeError(`Cannot pack code ${broken} as it must have ${bits} bits: current value is ${values[broken]}`);
  }
  return words;
}

/**
 * Unpacks what `packFixed` packed.
 *
 * @param words untrusted
 * @throws {RangeError} when there are more or fewer words, or bits are set behind the last number
 */
export function unpackFixed(words: Uint32Array, count: number, bits: number): Uint8Array {
  const expected = fixedWords(count, bits);
  if (words.length !== expected) {
    throw new RangeError(
      `Cannot unpack ${count} codes of ${bits} bits: ${expected} words were expected: current value is ${words.length}`,
    );
  }
  const last = count * bits % 32;
  if (last > 0 && words[expected - 1] >>> last !== 0) {
    throw new RangeError(`Cannot unpack ${count} codes of ${bits} bits: bits are set behind the last`);
  }
  const values = new Uint8Array(count), mask = 2 ** bits - 1;
  for (let i = 0, at = 0, shift = 0; i < count; i++) {
    let value = words[at] >>> shift;
    shift += bits;
    if (shift >= 32) {
      shift -= 32;
      at++;
      if (shift > 0) value |= words[at] << (bits - shift);
    }
    values[i] = value & mask;
  }
  return values;
}
