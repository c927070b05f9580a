import assert from "node:assert/strict";
import { eachStrip, stripBits, stripsOf } from "./strips.ts";

/** Strips of weights of some size each, as random signs. */
function matrixOf(sizes: readonly number[], { rows, cols }: { readonly rows: number; readonly cols: number }) {
  const weight = Float32Array.from(
    { length: sizes.length * rows * cols },
    (_, i) => sizes[Math.floor(i / (rows * cols))] * (i * 48_271 % 9973 < 5000 ? 1 : -1),
  );
  return { weight, strips: { rows: sizes.length * rows, cols, strip: rows } };
}

Deno.test("stripsOf() covers all rows once, in strips of bounded size that differ in the last alone", () => {
  for (
    const [rows, cols] of [[1, 1], [7, 3], [2048, 256], [49_152, 576], [32_000, 4096], [128_256, 4096], [5, 2 ** 23]]
  ) {
    const strips = stripsOf(rows, cols), cut = eachStrip(strips);
    let next = 0;
    for (const { row, rows } of cut) {
      assert.equal(row, next);
      assert.ok(rows >= 1 && (rows === strips.strip || row === cut[cut.length - 1].row));
      next += rows;
    }
    assert.equal(next, rows);
    // A strip is rounded up to whole rows.
    assert.ok((strips.strip - 1) * cols <= 2 ** 22, `${strips.strip} × ${cols}`);
  }
});

Deno.test("stripBits() gives a bit more for twice the size, and as many bits in all", () => {
  const { weight, strips } = matrixOf([1, 2, 8, 0.5], { rows: 3, cols: 4 });
  const bits = stripBits(weight, strips, 5);
  assert.ok(Math.abs(bits.reduce((sum, each) => sum + each, 0) / 4 - 5) < 1e-9, `${bits}`);
  [1, 3, -1].forEach((more, i) => assert.ok(Math.abs(bits[i + 1] - bits[0] - more) < 1e-9, `${bits}`));
  // Distortion 2^(−2·bits)·size² is then the same in all of them.
});

Deno.test("stripBits() weighs strips by their rows", () => {
  const weight = Float32Array.of(1, 1, 1, 1, 4, 4);
  const bits = stripBits(weight, { rows: 3, cols: 2, strip: 2 }, 3);
  assert.ok(Math.abs((2 * bits[0] + bits[1]) / 3 - 3) < 1e-9 && Math.abs(bits[1] - bits[0] - 2) < 1e-9, `${bits}`);
});

Deno.test("stripBits() keeps within what a strip may have, and gives the others what is left", () => {
  const { weight, strips } = matrixOf([1, 0, 2 ** -40], { rows: 2, cols: 4 });
  const bits = stripBits(weight, strips, 3);
  assert.deepEqual(bits.slice(1), [0.1, 0.1]);
  assert.ok(Math.abs(bits[0] - 8.8) < 1e-9, `${bits}`);
  assert.deepEqual(stripBits(new Float32Array(8), { rows: 2, cols: 4, strip: 1 }, 4), [4, 4]);
});
