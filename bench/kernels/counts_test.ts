import assert from "node:assert/strict";
import { GROUP_SHIFT, KEPT, SIGN } from "../../kernels/binary/ops.ts";
import * as counts from "./counts.ts";

const salient = KEPT, first = 1 << GROUP_SHIFT | KEPT, second = 2 << GROUP_SHIFT | KEPT;

Deno.test("counts of products and factors are those made by hand", () => {
  // Each of 2·3 elements is a sum of 4 products.
  assert.equal(counts.gemmFlops(2, 3, 4), 48);
  // Six elements on and above the diagonal of 3 × 3, each a sum of 2 products.
  assert.equal(counts.syrkFlops(3, 2), 24);
  assert.equal(counts.choleskyFlops(6), 72);
  assert.equal(counts.triangleInverseFlops(6), 72);
  assert.equal(counts.inverseFactorFlops(6), 288);
});

Deno.test("alternateFlops() counts pairs within a row's groups, weights that take part only", () => {
  const codes = Uint8Array.of(salient, salient, salient, first, first, second), rank = new Uint8Array(6).fill(1);
  const count = (change: Partial<Parameters<typeof counts.alternateFlops>[0]> = {}) =>
    counts.alternateFlops({ codes, rank, rows: 1, cols: 6, first: 1, ...change });
  assert.equal(count(), 3 * 7 + 1 * 5);
  assert.equal(count({ rows: 2, cols: 3 }), 3 * 7 + 1 * 5);
  assert.equal(count({ rank: Uint8Array.of(0, 1, 1, 1, 0, 1) }), 7);
  assert.equal(count({ codes: codes.map((code) => code & ~KEPT) }), 0);
});

Deno.test("jointFlops() counts all pairs of kept weights, more for those with a salient one", () => {
  const codes = Uint8Array.of(salient, first, 1 << GROUP_SHIFT, second, second);
  // Six pairs, of which three have the salient weight.
  assert.equal(counts.jointFlops({ codes, rows: 1, cols: 5 }), 6 * 3 + 3 * 2);
});

Deno.test("resignFlops() counts the columns behind each changed sign", () => {
  const codes = Uint8Array.of(first, first, first, first, first, first);
  const signed = codes.map((code, at) => at === 0 || at === 4 ? code | SIGN : code);
  assert.equal(counts.resignFlops({ codes, signed, rows: 2, cols: 3 }), 2 * 2 + 1 * 2);
});

Deno.test("columnwiseFlops() counts each column's feed to those behind it", () => {
  // Three columns feed 2 + 1 + 0 others, 2 operations each, in 5 rows.
  assert.equal(counts.columnwiseFlops(5, 3), 30);
});

Deno.test("elementBytes() counts a u8 as what it takes on the device", () => {
  assert.equal(counts.elementBytes({ f32: 3, u8: 2 }, "cpu"), 14);
  assert.equal(counts.elementBytes({ f32: 3, u8: 2 }, "webgpu"), 20);
  assert.equal(counts.elementBytes({}, "cpu"), 0);
});
