import assert from "node:assert/strict";
import * as fc from "fast-check";
import { radixBits, radixCode, readDigits, writeDigits } from "./radix.ts";

const bases = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.constantFrom(1820, 12870, 65535, 65536, 65537, 601080390, 2 ** 32),
);

Deno.test("readDigits() gives back what writeDigits() wrote, from any bit position", () => {
  fc.assert(fc.property(bases, fc.nat(200), fc.nat(70), fc.integer(), (base, count, at, seed) => {
    const code = radixCode(base);
    const digits = Uint32Array.from({ length: count }, (_, i) => (Math.imul(seed + i, 0x9e3779b1) >>> 0) % base);
    const end = at + radixBits(code, count);
    const words = new Uint32Array(Math.ceil(end / 32));
    assert.equal(writeDigits(code, words, at, digits), end);
    const back = new Uint32Array(count);
    assert.equal(readDigits(code, words, at, back), end);
    assert.deepEqual(back, digits);
  }));
});

Deno.test("writeDigits() keeps the largest digits of every base", () => {
  for (const base of [2, 3, 28, 56, 70, 65536, 65537, 2 ** 32]) {
    const code = radixCode(base);
    const digits = new Uint32Array(2 * code.widths.length).fill(base - 1);
    const words = new Uint32Array(Math.ceil(radixBits(code, digits.length) / 32));
    writeDigits(code, words, 0, digits);
    const back = new Uint32Array(digits.length);
    readDigits(code, words, 0, back);
    assert.deepEqual(back, digits, `base ${base}`);
  }
});

Deno.test("radixCode() wastes less than one percent on the masks of M = 8 and on three segments", () => {
  for (const base of [3, 8, 28, 56, 70]) {
    const code = radixCode(base);
    const waste = radixBits(code, 10_000) / (10_000 * Math.log2(base)) - 1;
    assert.ok(waste >= 0 && waste < 0.01, `base ${base}: ${waste}`);
  }
});

Deno.test("readDigits() refuses a tile that no digits make", () => {
  const code = radixCode(70);
  assert.throws(() => readDigits(code, new Uint32Array([0xffffffff, 0xffffffff]), 0, new Uint8Array(7)), RangeError);
});

Deno.test("radixCode() refuses what is no base", () => {
  for (const base of [0, -1, 1.5, NaN, 2 ** 32 + 1]) assert.throws(() => radixCode(base), RangeError, `${base}`);
});
