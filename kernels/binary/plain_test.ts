import assert from "node:assert/strict";
import { GROUP_SHIFT, KEPT, SIGN } from "./quantized_layer.ts";
import { plainRows, rescaleRows } from "./plain.ts";
import { gram, multiply, uniform, weights } from "./row_kernels_test_support.ts";

Deno.test("plainRows() takes sign(0) as +1, keeps nothing of pruned weights, and scales empty rows by 0", () => {
  const codes = new Uint8Array(6), scales = new Float32Array(4), rank = Uint8Array.of(1, 1, 0, 0, 0, 0);
  plainRows(codes, scales, { w: Float32Array.of(0, -3, 5, 1, 1, 1), rank, rows: 2, cols: 3, pruned: 1 });
  const segment = 1 << GROUP_SHIFT;
  assert.deepEqual([...codes], [segment | KEPT | SIGN, segment | KEPT, segment, segment, segment, segment]);
  assert.deepEqual([...scales], [0, 1.5, 0, 0]);
});

Deno.test("rescaleRows() leaves each row at the least S-weighted error, wherever it begins", () => {
  const rows = 5, cols = 24, w = weights("heavy", rows, cols, 3), s = gram(cols, 4), next = uniform(5);
  const signs = Float32Array.from(w, (value) => next() < 0.2 ? 0 : Math.sign(value) * (next() < 0.1 ? -1 : 1));
  const error = (scale: (row: number) => number) => {
    const rest = w.map((value, i) => value - scale(Math.floor(i / cols)) * signs[i]), through = multiply(rest, s, cols);
    return Array.from({ length: rows }, (_, r) => {
      let sum = 0;
      for (let c = r * cols; c < (r + 1) * cols; c++) sum += rest[c] * through[c];
      return sum;
    });
  };
  for (const start of [1, 0.01, 30]) {
    const scales = new Float32Array(2 * rows).map((_, i) => i % 2 * start), decoded = signs.map((sign) => sign * start);
    rescaleRows(scales, { decoded, target: multiply(w, s, cols), product: multiply(decoded, s, cols), rows, cols });
    const best = error((row) => scales[2 * row + 1]);
    for (const factor of [0.99, 1.01]) {
      const other = error((row) => factor * scales[2 * row + 1]);
      for (let r = 0; r < rows; r++) assert.ok(best[r] < other[r]);
    }
  }
});
