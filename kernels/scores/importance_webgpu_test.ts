import assert from "node:assert/strict";
import { matrix } from "../device.ts";
import { absoluteSumsOf, type ImportanceMetric, importanceOf, relativeMoments } from "./importance.ts";
import { gpuAbsoluteSums, gpuImportance } from "./importance_webgpu.ts";
import { KINDS, uniform, weights } from "../binary/row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "../binary/row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";
import { openGpuContext } from "../gpu/context.ts";

const METRICS: readonly ImportanceMetric[] = [
  "hessian",
  "hessian-squared",
  "magnitude",
  "wanda",
  "ria",
  "si",
  "random",
];

/** |found − wanted| ≤ tolerance · |wanted| everywhere. */
function near(found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number): void {
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < wanted.length; i++) {
    if (!(Math.abs(found[i] - wanted[i]) <= tolerance * Math.abs(wanted[i]))) {
      assert.fail(`${i}: ${found[i]} is not ${wanted[i]}`);
    }
  }
}

gpuTest("gpuImportance() is the CPU's for every metric", async (context) => {
  for (const [rows, cols] of [[1, 1], [67, 53], [5, 129]]) {
    for (const kind of KINDS) {
      const w = weights(kind, rows, cols, rows), next = uniform(5);
      const vector = Float32Array.from({ length: cols }, () => 0.01 + 9 * next()), sums = absoluteSumsOf(w, rows, cols);
      const moments = relativeMoments(w, sums.rowSums, sums.columnSums);
      const rounded = { mean: Math.fround(moments.mean), deviation: Math.fround(moments.deviation) };
      const dw = gpuMatrix(context, "f32", w, rows), dVector = gpuMatrix(context, "f32", vector, 1);
      const common = { seed: 77, firstColumn: 128 };
      const dOptions = {
        ...common,
        diagonalU: dVector,
        inverseDiagonal: dVector,
        inputNorm: dVector,
        rowSums: gpuMatrix(context, "f32", sums.rowSums, 1),
        columnSums: gpuMatrix(context, "f32", sums.columnSums, 1),
        moments: gpuMatrix(context, "f32", Float32Array.of(rounded.mean, rounded.deviation), 1),
      };
      const outs = METRICS.map((metric) => {
        const out = gpuMatrix(context, "f32", new Float32Array(w.length), rows);
        gpuImportance(context, out, dw, { metric, ...dOptions });
        return out;
      });
      const found = await context.download(outs.map(({ buffer }) => buffer));
      METRICS.forEach((metric, i) => {
        const wanted = new Float32Array(w.length), options = { ...common, ...sums, rows, cols, metric };
        importanceOf(wanted, w, {
          ...options,
          diagonalU: vector,
          inverseDiagonal: vector,
          inputNorm: vector,
          moments: rounded,
        });
        const scores = withoutOffset(found[i]);
        let differing = 0;
        wanted.forEach((x, at) => differing += Number(x !== scores[at]));
        // Differences of equal numbers: z-scores about 0 keep only the absolute size.
        if (metric === "si") near(scores.map((x) => x + 100), wanted.map((x) => x + 100), 2 ** -23);
        else near(scores, wanted, 2 ** -23);
        // Float64 is halfway between two floats as far as pairs can tell, once in millions.
        assert.ok(metric === "si" || differing <= 1, `${metric} of ${kind} ${rows}×${cols}: ${differing} differ`);
      });
    }
  }
});

gpuTest("gpuAbsoluteSums() rounds the sums of float64", async (context) => {
  for (const [rows, cols] of [[1, 1], [67, 53], [300, 130], [1, 1000], [1000, 1]]) {
    const w = weights("heavy", rows, cols, cols), sums = absoluteSumsOf(w, rows, cols);
    const { mean, deviation } = relativeMoments(w, sums.rowSums, sums.columnSums);
    const zeros = (length: number) => gpuMatrix(context, "f32", new Float32Array(length), 1);
    const out = [zeros(rows), zeros(cols), zeros(2)] as const;
    gpuAbsoluteSums(context, ...out, gpuMatrix(context, "f32", w, rows));
    const [rowSums, columnSums, moments] = await context.download(out.map(({ buffer }) => buffer));
    assert.deepEqual(withoutOffset(rowSums), sums.rowSums);
    assert.deepEqual(withoutOffset(columnSums), sums.columnSums);
    near(withoutOffset(moments).subarray(0, 1), [mean], 2 ** -22);
    assert.ok(Math.abs(moments[4] - deviation) <= 2 ** -21 * (deviation + 2 ** -3 * mean));
  }
});

gpuTest("gpuAbsoluteSums() reads a matrix that no binding holds in windows", async () => {
  const context = await openGpuContext({ maxBindingSize: 4096 });
  const rows = 131, cols = 97, w = weights("normal", rows, cols, 1), sums = absoluteSumsOf(w, rows, cols);
  const out = [rows, cols, 2].map((length) => matrix(context.scratch("f32", length), 1, length));
  gpuAbsoluteSums(context, out[0], out[1], out[2], gpuMatrix(context, "f32", w, rows));
  const [rowSums, columnSums] = await context.download(out.map(({ buffer }) => buffer));
  context.destroy();
  assert.deepEqual(rowSums, sums.rowSums);
  assert.deepEqual(columnSums, sums.columnSums);
});

gpuTest("gpuImportance() names what a metric lacks", (context) => {
  const w = gpuMatrix(context, "f32", new Float32Array(4), 2);
  assert.throws(() => gpuImportance(context, w, w, { metric: "hessian" }), /"diagonalU" is missing/);
  assert.throws(() => gpuImportance(context, w, w, { metric: "random" }), /"seed" is missing/);
});
