/**
 * A small seeded generator for drawing documents and windows.
 *
 * It does not reproduce Python's `random`: draws for a seed are the same here on every machine, but they are not the
 * draws that the published code makes for the same seed.
 */

/** A stream of uniform integers. */
export interface RandomSource {
  /**
   * A uniform integer from 0 to `bound` − 1.
   * @throws {RangeError} when `bound` is not an integer from 1 to 2^32
   */
  below(bound: number): number;
}

/**
 * A stream of its own for each seed and purpose (sfc32 seeded by splitmix32, both public domain).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(seededRandom(7, "documents").below(1000), seededRandom(7, "documents").below(1000));
 * ```
 * @param seed 0 to 2^32 − 1
 * @param purpose what the draws are for, so that streams of one seed are independent
 */
export function seededRandom(seed: number, purpose: string): RandomSource {
  let mixed = seed >>> 0;
  const mix = () => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  for (const unit of new TextEncoder().encode(purpose)) mixed = (mix() ^ unit) >>> 0;
  let [a, b, c, counter] = [mix(), mix(), mix(), 1];
  const next = () => {
    const sum = (a + b + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = (b ^ (b >>> 9)) >>> 0;
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  for (let i = 0; i < 12; i++) next();
  return {
    below(bound) {
      if (!(Number.isInteger(bound) && bound >= 1 && bound <= 2 ** 32)) {
        throw new RangeError(`Cannot draw as the bound must be an integer from 1 to 2^32: current value is ${bound}`);
      }
      const limit = 2 ** 32 - 2 ** 32 % bound;
      for (;;) {
        const drawn = next();
        if (drawn < limit) return drawn % bound;
      }
    },
  };
}
