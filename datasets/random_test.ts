import assert from "node:assert/strict";
import fc from "fast-check";
import { seededRandom } from "./random.ts";

fc.configureGlobal({ seed: 1 });

function draw(seed: number, purpose: string, bound: number, count: number): number[] {
  const random = seededRandom(seed, purpose);
  return Array.from({ length: count }, () => random.below(bound));
}

Deno.test("seededRandom() gives the same draws for ever", () => {
  assert.deepEqual(draw(0, "documents", 356317, 4), [298702, 231764, 315221, 81182]);
  assert.deepEqual(draw(4294967295, "windows", 100, 4), [91, 61, 79, 83]);
});

Deno.test("seededRandom() gives other draws for another seed or purpose", () => {
  assert.notDeepEqual(draw(1, "windows", 1000, 8), draw(2, "windows", 1000, 8));
  assert.notDeepEqual(draw(1, "windows", 1000, 8), draw(1, "documents", 1000, 8));
});

Deno.test("below() stays in its range and reaches all of it evenly", () => {
  fc.assert(fc.property(fc.nat(0xffffffff), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
    for (const drawn of draw(seed, "x", bound, 20)) assert.ok(Number.isInteger(drawn) && drawn >= 0 && drawn < bound);
  }));
  const counts = new Array(7).fill(0);
  for (const drawn of draw(5, "x", 7, 70_000)) counts[drawn]++;
  // The standard deviation of a count is 93.
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, String(counts));
});

Deno.test("below() refuses bounds that are no number of choices", () => {
  const random = seededRandom(0, "x");
  for (const bound of [0, -1, 1.5, NaN, 2 ** 32 + 1]) assert.throws(() => random.below(bound), RangeError);
});
