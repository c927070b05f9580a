import assert from "node:assert/strict";
import * as fc from "fast-check";
import { CONTEXTS, logOfStep, MAX_STEP, STATES, stepOf, trellisOf } from "../trellis/ops.ts";
import { decodeIntegers, encodeIntegers } from "./integers.ts";
import { defaultShapes, SHAPE_FIELDS } from "./shapes.ts";
import { fillPlaces, makeTable, OTHERS, PRECISION, ZERO } from "./tables.ts";

/** Φ by its integral. */
function normalMass(from: number, to: number): number {
  const parts = 200, step = (to - from) / parts;
  let sum = 0;
  for (let i = 0; i < parts; i++) sum += Math.exp(-((from + (i + 0.5) * step) ** 2) / 2);
  return sum * step / Math.sqrt(2 * Math.PI);
}

Deno.test("makeTable() has a Gaussian's chances on whole numbers by default", () => {
  for (const context of [44, 48, 52, 56]) {
    const { frequencies, last } = makeTable({ states: 1, quantizer: 0, context, shapes: defaultShapes(1) });
    const size = 2 ** ((context - 48 + 0.25) / 4);
    for (let s = 0; s <= last; s++) {
      const wanted = 2 ** PRECISION * normalMass((s - 0.5) / size, (s + 0.5) / size);
      assert.ok(Math.abs(frequencies[ZERO + s] - wanted) < 2 + 0.01 * wanted, `${context}, ${s}: ${wanted}`);
    }
  }
});

Deno.test("makeTable() of any shape fills all places, and leaves one for all other symbols", () => {
  const shapes = fc.int8Array({ minLength: 2 * SHAPE_FIELDS, maxLength: 2 * SHAPE_FIELDS });
  fc.assert(fc.property(shapes, fc.constantFrom(...STATES), fc.nat(CONTEXTS - 1), (shapes, states, context) => {
    for (let quantizer = 0; quantizer < trellisOf(states).count; quantizer++) {
      const table = makeTable({ states, quantizer, context, shapes }), { frequencies, starts, last } = table;
      assert.equal(frequencies.reduce((sum, each) => sum + each), 2 ** PRECISION);
      for (const at of [OTHERS, ...Array.from({ length: 2 * last + 1 }, (_, i) => ZERO - last + i)]) {
        assert.ok(frequencies[at] >= 1 && frequencies[at] < 2 ** PRECISION);
      }
      const places = new Int32Array(2 ** PRECISION);
      fillPlaces(places, table);
      places.forEach((place, at) => {
        const symbol = place >> 24, start = at - (place & 2 ** PRECISION - 1);
        assert.deepEqual([place >>> PRECISION & 2 ** PRECISION - 1, start], [
          frequencies[ZERO + symbol],
          starts[ZERO + symbol],
        ]);
      });
    }
  }));
});

Deno.test("decodeIntegers(encodeIntegers(x)) is x, and what clusters costs few bits", () => {
  const numbers = fc.array(fc.integer({ min: -8000, max: 8000 }), { minLength: 1, maxLength: 60 });
  fc.assert(fc.property(numbers, fc.constantFrom(1, 5, 100), (values, divisor) => {
    const integers = Int16Array.from(values, (value) => Math.round(value / divisor));
    assert.deepEqual(decodeIntegers(encodeIntegers(integers), integers.length), integers);
  }));
  const sizes = Int16Array.from({ length: 576 }, (_, i) => 40 + Math.round(2 * Math.sin(i) + 2 * Math.sin(i * i)));
  assert.ok(16 * encodeIntegers(sizes).length < 3.4 * 576);
  const coarse = sizes.map((size) => 4 * size);
  assert.ok(Math.abs(encodeIntegers(coarse).length - encodeIntegers(sizes).length) <= 1);
});

Deno.test("decodeIntegers() refuses what encodeIntegers() does not write, or gives as many numbers", () => {
  const words = encodeIntegers(Int16Array.from({ length: 40 }, (_, i) => i * i % 17));
  fc.assert(fc.property(fc.nat(words.length - 1), fc.integer({ min: 1, max: 65535 }), fc.nat(2), (at, flip, cut) => {
    try {
      const spoilt = words.slice(0, words.length - cut);
      if (at < spoilt.length) spoilt[at] ^= flip;
      assert.equal(decodeIntegers(spoilt, 40).length, 40);
    } catch (error) {
      assert.ok(error instanceof RangeError, `${error}`);
    }
  }));
  assert.throws(() => decodeIntegers(new Uint16Array(0), 3), { name: "RangeError" });
});

Deno.test("stepOf() gives float32's nearest powers, logOfStep() undoes it, and refuses other steps", () => {
  for (let log = -MAX_STEP; log <= MAX_STEP; log++) {
    assert.equal(stepOf(log), Math.fround(2 ** (log / 32)));
    assert.equal(logOfStep(stepOf(log)), log);
  }
  for (const step of [0, -1, 1.01, NaN, Infinity, 2 ** 127]) {
    assert.throws(() => logOfStep(step), { name: "RangeError" });
  }
});
