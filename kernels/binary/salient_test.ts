import assert from "node:assert/strict";
import { orderColumns, salientErrors, type SalientOptions, salientSearch } from "./salient.ts";
import { KINDS, residual, uniform, weights } from "./row_kernels_test_support.ts";

/** Σ weight_j·(value − level)² with both sides of each row binarized from scratch. */
function bruteErrors(options: Omit<SalientOptions, "score" | "most">, leading: Uint32Array): number[] {
  const { values, columnWeight, rank, pruned, rows, cols } = options;
  return Array.from(leading, (_, k) => {
    const inside = new Set(leading.subarray(0, k + 1));
    let error = 0;
    for (let r = 0; r < rows; r++) {
      for (const side of [true, false]) {
        const columns = Array.from({ length: cols }, (_, c) => c)
          .filter((c) => inside.has(c) === side && rank[r * cols + c] >= pruned);
        const x = columns.map((c) => values[r * cols + c]);
        residual(x, 2).forEach((q, i) => error += (columnWeight?.[columns[i]] ?? 1) * (x[i] - q) ** 2);
      }
    }
    return error;
  });
}

for (const kind of KINDS) {
  for (const [cols, most, pruned] of [[24, 23, 0], [61, 49, 3], [2, 1, 0], [16, 49, 7]]) {
    Deno.test(`salientErrors() on ${kind} weights, ${cols} columns, ${pruned} pruned, equal brute force`, () => {
      const rows = 9, values = weights(kind, rows, cols, 3), next = uniform(4);
      const rank = Uint8Array.from(values, () => Math.floor(8 * next()));
      const columnWeight = Float32Array.from({ length: cols }, () => 0.2 + 5 * next());
      const leading = orderColumns({ score: weights("heavy", rows, cols, 8), rows, cols })
        .subarray(0, Math.min(most, cols - 1));
      const energy = values.reduce((a, b) => a + b * b, 1e-12);
      for (const weight of [undefined, columnWeight]) {
        const options = { values, columnWeight: weight, rank, pruned, rows, cols };
        const wanted = bruteErrors(options, leading);
        salientErrors(options, leading).forEach((e, k) =>
          assert.ok(Math.abs(e - wanted[k]) < 1e-10 * energy, `count ${k + 1}: ${e} instead of ${wanted[k]}`)
        );
      }
    });
  }
}

Deno.test("salientSearch() takes the leading columns with the least error", () => {
  const rows = 20, cols = 32, values = weights("normal", rows, cols, 5);
  for (let r = 0; r < rows; r++) for (const c of [3, 17, 30]) values[r * cols + c] *= 20;
  const score = values.map((v) => v * v), rank = new Uint8Array(rows * cols);
  const options = { score, values, rank, pruned: 0, rows, cols, most: 49 };
  const salient = new Uint8Array(cols).fill(9);
  salientSearch(salient, options);
  const leading = orderColumns(options).subarray(0, cols - 1), errors = bruteErrors(options, leading);
  const count = errors.indexOf(Math.min(...errors)) + 1;
  assert.equal(count, 3);
  assert.deepEqual(Array.from(salient.keys()).filter((c) => salient[c] === 1), [3, 17, 30]);
});

/** The prototype's walk over counts, written from its description: `error` by count. */
function coarseCount(error: (count: number) => number, limit: number): number {
  const least = (counts: readonly number[]) =>
    counts.filter((k) => k >= 1 && k <= limit).reduce((a, b) => error(b) < error(a) ? b : a);
  const first = least([1, 7, 13, 19, 25, 31, 37, 43, 49]);
  const second = least([first - 6, first - 3, first, first + 3, first + 6]);
  return least([second - 2, second - 1, second, second + 1, second + 2]);
}

Deno.test("salientSearch() on a coarse grid walks as the prototype, and can miss the least error", () => {
  let missed = 0;
  for (const cols of [3, 12, 50, 64]) {
    for (let seed = 1; seed <= 8; seed++) {
      const rows = 6, values = weights("heavy", rows, cols, seed), score = weights("heavy", rows, cols, seed + 50);
      const options = { score, values, rank: new Uint8Array(rows * cols), pruned: 0, rows, cols };
      const limit = Math.min(49, cols - 1);
      const errors = salientErrors(options, orderColumns(options).subarray(0, limit));
      const salient = new Uint8Array(cols);
      salientSearch(salient, { ...options, most: 49, coarse: true });
      const count = salient.reduce((a, b) => a + b, 0);
      assert.equal(count, coarseCount((k) => errors[k - 1], limit), `${cols} columns, seed ${seed}`);
      if (errors[count - 1] > Math.min(...errors)) missed++;
    }
  }
  assert.ok(missed > 0);
});

Deno.test("orderColumns() goes by the size of the scores, equal ones by index", () => {
  const order = orderColumns({ score: Float32Array.of(1, -3, 2, 1, -3, 2), rows: 2, cols: 3 });
  assert.deepEqual(order, Uint32Array.of(1, 2, 0));
  assert.deepEqual(
    orderColumns({ score: new Float32Array(5).fill(2), rows: 1, cols: 5 }),
    Uint32Array.of(0, 1, 2, 3, 4),
  );
});

Deno.test("salientSearch() takes the fewest columns of equal error", () => {
  const salient = new Uint8Array(8), values = new Float32Array(16), rank = new Uint8Array(16);
  salientSearch(salient, { score: values, values, rank, pruned: 0, rows: 2, cols: 8, most: 49 });
  assert.deepEqual(salient, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
});

Deno.test("salientSearch() leaves one column on the other side and nothing of a single column", () => {
  const one = Uint8Array.of(1);
  const shape = { rank: new Uint8Array(2), pruned: 0, rows: 1, most: 49 };
  salientSearch(one, { ...shape, score: Float32Array.of(1), values: Float32Array.of(1), cols: 1 });
  assert.deepEqual(one, Uint8Array.of(0));
  const two = new Uint8Array(2);
  salientSearch(two, { ...shape, score: Float32Array.of(1, 1), values: Float32Array.of(1, 5), cols: 2 });
  assert.deepEqual(two, Uint8Array.of(1, 0));
});
