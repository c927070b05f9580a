import assert from "node:assert/strict";
import fc from "fast-check";
import { allocateBits, allocateByOutliers, allocateByRedundancy, wishesByRedundancy, wishOf } from "./allocation.ts";

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

/** Layers of any size with any wishes. */
const layersOf = fc.array(
  fc.record({
    weights: fc.integer({ min: 1, max: 1_000_000 }),
    wish: fc.oneof({ weight: 8, arbitrary: fc.double({ min: -30, max: 30, noNaN: true }) }, {
      weight: 1,
      arbitrary: fc.constant(-Infinity),
    }),
  }),
  { minLength: 1, maxLength: 40 },
);

function meanOf(layers: readonly { readonly weights: number }[], bits: readonly number[]): number {
  const total = layers.reduce((sum, { weights }) => sum + weights, 0);
  return layers.reduce((sum, { weights }, i) => sum + weights * bits[i], 0) / total;
}

Deno.test("allocateBits() has exactly the mean, keeps to its bounds, and follows wishes between them", () => {
  fc.assert(fc.property(
    layersOf,
    fc.double({ min: 0.5, max: 12, noNaN: true }),
    fc.double({ min: 0, max: 4, noNaN: true }),
    (layers, bits, spread) => {
      const given = allocateBits(layers, { bits, spread });
      assert.ok(Math.abs(meanOf(layers, given) - bits) < 1e-9, `mean ${meanOf(layers, given)} for ${bits}`);
      const [least, most] = [Math.max(0.5, bits - spread), Math.min(12, bits + spread)];
      assert.ok(given.every((b) => b >= least - 1e-9 && b <= most + 1e-9), given.join());
      const free = layers.flatMap(({ wish }, i) =>
        given[i] > least + 1e-6 && given[i] < most - 1e-6 && wish > -Infinity ? [given[i] - wish] : []
      );
      // What is not at a bound is its wish and one constant.
      if (new Set(given).size > 1) free.forEach((more) => assert.ok(Math.abs(more - free[0]) < 1e-9));
    },
  ));
});

Deno.test("allocateBits() is the Lagrangian's optimum: no move of bits between two layers lowers Σ KL·4^−b", () => {
  const random = (i: number) => Math.abs(Math.sin(i * 12.9898) * 43758.5453) % 1;
  const layers = Array.from({ length: 25 }, (_, i) => {
    const weights = 1000 + Math.floor(9000 * random(i)), divergence = 10 ** (-3 * random(i + 100));
    return { weights, divergence, wish: wishOf(divergence, weights) };
  });
  const given = allocateBits(layers, { bits: 2.1, spread: 1 });
  const cost = (bits: readonly number[]) =>
    layers.reduce((sum, { divergence }, i) => sum + divergence * 4 ** -bits[i], 0);
  const least = cost(given), step = 1e-3;
  for (const [i, a] of layers.entries()) {
    for (const [j, b] of layers.entries()) {
      const moved = given.with(i, given[i] + step / a.weights * 1000).with(j, given[j] - step / b.weights * 1000);
      if (i === j || moved[i] > 3.1 || moved[j] < 1.1) continue;
      assert.ok(cost(moved) > least - 1e-12, `${i} ${j}`);
    }
  }
});

Deno.test("allocateBits() gives all the same where nothing is known, and below half a bit too", () => {
  const layers = [{ weights: 3, wish: -Infinity }, { weights: 5, wish: -Infinity }];
  assert.deepEqual(allocateBits(layers, { bits: 2.1, spread: 1 }), [2.1, 2.1]);
  const one = allocateBits([{ weights: 1, wish: 0 }, { weights: 1, wish: 9 }], { bits: 0.25, spread: 1 });
  assert.deepEqual(one.map((b) => b.toFixed(9)), ["0.250000000", "0.250000000"]);
});

Deno.test("wishesByRedundancy() has mean 0 and N's ranks", () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 80 }),
    (redundancy) => {
      const wishes = wishesByRedundancy(redundancy, 1);
      assert.ok(Math.abs(wishes.reduce((a, b) => a + b, 0)) < 1e-9);
      const kept = allocateByRedundancy(redundancy, { keep: 4, of: 8, spread: 1 });
      wishes.forEach((wish, i) => assert.ok(Math.abs(4 + wish - kept[i]) <= 0.5 + 1e-9));
    },
  ));
});
