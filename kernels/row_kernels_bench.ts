/**
 * What the row kernels cost: nanoseconds per weight and seconds per SmolLM2-135M transformer block (3.54 M weights),
 * each on one 576 × 128 column block. Run: `deno run kernels/row_kernels_bench.ts`
 */

import { alternateRounds } from "./alternate.ts";
import { startScales } from "./binarize.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { decodeBlock } from "./decode.ts";
import { importance } from "./importance.ts";
import { solveJoint } from "./joint.ts";
import { resignSweep } from "./resign.ts";
import { gram, multiply, weights } from "./row_kernels_test_support.ts";
import { searchSalient } from "./salient.ts";
import { searchSegments } from "./segments.ts";
import { pruneCodes, rankNM } from "./select.ts";

const rows = 576, cols = 128, of = 8, pruned = 4, segments = 3, salient = true, blockWeights = 3_538_944;
const shape = { rows, cols, segments, salient };

/** Least of several runs, in nanoseconds per weight; `before` is not timed. */
function time(name: string, body: () => void, before: () => void = () => {}): number {
  let best = Infinity;
  for (let run = 0; run < 40; run++) {
    before();
    const start = performance.now();
    body();
    best = Math.min(best, performance.now() - start);
  }
  const perWeight = best * 1e6 / (rows * cols);
  console.log(
    `${name.padEnd(28)} ${perWeight.toFixed(1).padStart(7)} ns  ${(perWeight * blockWeights / 1e9).toFixed(3)} s`,
  );
  return perWeight;
}

const w = weights("normal", rows, cols, 1), s = gram(cols, 2);
const score = new Float32Array(w.length), rank = new Uint8Array(w.length), codes = new Uint8Array(w.length);
const columns = new Uint8Array(cols), stride = 9, scales = new Float32Array(rows * stride);
const diagonalU = Float32Array.from({ length: cols }, (_, c) => 1 / Math.sqrt(s[c * cols + c]));
console.log(`${rows} × ${cols}, ${of - pruned} of ${of}, ${segments} segments`.padEnd(28), "per weight  per block");
const recipe = [
  time("importance", () => importance(score, w, { rows, cols, metric: "hessian", diagonalU })),
  time("rankNM", () => rankNM(rank, score, { rows, cols, of, type: "semi-structured" })),
  time(
    "searchSalient, all seen",
    () => searchSalient(columns, { score, values: w, rank, pruned: 0, rows, cols, most: 49 }),
  ),
  time(
    "searchSegments, two cuts",
    () =>
      searchSegments(codes, {
        w,
        salient: columns,
        rank,
        pruned: 0,
        rows,
        cols,
        splitPoints: 2,
        search: "free",
        candidates: 40,
      }),
  ),
  time("startScales", () => startScales(codes, scales, { w, rank, ...shape, pruned: 0 })),
];
const start = { codes: codes.slice(), scales: scales.slice() };
const reset = () => scales.set(start.scales);
const options = { w, gram: s, codes, rank, ...shape, pruned, iterations: 15 };
recipe.push(
  time("alternateRounds, stepwise", () => alternateRounds(scales, { ...options, schedule: "stepwise" }), reset),
);
recipe.push(time("pruneCodes", () => pruneCodes(codes, rank, pruned), () => codes.set(start.codes)));
const decoded = new Float32Array(w.length);
recipe.push(time("decodeBlock", () => decodeBlock(decoded, { codes, scales, ...shape })));
const total = recipe.reduce((a, b) => a + b);
console.log(
  `${"all of the default recipe".padEnd(28)} ${total.toFixed(1).padStart(7)} ns  ${
    (total * blockWeights / 1e9).toFixed(3)
  } s`,
);
console.log("options");
time("alternateRounds, oneshot", () => alternateRounds(scales, { ...options, schedule: "oneshot" }), reset);
const target = multiply(w, s, cols);
time("solveJoint", () => solveJoint(scales, { target, gram: s, codes, ...shape }));
decodeBlock(decoded, { codes, scales, ...shape });
const residual = multiply(w.map((v, i) => v - decoded[i]), s, cols), signed = codes.slice();
time(
  "resignSweep, the first",
  () => resignSweep(codes, { residual, gram: s, scales, ...shape }),
  () => codes.set(signed),
);
const factor = Float32Array.from(s, (v, i) => i % cols === Math.floor(i / cols) ? 1 : 0.01 * v);
const errors = new Float32Array(w.length);
time("columnwiseSweep", () => columnwiseSweep(codes, errors, { w, factor, scales, ...shape }), () => codes.set(signed));
time("rankNM, unstructured", () => rankNM(rank, score, { rows, cols, of, type: "unstructured" }));
