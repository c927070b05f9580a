import assert from "node:assert/strict";
import { fromBfloat16, fromFloat16, toFloat16 } from "./float16.ts";

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** The value of a half-precision pattern, by definition. */
function define(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, bits >> 10 & 31, bits & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

Deno.test("fromFloat16() gives each of the 65536 patterns its value", () => {
  assert.deepEqual([...fromFloat16(all)], [...all].map(define));
});

Deno.test("toFloat16() is undone by fromFloat16() for every pattern but NaNs", () => {
  const numbers = all.filter((bits) => !Number.isNaN(define(bits)));
  assert.deepEqual(toFloat16(fromFloat16(numbers)), numbers);
  assert.ok(Number.isNaN(fromFloat16(toFloat16(new Float32Array([NaN])))[0]));
});

Deno.test("toFloat16() rounds to nearest, ties to even, between any two neighbours", () => {
  const next = new Float32Array(1);
  const word = new Uint32Array(next.buffer);
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [define(bits), define(bits + 1)];
    const middle = (low + high) / 2;
    next[0] = middle;
    assert.equal(next[0], middle);
    word[0]++;
    const above = next[0];
    word[0] -= 2;
    const below = next[0];
    const even = bits & 1 ? bits + 1 : bits;
    const values = new Float32Array([below, middle, above, -below, -middle, -above]);
    const sign = 0x8000;
    assert.deepEqual([...toFloat16(values)], [bits, even, bits + 1, bits | sign, even | sign, bits + 1 | sign]);
  }
  assert.deepEqual([...toFloat16(new Float32Array([65519, 65520, -1e30, 1e-30]))], [0x7bff, 0x7c00, 0xfc00, 0]);
});

Deno.test("fromBfloat16() widens by sixteen zero bits, from the middle of a buffer too", () => {
  const bits = new Uint16Array([0, 0x3f80, 0xbf81, 0x7f80, 0x0001, 0]).subarray(1, 5);
  assert.deepEqual([...fromBfloat16(bits)], [1, -1.0078125, Infinity, 2 ** -133]);
});
