import assert from "node:assert/strict";
import fc from "fast-check";
import { orderStatistics } from "./order_statistics.ts";
import { pruneCodes } from "../binary/ops.ts";
import { rankNM } from "./select.ts";
import { normal } from "../binary/row_kernels_test_support.ts";

const score = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom(0, -0, 1, 2, -1));

/** Least important first; of equal ones the higher index. */
function ascending(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b] || b - a);
}

Deno.test("rankNM() semi-structured is the order inside every run, ties to the lower index", () => {
  fc.assert(fc.property(
    fc.constantFrom(1, 2, 4, 8, 16),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.infiniteStream(score),
    (of, rows, runs, stream) => {
      const cols = of * runs;
      const scores = Float32Array.from({ length: rows * cols }, () => stream.next().value);
      const rank = new Uint8Array(rows * cols).fill(99);
      rankNM(rank, scores, { rows, cols, of, type: "semi-structured" });
      for (let start = 0; start < rank.length; start += of) {
        ascending(scores.subarray(start, start + of)).forEach((i, r) => assert.equal(rank[start + i], r));
      }
    },
  ));
});

Deno.test("rankNM() unstructured keeps exactly the round(N/of·total) most important for every N", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(score, { minLength: 1, maxLength: 60 }), (of, list) => {
      const scores = Float32Array.from(list), total = list.length;
      const rank = new Uint8Array(total);
      rankNM(rank, scores, { rows: 1, cols: total, of, type: "unstructured" });
      const order = ascending(scores);
      for (let keep = 0; keep <= of; keep++) {
        const kept = order.slice(total - Math.round(keep * total / of)).sort((a, b) => a - b);
        assert.deepEqual(Array.from(rank.keys()).filter((i) => rank[i] >= of - keep), kept);
      }
    }),
  );
});

Deno.test("rankNM() unstructured agrees with a full sort on a large block", () => {
  const rows = 100, cols = 128, next = normal(5);
  const scores = Float32Array.from({ length: rows * cols }, () => Math.round(next() * 300) / 300);
  const rank = new Uint8Array(rows * cols);
  rankNM(rank, scores, { rows, cols, of: 8, type: "unstructured" });
  ascending(scores).forEach((i, position) => assert.equal(rank[i], Math.floor(position * 8 / (rows * cols))));
});

Deno.test("rankNM() structured keeps whole columns by summed score", () => {
  const rows = 3, cols = 8;
  const scores = Float32Array.from({ length: rows * cols }, (_, at) => (at % cols * 5) % 8);
  const rank = new Uint8Array(rows * cols);
  rankNM(rank, scores, { rows, cols, of: 8, type: "structured" });
  for (let at = 0; at < rank.length; at++) assert.equal(rank[at], scores[at]);
});

Deno.test("rankNM() none keeps everything for every N", () => {
  const rank = new Uint8Array(20);
  rankNM(rank, new Float32Array(20), { rows: 2, cols: 10, of: 8, type: "none" });
  assert.ok(rank.every((r) => r === 7));
});

Deno.test("rankNM() refuses columns that are no multiple of M", () => {
  const wrong = { rows: 1, cols: 100, of: 8, type: "semi-structured" } as const;
  assert.throws(() => rankNM(new Uint8Array(100), new Float32Array(100), wrong), {
    name: "RangeError",
    message: "Cannot rank weights as columns must be a multiple of 8: current value is 100",
  });
});

Deno.test("pruneCodes() leaves the group and nothing else", () => {
  const codes = Uint8Array.of(7, 11, 31, 24, 3);
  pruneCodes(codes, Uint8Array.of(0, 1, 2, 3, 4), 2);
  assert.deepEqual(codes, Uint8Array.of(0, 8, 31, 24, 3));
});

Deno.test("orderStatistics() are the values of a full sort", () => {
  fc.assert(fc.property(fc.array(score, { minLength: 1, maxLength: 300 }), fc.nat(), (list, seed) => {
    const x = Float32Array.from(list, (v) => v + 0);
    const sorted = x.slice().sort();
    const positions = Array.from({ length: x.length }, (_, i) => i).filter((i) => (i * 7 + seed) % 3 === 0);
    assert.deepEqual(orderStatistics(x, positions), Float32Array.from(positions, (p) => sorted[p] + 0));
  }));
  assert.throws(() => orderStatistics(Float32Array.of(1), [1]), RangeError);
});
