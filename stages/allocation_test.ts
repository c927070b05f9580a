import assert from "node:assert/strict";
import fc from "fast-check";
import { allocateByOutliers, allocateByRedundancy } from "./allocation.ts";

Deno.test("allocateByRedundancy() gives the reference allocation of six and of thirty blocks", () => {
  assert.deepEqual(allocateByRedundancy([0.1, 0.3, 0.6, 0.5, 0.4, 0.2], { keep: 4, of: 8, spread: 1 }), [
    5,
    4,
    3,
    3,
    4,
    5,
  ]);
  const thirty = allocateByRedundancy(Array.from({ length: 30 }, (_, i) => i), { keep: 4, of: 8, spread: 1 });
  assert.deepEqual([5, 4, 3].map((n) => thirty.filter((k) => k === n).length), [8, 14, 8]);
});

Deno.test("allocateByRedundancy() has mean N and falls with redundancy", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 80 }),
    fc.integer({ min: 2, max: 7 }),
    (redundancy, keep) => {
      const kept = allocateByRedundancy(redundancy, { keep, of: 8, spread: 1 });
      const mean = kept.reduce((a, b) => a + b, 0) / kept.length;
      assert.ok(Math.abs(mean - keep) <= 1 / kept.length + 1e-9, `mean ${mean} of ${kept}`);
      redundancy.forEach((a, i) => redundancy.forEach((b, j) => assert.ok(a >= b || kept[i] >= kept[j])));
    },
  ));
});

Deno.test("allocateByRedundancy() stays within 1..M", () => {
  assert.deepEqual(allocateByRedundancy([0, 1], { keep: 1, of: 8, spread: 3 }), [4, 1]);
  assert.deepEqual(allocateByRedundancy([0, 1], { keep: 8, of: 8, spread: 1 }), [8, 7]);
  assert.deepEqual(allocateByRedundancy([0.5], { keep: 4, of: 8, spread: 1 }), [4]);
});

Deno.test("allocateByOutliers() keeps more where outliers are, one more never", () => {
  assert.deepEqual(allocateByOutliers([0.0, 0.5, 1.0], { keep: 4, of: 8, spread: 1 }), [3, 4, 6]);
  assert.deepEqual(allocateByOutliers([0.0, 0.5, 1.0], { keep: 7, of: 8, spread: 1 }), [6, 7, 8]);
  assert.deepEqual(allocateByOutliers([0.2, 0.2], { keep: 4, of: 8, spread: 1 }), [4, 4]);
});
