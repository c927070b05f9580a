import assert from "node:assert/strict";
import fc from "fast-check";
import { alternateRounds } from "./alternate.ts";
import { binarizeRows, pruneCodes } from "./binarize.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { decodeBlock } from "./decode.ts";
import { importanceOf, rankNM } from "../scores/ops.ts";
import { jointSolution } from "./joint.ts";
import { GROUP_SHIFT, KEPT, scalesPerBlock } from "./quantized_layer.ts";
import { resignSweep } from "./resign.ts";
import { gram, KINDS, multiply, weights } from "./row_kernels_test_support.ts";
import { salientSearch } from "./salient.ts";
import { segmentSearch } from "./segments.ts";

const blocks = fc.record({
  kind: fc.constantFrom(...KINDS),
  seed: fc.nat(1000),
  rows: fc.integer({ min: 1, max: 7 }),
  runs: fc.integer({ min: 1, max: 5 }),
  of: fc.constantFrom(1, 2, 4, 8),
  keep: fc.integer({ min: 1, max: 8 }),
  splitPoints: fc.constantFrom(0, 1, 2, 3) as fc.Arbitrary<0 | 1 | 2 | 3>,
  search: fc.constantFrom("free", "doubled") as fc.Arbitrary<"free" | "doubled">,
  salient: fc.boolean(),
  kept: fc.boolean(),
  deadInputs: fc.integer({ min: 0, max: 3 }),
  solver: fc.constantFrom("none", "alternate", "joint"),
});

type Settings = typeof blocks extends fc.Arbitrary<infer T> ? T : never;

/** One column block through every row kernel. */
function run(settings: Settings) {
  const { kind, seed, rows, runs, of, splitPoints, search, salient, kept, solver } = settings;
  const cols = runs * of, segments = splitPoints + 1, pruned = of - Math.min(settings.keep, of);
  const w = weights(kind, rows, cols, seed), s = gram(cols, seed + 1, 2);
  for (let j = 0; j < Math.min(settings.deadInputs, cols); j++) {
    for (let k = 0; k < cols; k++) s[j * cols + k] = s[k * cols + j] = 0;
  }
  const score = new Float32Array(w.length), rank = new Uint8Array(w.length);
  const columns = new Uint8Array(cols), codes = new Uint8Array(w.length);
  const shape = { rows, cols, segments, salient }, scales = new Float32Array(rows * scalesPerBlock(shape));
  importanceOf(score, w, { rows, cols, metric: "magnitude" });
  rankNM(rank, score, { rows, cols, of, type: "semi-structured" });
  const seen = { rank, pruned: kept ? pruned : 0 };
  if (salient) salientSearch(columns, { ...seen, score, values: w, rows, cols, most: 49 });
  segmentSearch(codes, { ...seen, w, salient: columns, rows, cols, splitPoints, search, candidates: 10 });
  binarizeRows(codes, scales, { ...shape, ...seen, w, salientPruned: 0 });
  if (solver === "alternate") {
    alternateRounds(scales, { ...shape, w, gram: s, codes, rank, pruned, schedule: "stepwise", iterations: 15 });
  }
  pruneCodes(codes, rank, pruned);
  if (solver === "joint") jointSolution(scales, { ...shape, target: multiply(w, s, cols), gram: s, codes });
  const decoded = new Float32Array(w.length), errors = new Float32Array(w.length);
  decodeBlock(decoded, { ...shape, codes, scales });
  const residual = multiply(w.map((v, i) => v - decoded[i]), s, cols), resigned = codes.slice();
  resignSweep(resigned, { ...shape, residual, gram: s, scales });
  const factor = Float32Array.from(s, (_, i) => i % cols === Math.floor(i / cols) ? 1 : 0.1);
  const swept = codes.slice();
  columnwiseSweep(swept, errors, { ...shape, w, factor, scales });
  return { w, cols, of, pruned, codes, resigned, swept, scales, decoded, errors };
}

Deno.test("row kernels keep exactly N of every M and stay finite on any block", () => {
  fc.assert(fc.property(blocks, (settings) => {
    const { of, pruned, codes, resigned, swept, scales, decoded, errors } = run(settings);
    for (const values of [scales, decoded, errors]) assert.ok(values.every(Number.isFinite));
    for (const result of [codes, resigned, swept]) {
      for (let start = 0; start < result.length; start += of) {
        const kept = result.subarray(start, start + of).filter((c) => (c & KEPT) !== 0).length;
        assert.equal(kept, of - pruned);
      }
      assert.ok(result.every((c) => c >> GROUP_SHIFT <= settings.splitPoints + 1));
      assert.ok(result.every((c) => settings.salient || c >> GROUP_SHIFT > 0));
    }
    decoded.forEach((q, i) => assert.ok((codes[i] & KEPT) !== 0 || q === 0));
  }));
});

Deno.test("row kernels give the same bits twice", () => {
  fc.assert(fc.property(blocks, (settings) => assert.deepEqual(run(settings), run(settings))), { numRuns: 20 });
});

Deno.test("alternateRounds(), jointSolution(), resignSweep() and columnwiseSweep() give each row the same bits alone", () => {
  const rows = 6, cols = 32, segments = 3, salient = true, stride = 9, shape = { cols, segments, salient };
  const w = weights("heavy", rows, cols, 70), s = gram(cols, 71), rank = Uint8Array.from(w, (_, i) => i * 5 % 8);
  const codes = Uint8Array.from(w, (_, i) => i % cols < 5 ? 0 : (1 + i % 3) << GROUP_SHIFT);
  const scales = new Float32Array(rows * stride), errors = new Float32Array(w.length);
  binarizeRows(codes, scales, { ...shape, rows, w, rank, pruned: 0 });
  const process = (from: number, to: number) => {
    const part = <T extends Float32Array | Uint8Array>(x: T, width: number) => x.slice(from * width, to * width) as T;
    const own = { ...shape, rows: to - from, w: part(w, cols), rank: part(rank, cols), gram: s };
    const result = { codes: part(codes, cols), scales: part(scales, stride), errors: part(errors, cols) };
    alternateRounds(result.scales, {
      ...own,
      ...result,
      errors: undefined,
      pruned: 4,
      schedule: "stepwise",
      iterations: 15,
    });
    pruneCodes(result.codes, own.rank, 4);
    jointSolution(result.scales, { ...own, codes: result.codes, target: multiply(own.w, s, cols) });
    resignSweep(result.codes, { ...own, scales: result.scales, residual: own.w });
    columnwiseSweep(result.codes, result.errors, { ...own, scales: result.scales, factor: s });
    return result;
  };
  const whole = process(0, rows);
  for (let r = 0; r < rows; r++) {
    const alone = process(r, r + 1);
    assert.deepEqual(alone.codes, whole.codes.slice(r * cols, (r + 1) * cols));
    assert.deepEqual(alone.scales, whole.scales.slice(r * stride, (r + 1) * stride));
    assert.deepEqual(alone.errors, whole.errors.slice(r * cols, (r + 1) * cols));
  }
});
