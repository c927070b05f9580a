import assert from "node:assert/strict";
import fc from "fast-check";
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { percentiles, segmentSearch } from "./segments.ts";
import type { SegmentOptions } from "./segment_gains.ts";
import { KINDS, uniform, weights } from "./row_kernels_test_support.ts";

/** Prototype's error of one segment of one row: order 1 with signs about zero; weights apply to the squares alone. */
function segmentError(x: readonly number[], weight: readonly number[]): number {
  const n = Math.max(x.length, 1), mean = x.reduce((a, b) => a + b, 0) / n;
  const scale = (x.reduce((a, b) => a + Math.abs(b), 0) - mean * x.reduce((a, b) => a + (b >= 0 ? 1 : -1), 0)) / n;
  return x.reduce((a, b, i) => a + weight[i] * (b - mean - (b >= 0 ? scale : -scale)) ** 2, 0);
}

function blockError(options: SegmentOptions, cuts: readonly number[]): number {
  const { w, values = w, columnWeight, salient, rank, pruned, rows, cols } = options;
  let error = 0;
  for (let r = 0; r < rows; r++) {
    const parts: number[][] = Array.from({ length: cuts.length + 1 }, () => []);
    for (let c = 0, at = r * cols; c < cols; c++, at++) {
      if (salient[c] === 0 && rank[at] >= pruned) parts[cuts.filter((p) => Math.abs(w[at]) >= p).length].push(at);
    }
    for (const part of parts) {
      error += segmentError(part.map((at) => values[at]), part.map((at) => columnWeight?.[at % cols] ?? 1));
    }
  }
  return error;
}

/** All choices of `count` cuts from the candidates, ascending. */
function choices(levels: readonly number[], count: number): number[][] {
  if (count === 0) return [[]];
  return levels.flatMap((p, i) => choices(levels.slice(i + 1), count - 1).map((rest) => [p, ...rest]));
}

/** Groups that `cuts` make. */
function groupsOf({ w, salient, cols }: SegmentOptions, cuts: readonly number[]): Uint8Array {
  return Uint8Array.from(
    w,
    (v, at) => salient[at % cols] === 1 ? 0 : (1 + cuts.filter((p) => Math.abs(v) >= p).length) << GROUP_SHIFT,
  );
}

function block(kind: typeof KINDS[number], splitPoints: SegmentOptions["splitPoints"], pruned: number): SegmentOptions {
  const rows = 12, cols = 32, next = uniform(7), w = weights(kind, rows, cols, 11);
  const rank = Uint8Array.from(w, () => Math.floor(8 * next()));
  const salient = Uint8Array.from({ length: cols }, () => next() < 0.2 ? 1 : 0);
  return { w, salient, rank, pruned, rows, cols, splitPoints, search: "free", candidates: 12 };
}

function seenMagnitudes({ w, salient, rank, pruned, cols }: SegmentOptions): Float32Array {
  return w.map(Math.abs).filter((_, at) => salient[at % cols] === 0 && rank[at] >= pruned);
}

for (const kind of KINDS) {
  for (const splitPoints of [1, 2, 3] as const) {
    for (const pruned of [0, 4]) {
      Deno.test(`segmentSearch() with ${splitPoints} cuts on ${kind} weights, ${pruned} pruned, has the least error`, () => {
        const options = block(kind, splitPoints, pruned), codes = new Uint8Array(options.w.length).fill(255);
        segmentSearch(codes, options);
        const levels = percentiles(seenMagnitudes(options), options.candidates);
        const all = choices(Array.from(levels), splitPoints).map((cuts) => ({
          cuts,
          error: blockError(options, cuts),
        }));
        const least = Math.min(...all.map(({ error }) => error));
        const energy = options.w.reduce((a, b) => a + b * b, 0);
        const same = all.filter(({ cuts }) => groupsOf(options, cuts).every((g, i) => g === codes[i]));
        assert.ok(same.length > 0, "groups come from cuts at candidates");
        assert.ok(same.some(({ error }) => error <= least + 1e-9 * energy));
      });
    }
  }
}

Deno.test("segmentSearch() on a coarse grid tries every second candidate, each cut in its turn", () => {
  for (const splitPoints of [1, 2, 3] as const) {
    for (const kind of KINDS) {
      const options = { ...block(kind, splitPoints, 4), coarse: true }, codes = new Uint8Array(options.w.length);
      segmentSearch(codes, options);
      const levels = Array.from(percentiles(seenMagnitudes(options), options.candidates));
      const places = choices(Array.from(levels.keys()), splitPoints)
        .filter((chosen) => splitPoints === 1 || chosen.every((place, k) => place % 2 === k % 2))
        .map((chosen) => chosen.map((place) => levels[place]));
      const all = places.map((cuts) => ({ cuts, error: blockError(options, cuts) }));
      const least = Math.min(...all.map(({ error }) => error)), energy = options.w.reduce((a, b) => a + b * b, 0);
      const same = all.filter(({ cuts }) => groupsOf(options, cuts).every((g, i) => g === codes[i]));
      assert.ok(same.some(({ error }) => error <= least + 1e-9 * energy), `${splitPoints} cuts, ${kind}`);
    }
  }
});

Deno.test("segmentSearch() doubled takes the best p1 with p2 = 2·p1", () => {
  const options: SegmentOptions = { ...block("heavy", 2, 4), search: "doubled" };
  const codes = new Uint8Array(options.w.length);
  segmentSearch(codes, options);
  const levels = Array.from(percentiles(seenMagnitudes(options), options.candidates));
  const errors = levels.map((p) => blockError(options, [p, Math.fround(2 * p)]));
  const best = levels[errors.indexOf(Math.min(...errors))];
  assert.deepEqual(codes, groupsOf(options, [best, Math.fround(2 * best)]));
});

Deno.test("segmentSearch() judges other values than those it cuts, and weighs columns", () => {
  const base = block("normal", 2, 0), plain = new Uint8Array(base.w.length);
  segmentSearch(plain, base);
  const values = base.w.map((v, at) => v * v * (1 + at % base.cols));
  const columnWeight = Float32Array.from({ length: base.cols }, (_, c) => c === 7 ? 400 : 1);
  for (const options of [{ ...base, values }, { ...base, columnWeight }, { ...base, values, columnWeight }]) {
    const codes = new Uint8Array(base.w.length);
    segmentSearch(codes, options);
    assert.notDeepEqual(codes, plain);
    const levels = Array.from(percentiles(seenMagnitudes(base), base.candidates));
    const all = choices(levels, 2).sort((a, b) => blockError(options, a) - blockError(options, b));
    assert.deepEqual(codes, groupsOf(options, all[0]));
  }
});

Deno.test("segmentSearch() can cut at the first and at the last candidate", () => {
  const cols = 40, shape = { salient: new Uint8Array(cols), rank: new Uint8Array(cols), pruned: 0, rows: 1, cols };
  const options = { ...shape, splitPoints: 1, search: "free", candidates: 9 } as const, codes = new Uint8Array(cols);
  for (const [few, many, group, count] of [[0.01, 10, 1, 4], [100, 1, 2, 4]]) {
    const w = Float32Array.from({ length: cols }, (_, c) => (c % 2 === 0 ? 1 : -1) * (c < 2 ? few : many + c / 1000));
    segmentSearch(codes, { ...options, w });
    assert.equal(codes.filter((c) => c === group << GROUP_SHIFT).length, count);
  }
});

Deno.test("segmentSearch() without cuts makes one segment, and an empty rest is fine", () => {
  const options = block("normal", 0, 0), codes = new Uint8Array(options.w.length);
  segmentSearch(codes, options);
  assert.deepEqual(codes, groupsOf(options, []));
  segmentSearch(codes, { ...options, splitPoints: 2, salient: new Uint8Array(options.cols).fill(1) });
  assert.ok(codes.every((c) => c === 0));
  segmentSearch(codes, { ...options, splitPoints: 2, pruned: 9 });
  assert.deepEqual(codes, groupsOf(options, []));
});

Deno.test("percentiles() interpolate between neighbours in order", () => {
  fc.assert(fc.property(
    fc.array(fc.float({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 200 }),
    fc.integer({ min: 2, max: 50 }),
    (list, count) => {
      const x = Float32Array.from(list), sorted = x.slice().sort();
      percentiles(x, count).forEach((p, i) => {
        const at = (sorted.length - 1) * (0.1 + 0.8 * i / (count - 1)), low = Math.floor(at);
        const wanted = sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
        assert.ok(Math.abs(p - wanted) <= 1e-6 * Math.max(1, wanted));
      });
    },
  ));
});
