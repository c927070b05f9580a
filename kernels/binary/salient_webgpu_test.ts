import assert from "node:assert/strict";
import { gpuSearchSalient } from "./salient_webgpu.ts";
import { orderColumns, salientErrors, type SalientOptions, salientSearch } from "./salient.ts";
import { KINDS, uniform, weights } from "./row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "./row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

const SHAPES: readonly (Pick<SalientOptions, "rows" | "cols" | "most" | "pruned" | "coarse">)[] = [
  { rows: 1, cols: 1, most: 49, pruned: 0 },
  { rows: 3, cols: 2, most: 49, pruned: 0 },
  { rows: 67, cols: 53, most: 49, pruned: 3 },
  { rows: 131, cols: 128, most: 20, pruned: 4 },
  { rows: 9, cols: 24, most: 49, pruned: 8 },
  { rows: 31, cols: 128, most: 49, pruned: 0, coarse: true },
  { rows: 5, cols: 9, most: 49, pruned: 4, coarse: true },
];

for (const shape of SHAPES) {
  const { rows, cols, most, pruned, coarse } = shape;
  gpuTest(
    `gpuSearchSalient() of ${rows}×${cols} weights, ${pruned} pruned${
      coarse ? ", coarse" : ""
    }, marks the CPU's columns`,
    async (context) => {
      for (const kind of KINDS) {
        for (const weighted of [false, true]) {
          const values = weights(kind, rows, cols, 3), score = weights("heavy", rows, cols, 8), next = uniform(4);
          const rank = Uint8Array.from(values, () => Math.floor(8 * next()));
          const columnWeight = weighted ? Float32Array.from({ length: cols }, () => 0.2 + 5 * next()) : undefined;
          const seen = { values, columnWeight, rank, pruned, rows, cols };
          const wanted = new Uint8Array(cols), out = gpuMatrix(context, "u8", new Uint8Array(cols).fill(7), 1);
          salientSearch(wanted, { ...seen, score, most, coarse });
          gpuSearchSalient(context, out, {
            score: gpuMatrix(context, "f32", score, rows),
            values: gpuMatrix(context, "f32", values, rows),
            columnWeight: columnWeight && gpuMatrix(context, "f32", columnWeight, 1),
            rank: gpuMatrix(context, "u8", rank, rows),
            pruned,
            most,
            coarse,
          });
          const found = withoutOffset((await context.download([out.buffer]))[0]);
          if (found.every((mark, c) => mark === wanted[c])) continue;
          // Only a tie may be decided otherwise: as many leading columns with the same error.
          const order = orderColumns({ score, rows, cols }), count = found.reduce((a, b) => a + b, 0);
          assert.deepEqual(Array.from(order.subarray(0, count), (c) => found[c]), Array<number>(count).fill(1));
          const errors = salientErrors(seen, order.subarray(0, Math.min(most, cols - 1)));
          const energy = values.reduce((a, b, i) => a + (columnWeight?.[i % cols] ?? 1) * b * b, 0);
          assert.ok(errors[count - 1] - Math.min(...errors) <= 1e-9 * energy, `${kind}: ${count} columns`);
        }
      }
    },
  );
}

gpuTest("gpuSearchSalient() takes the first of equal columns, and the fewest of equal error", async (context) => {
  const rows = 3, cols = 70, score = new Float32Array(rows * cols).fill(2);
  for (const values of [new Float32Array(rows * cols), weights("heavy", rows, cols, 6)]) {
    const seen = { pruned: 0, most: 49 }, rank = new Uint8Array(rows * cols), wanted = new Uint8Array(cols);
    const out = gpuMatrix(context, "u8", new Uint8Array(cols), 1);
    salientSearch(wanted, { ...seen, score, values, rank, rows, cols });
    gpuSearchSalient(context, out, {
      ...seen,
      score: gpuMatrix(context, "f32", score, rows),
      values: gpuMatrix(context, "f32", values, rows),
      rank: gpuMatrix(context, "u8", rank, rows),
    });
    assert.deepEqual(withoutOffset((await context.download([out.buffer]))[0]), wanted);
  }
});
