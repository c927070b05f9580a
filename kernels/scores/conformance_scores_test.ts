/**
 * Scores, ranks and searches of every device against the row kernels. Given equal scores, ranks are equal, ties too;
 * given equal weights, masks and cuts are equal away from ties.
 */
import assert from "node:assert/strict";
import { allClose, allEqual, FLOAT, zeros } from "../conformance_test_support.ts";
import { type Device, type Matrix, matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { absoluteSumsOf, importanceOf, type ImportanceOptions, relativeMoments } from "./importance.ts";
import { type Kind, uniform, weights } from "../binary/row_kernels_test_support.ts";
import {
  orderColumns,
  salientErrors,
  salientSearch,
  searchSalient,
  searchSegments,
  segmentGains,
  type SegmentOptions,
  segmentSearch,
} from "../binary/ops.ts";
import { rankNM } from "./select.ts";
import { absoluteSums, importance } from "./importance_ops.ts";
import { rank } from "./select_op.ts";

/** Runs are as long as `of` says, and columns a multiple of it. */
const SIZES = {
  "1×1": { rows: 1, cols: 1, of: 1 },
  "primes, 13×53 of 53": { rows: 13, cols: 53, of: 53 },
  "primes, 61×35 of 7": { rows: 61, cols: 35, of: 7 },
  "workgroup + 1, 65×129 of 3": { rows: 65, cols: 129, of: 3 },
  "short last block, 29×44 of 4": { rows: 29, cols: 44, of: 4 },
  "576 wide": { rows: 7, cols: 576, of: 8 },
  "1536 wide": { rows: 3, cols: 1536, of: 8, slow: true },
  "4096 wide": { rows: 2, cols: 4096, of: 32 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, of: 8, slow: true },
};

interface Size {
  readonly rows: number;
  readonly cols: number;
  readonly of: number;
}

deviceCases("absoluteSums() are float64's", SIZES, async (device, { rows, cols }) => {
  const w = weights("heavy", rows, cols, 1), sums = absoluteSumsOf(w, rows, cols);
  const { mean, deviation } = relativeMoments(w, sums.rowSums, sums.columnSums);
  const row = zeros(device, 1, rows), column = zeros(device, 1, cols), moments = zeros(device, 1, 2);
  device.run(absoluteSums, row, column, moments, upload(device, w, rows));
  const found = await device.download([row.buffer, column.buffer, moments.buffer]);
  found[0].forEach((x, r) => assert.ok(Math.abs(x - sums.rowSums[r]) <= 2 * FLOAT * x, `row ${r}`));
  found[1].forEach((x, c) => assert.ok(Math.abs(x - sums.columnSums[c]) <= 2 * FLOAT * x, `column ${c}`));
  allClose(found[2], [mean, deviation], 4 * FLOAT, "moments");
});

/** Scores of every metric on the CPU, and as a device makes them. */
function scoresOf(device: Device, { rows, cols }: Size) {
  const w = weights("heavy", rows, cols, 2), next = uniform(3), dw = upload(device, w, rows);
  const vector = Float32Array.from({ length: cols }, () => 0.01 + 9 * next()), dVector = upload(device, vector, 1);
  const sums = absoluteSumsOf(w, rows, cols), moments = relativeMoments(w, sums.rowSums, sums.columnSums);
  const rounded = { mean: Math.fround(moments.mean), deviation: Math.fround(moments.deviation) };
  const dSums = {
    rowSums: upload(device, sums.rowSums, 1),
    columnSums: upload(device, sums.columnSums, 1),
    moments: upload(device, Float32Array.of(rounded.mean, rounded.deviation), 1),
  };
  const metrics = ["hessian", "hessian-squared", "magnitude", "wanda", "ria", "si", "random"] as const;
  return metrics.map((metric) => {
    const given = { metric, seed: 77, firstColumn: 128 } as const, out = zeros(device, rows, cols);
    const vectors: Pick<ImportanceOptions, "diagonalU" | "inverseDiagonal" | "inputNorm"> = {
      diagonalU: vector,
      inverseDiagonal: vector,
      inputNorm: vector,
    };
    const dVectors = { diagonalU: dVector, inverseDiagonal: dVector, inputNorm: dVector };
    const wanted = new Float32Array(w.length);
    importanceOf(wanted, w, { ...given, ...vectors, ...sums, moments: rounded, rows, cols });
    device.run(importance, out, dw, { ...given, ...dVectors, ...dSums });
    return { metric, wanted, out };
  });
}

deviceCases("importance() is the row kernel's for every metric", SIZES, async (device, size) => {
  const scores = scoresOf(device, size), found = await device.download(scores.map(({ out }) => out.buffer));
  scores.forEach(({ metric, wanted }, i) => {
    if (metric === "random") return allEqual(found[i], wanted, metric);
    // A score of "si" is what is left of the mean.
    const most = metric === "si" ? wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0) : 0;
    wanted.forEach((x, at) => {
      const bound = 8 * FLOAT * Math.max(Math.abs(x), most);
      if (!(Math.abs(found[i][at] - x) <= bound)) assert.fail(`${metric} at ${at}: ${found[i][at]}, not ${x}`);
    });
  });
});

deviceCases("importance() and rank() keep the same weights away from ties", SIZES, async (device, size) => {
  const { rows, cols, of } = size, pruned = Math.floor(of / 2), scores = scoresOf(device, size);
  const ranks = scores.map(({ out }) => {
    const to = matrix(device.alloc("u8", rows * cols), rows, cols);
    device.run(rank, to, out, { of, type: "semi-structured" });
    return to.buffer;
  });
  const found = await device.download(ranks);
  let tied = 0;
  scores.forEach(({ metric, wanted }, i) => {
    const rank = new Uint8Array(wanted.length);
    rankNM(rank, wanted, { rows, cols, of, type: "semi-structured" });
    const most = metric === "si" ? wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0) : 0;
    for (let start = 0; start < rank.length; start += of) {
      const run = Array.from({ length: of }, (_, j) => start + j), kept = run.filter((at) => rank[at] >= pruned);
      assert.equal(run.filter((at) => found[i][at] >= pruned).length, kept.length);
      // A tie: a score so near to the least one that is kept that rounding decides.
      const least = Math.min(...kept.map((at) => wanted[at]));
      for (const at of run) {
        if ((found[i][at] >= pruned) === (rank[at] >= pruned)) continue;
        tied++;
        const margin = 16 * FLOAT * Math.max(Math.abs(least), most);
        assert.ok(Math.abs(wanted[at] - least) <= margin, `${metric} at ${at}: ${wanted[at]} against ${least}`);
      }
    }
  });
  assert.ok(tied <= 1e-3 * rows * cols * scores.length, `${tied} ties`);
});

deviceCases("rank() of equal scores is equal, ties too", SIZES, async (device, { rows, cols, of }) => {
  const types = ["semi-structured", "unstructured", "structured", "none"] as const;
  const cases = (["normal", "integers"] satisfies Kind[]).flatMap((kind) => {
    const score = weights(kind, rows, cols, 4), dScore = upload(device, score, rows);
    return types.map((type) => {
      const wanted = new Uint8Array(score.length), out = matrix(device.alloc("u8", score.length), rows, cols);
      rankNM(wanted, score, { rows, cols, of, type });
      device.run(rank, out, dScore, { of, type });
      return { what: `${type} of ${kind}`, wanted, out };
    });
  });
  const found = await device.download(cases.map(({ out }) => out.buffer));
  cases.forEach(({ what, wanted }, i) => allEqual(found[i], wanted, what));
});

/** Weights that a search sees, in both kinds of memory. */
function seenBlock(device: Device, { rows, cols, of }: Size) {
  const next = uniform(6), w = weights("heavy", rows, cols, 5);
  const rank = Uint8Array.from(w, () => Math.floor(of * next())), pruned = Math.floor(of / 2);
  const columnWeight = Float32Array.from({ length: cols }, () => 0.2 + 5 * next());
  const marks = Uint8Array.from({ length: cols }, () => next() < 0.1 ? 1 : 0);
  return {
    host: { w, rank, pruned, columnWeight, marks },
    there: {
      w: upload(device, w, rows),
      rank: matrix(device.upload("u8", rank.slice()), rows, cols),
      columnWeight: upload(device, columnWeight, 1),
      marks: matrix(device.upload("u8", marks.slice()), 1, cols),
    },
  };
}

deviceCases("searchSalient() marks the same columns away from ties", SIZES, async (device, size) => {
  const { rows, cols } = size, { host, there } = seenBlock(device, size), { pruned, rank, columnWeight } = host;
  const score = weights("heavy", rows, cols, 8), most = 49, seen = { values: host.w, columnWeight, rank, pruned };
  const wanted = new Uint8Array(cols), out = matrix(device.alloc("u8", cols), 1, cols);
  salientSearch(wanted, { ...seen, score, rows, cols, most });
  device.run(searchSalient, out, { ...there, values: there.w, score: upload(device, score, rows), pruned, most });
  const [found] = await device.download([out.buffer]);
  if (found.every((mark, c) => mark === wanted[c])) return;
  // A tie: as many leading columns with the same error but for float64's rounding.
  const order = orderColumns({ score, rows, cols }), count = found.reduce((a, b) => a + b, 0);
  for (const c of order.subarray(0, count)) assert.equal(found[c], 1);
  const errors = salientErrors({ ...seen, rows, cols }, order.subarray(0, Math.min(most, cols - 1)));
  const energy = host.w.reduce((sum, x, at) => sum + columnWeight[at % cols] * x * x, 0);
  assert.ok(errors[count - 1] - Math.min(...errors) <= 1e-9 * energy, `${count} columns`);
});

deviceCases("searchSegments() cuts at the same places away from ties", SIZES, async (device, size) => {
  const { rows, cols } = size, { host, there } = seenBlock(device, size);
  for (const search of ["free", "doubled"] as const) {
    const cuts = { splitPoints: 2, search, candidates: 40 } as const;
    const options = { ...host, ...cuts, salient: host.marks, rows, cols };
    const wanted = new Uint8Array(rows * cols), out = matrix(device.alloc("u8", rows * cols), rows, cols);
    segmentSearch(wanted, options);
    device.run(searchSegments, out, { ...there, ...cuts, salient: there.marks, pruned: host.pruned });
    const [found] = await device.download([out.buffer]);
    if (found.every((code, at) => code === wanted[at])) continue;
    const [a, b] = [gainOf(options, found), gainOf(options, wanted)];
    assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${search}: a gain of ${a} instead of ${b}`);
  }
});

/** What the groups of seen weights take away from the squared error. */
function gainOf(options: SegmentOptions, codes: Uint8Array): number {
  // Groups stand in for |w|, so that bins are groups.
  const { gain, bins } = segmentGains(
    { ...options, values: options.w, w: Float32Array.from(codes) },
    Float32Array.of(12, 20, 28),
  );
  let total = 0;
  for (let b = 0; b < bins; b++) total += gain[b * (bins + 1) + b + 1];
  return total;
}

function upload(device: Device, data: Float32Array, rows: number): Matrix {
  return matrix(device.upload("f32", data.slice()), rows, data.length / rows);
}
