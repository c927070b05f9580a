import assert from "node:assert/strict";
import { absoluteSumsOf, type ImportanceMetric, importanceOf, relativeMoments } from "./importance.ts";
import { difference, normal, uniform } from "../binary/row_kernels_test_support.ts";

const rows = 7, cols = 16, firstColumn = 16;
const next = normal(1), positive = uniform(2);
const w = Float32Array.from({ length: rows * cols }, () => next());
w.fill(0, 3 * cols, 4 * cols);
for (let r = 0; r < rows; r++) w[r * cols + 5] = 0;
const diagonalU = Float32Array.from({ length: cols }, () => 0.1 + positive());
const inverseDiagonal = Float32Array.from({ length: cols }, () => 0.1 + positive());
const inputNorm = Float32Array.from({ length: cols }, () => 0.1 + positive());
const { rowSums, columnSums } = absoluteSumsOf(w, rows, cols);
const moments = relativeMoments(w, rowSums, columnSums);
const all = { rows, cols, diagonalU, inverseDiagonal, inputNorm, rowSums, columnSums, moments, seed: 9, firstColumn };

function relative(v: number, r: number, c: number): number {
  const a = Math.abs(v);
  return a === 0 ? 0 : a / columnSums[c] + a / rowSums[r];
}

const formulas: Record<Exclude<ImportanceMetric, "random">, (v: number, r: number, c: number) => number> = {
  "hessian": (v, _, c) => v ** 2 / diagonalU[c] ** 2,
  "hessian-squared": (v, _, c) => v ** 2 / inverseDiagonal[c] ** 2,
  "magnitude": (v) => Math.abs(v),
  "wanda": (v, _, c) => Math.abs(v) * inputNorm[c],
  "ria": (v, r, c) => relative(v, r, c) * Math.sqrt(inputNorm[c]),
  "si": (v, r, c) => (relative(v, r, c) - moments.mean) / moments.deviation * inputNorm[c],
};

for (const [metric, formula] of Object.entries(formulas)) {
  Deno.test(`importanceOf() by ${metric} is its formula in float64`, () => {
    const out = new Float32Array(rows * cols).fill(NaN);
    importanceOf(out, w, { ...all, metric: metric as ImportanceMetric });
    const wanted = Float64Array.from(w, (v, at) => formula(v, Math.floor(at / cols), at % cols));
    assert.ok(difference(out, wanted) < 1e-6);
  });
}

Deno.test("importanceOf() by random depends on seed, row and column of the layer only", () => {
  const whole = new Float32Array(rows * 2 * cols), part = new Float32Array(rows * cols);
  importanceOf(whole, new Float32Array(rows * 2 * cols), { rows, cols: 2 * cols, metric: "random", seed: 3 });
  importanceOf(part, w, { ...all, metric: "random", seed: 3 });
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) assert.equal(part[r * cols + c], whole[r * 2 * cols + firstColumn + c]);
  }
  const other = new Float32Array(rows * cols);
  importanceOf(other, w, { ...all, metric: "random", seed: 4 });
  assert.notDeepEqual(part, other);
  assert.ok(new Set(whole).size > whole.length - 2);
  assert.ok(Math.abs(whole.reduce((a, b) => a + b) / whole.length - 0.5) < 0.08);
});

Deno.test("importanceOf() names the missing vector", () => {
  assert.throws(() => importanceOf(new Float32Array(1), new Float32Array(1), { rows: 1, cols: 1, metric: "hessian" }), {
    name: "TypeError",
    message: 'Cannot score weights by metric "hessian" as "diagonalU" is missing',
  });
});

Deno.test("relativeMoments() are mean and deviation over the layer", () => {
  const x = Array.from(w, (v, at) => relative(v, Math.floor(at / cols), at % cols));
  const mean = x.reduce((a, b) => a + b) / x.length;
  const deviation = Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length);
  assert.ok(Math.abs(moments.mean - mean) < 1e-9 && Math.abs(moments.deviation - deviation) < 1e-9);
});
