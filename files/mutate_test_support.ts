/** Damaged copies of a file, always the same ones, for the tests of readers. */
import assert from "node:assert/strict";
import { InputError } from "./input_error.ts";

/** Numbers at which sizes and offsets go wrong. */
const EXTREMES = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  2n ** 40n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];
const WORDS = [
  "-1",
  "1e999",
  "NaN",
  "null",
  "[]",
  "{}",
  '"x"',
  "1.5",
  "9007199254740993",
  "__proto__",
  "true",
  '"',
  "99999999999",
];

/** Draws of a generator that has always the same ones for a seed (mulberry32). @returns 0 to `below` − 1 */
export function draws(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return Math.floor(((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32 * below);
  };
}

/**
 * Copies of a file with one to three faults each: flipped bits, extreme numbers, cuts, doubled and missing runs, other words.
 *
 * @param within only the first so many bytes are changed, where a header is
 */
export function* mutations(
  bytes: Uint8Array,
  { count, seed, within = bytes.length }: { readonly count: number; readonly seed: number; readonly within?: number },
): Generator<Uint8Array<ArrayBuffer>> {
  const draw = draws(seed);
  for (let index = 0; index < count; index++) {
    let copy = Uint8Array.from(bytes);
    for (let faults = 1 + draw(3); faults > 0; faults--) copy = mutate(copy, Math.min(within, copy.length), draw);
    yield copy;
  }
}

/**
 * Reads every copy: each gives a result, or one clear `InputError`.
 *
 * @returns how many were refused
 */
export async function readsOrRefuses(
  copies: Iterable<Uint8Array<ArrayBuffer>>,
  read: (copy: Uint8Array<ArrayBuffer>) => Promise<unknown>,
): Promise<number> {
  let refused = 0;
  let index = 0;
  for (const copy of copies) {
    await read(copy).catch((error) => {
      assert.ok(error instanceof InputError, `copy ${index}: ${error?.stack ?? error}`);
      assert.match(error.message, /^Cannot [^\n]{10,1500}$/, `copy ${index}`);
      assert.doesNotMatch(
        error.message,
        /Unexpected (token|end)|\[object|ZodError|Invalid (array|typed|string)/,
      );
      refused++;
    });
    index++;
  }
  return refused;
}

function mutate(
  bytes: Uint8Array<ArrayBuffer>,
  within: number,
  draw: (below: number) => number,
): Uint8Array<ArrayBuffer> {
  const at = draw(Math.max(1, within));
  const length = 1 + draw(16);
  switch (draw(7)) {
    case 0:
      if (at < bytes.length) bytes[at] ^= 1 << draw(8);
      return bytes;
    case 1: {
      const width = draw(2) === 0 ? 4 : 8;
      const value = EXTREMES[draw(EXTREMES.length)];
      for (let i = 0; i < width && at + i < bytes.length; i++) bytes[at + i] = Number(value >> BigInt(8 * i) & 255n);
      return bytes;
    }
    case 2:
      return bytes.slice(0, draw(bytes.length + 1));
    case 3:
      return joined(bytes.subarray(0, at), bytes.subarray(at + length));
    case 4:
      return joined(bytes.subarray(0, at + length), bytes.subarray(at));
    case 5:
      return joined(
        bytes.subarray(0, at),
        new TextEncoder().encode(WORDS[draw(WORDS.length)]),
        bytes.subarray(at + length),
      );
    default:
      return bytes.fill(draw(2) * 255, at, at + length);
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
