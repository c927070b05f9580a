/** Scores and ranks of every device against the row kernels. Given equal scores, ranks are equal, ties too. */
import assert from "node:assert/strict";
import { allClose, allEqual, FLOAT, RUN_SIZES, type RunSize, zeros } from "../conformance_test_support.ts";
import { type Device, type Matrix, matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { absoluteSumsOf, importanceOf, type ImportanceOptions, relativeMoments } from "./importance.ts";
import { type Kind, uniform, weights } from "../binary/row_kernels_test_support.ts";
import { rankNM } from "./select.ts";
import { absoluteSums, importance } from "./importance_ops.ts";
import { rank } from "./select_op.ts";

deviceCases("absoluteSums() are float64's", RUN_SIZES, async (device, { rows, cols }) => {
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
function scoresOf(device: Device, { rows, cols }: RunSize) {
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

deviceCases("importance() is the row kernel's for every metric", RUN_SIZES, async (device, size) => {
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

deviceCases("importance() and rank() keep the same weights away from ties", RUN_SIZES, async (device, size) => {
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

deviceCases("rank() of equal scores is equal, ties too", RUN_SIZES, async (device, { rows, cols, of }) => {
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

function upload(device: Device, data: Float32Array, rows: number): Matrix {
  return matrix(device.upload("f32", data.slice()), rows, data.length / rows);
}
