import assert from "node:assert/strict";
import { startScales } from "../binary/binarize.ts";
import { gpuPrune, gpuStartScales } from "../binary/binarize_webgpu.ts";
import { decodeBlock } from "../binary/decode.ts";
import { gpuDecode } from "../binary/decode_webgpu.ts";
import { matrix } from "../device.ts";
import { importance } from "../scores/importance.ts";
import { gpuImportance } from "../scores/importance_webgpu.ts";
import { difference, uniform, weights } from "../binary/row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "../binary/row_webgpu_test_support.ts";
import { searchSalient } from "../binary/salient.ts";
import { gpuSearchSalient } from "../binary/salient_webgpu.ts";
import { searchSegments } from "../binary/segments.ts";
import { gpuSearchSegments } from "../binary/segments_webgpu.ts";
import { pruneCodes, rankNM } from "../scores/select.ts";
import { gpuRank } from "../scores/select_webgpu.ts";
import { denseOffset, grid, rowWindows } from "./dispatch.ts";
import { openGpuContext } from "./context.ts";
import { gpuTest } from "./webgpu_test_support.ts";

Deno.test("rowWindows() covers every row once, within what can be bound", () => {
  const buffer = { type: "f32", length: 5 + 7 * 100 } as const, m = { ...matrix(buffer, 7, 100), offset: 5 };
  for (const bindable of [164, 300, 464, 4096]) {
    const windows = rowWindows({ bindable }, { read: [m] });
    let row = 0;
    for (const { row: first, rows, read: [{ binding, offset }] } of windows) {
      assert.equal(first, row);
      assert.equal((binding.first ?? 0) + offset, 5 + 100 * row);
      assert.equal(binding.count, offset + 100 * rows);
      assert.ok(binding.count <= bindable);
      row += rows;
    }
    assert.equal(row, 7);
  }
  assert.equal(rowWindows({ bindable: 4096 }, { read: [m], most: 3 }).length, 3);
});

Deno.test("denseOffset() refuses gaps and what lies outside", () => {
  const buffer = { type: "f32", length: 12 } as const;
  assert.throws(() => denseOffset({ ...matrix(buffer, 3, 4), cols: 3 }), /stride 4/);
  assert.throws(() => denseOffset({ ...matrix(buffer, 3, 4), offset: 1 }), /buffer of 12/);
});

gpuTest("grid() goes into a second dimension where one does not reach", (context) => {
  const most = context.limits.maxComputeWorkgroupsPerDimension;
  assert.deepEqual(grid(context, 65), [2, 1]);
  assert.deepEqual(grid(context, 64 * most + 1), [most, 2]);
});

gpuTest("a block that no binding holds becomes what the CPU makes of it", async () => {
  // 2^17 elements to a binding, 200 · 1024 to the block.
  const context = await openGpuContext({ maxBindingSize: 2 ** 19 });
  try {
    const rows = 200, cols = 1024, shape = { segments: 3, salient: true }, seen = 4, next = uniform(2);
    const w = weights("normal", rows, cols, 1), u = Float32Array.from({ length: cols }, () => 0.5 + next());
    const score = new Float32Array(w.length), rank = new Uint8Array(w.length), salient = new Uint8Array(cols);
    const codes = new Uint8Array(w.length), scales = new Float32Array(9 * rows), decoded = new Float32Array(w.length);
    const search = { splitPoints: 2, search: "free", candidates: 12 } as const;
    importance(score, w, { rows, cols, metric: "hessian", diagonalU: u });
    rankNM(rank, score, { rows, cols, of: 8, type: "semi-structured" });
    searchSalient(salient, { score, values: w, rank, pruned: seen, rows, cols, most: 5 });
    searchSegments(codes, { ...search, w, columnWeight: u, salient, rank, pruned: seen, rows, cols });
    startScales(codes, scales, { ...shape, w, rank, rows, cols, pruned: seen, salientPruned: 0 });
    pruneCodes(codes, rank, seen);
    decodeBlock(decoded, { ...shape, codes, scales, rows, cols });

    const dw = gpuMatrix(context, "f32", w, rows), du = gpuMatrix(context, "f32", u, 1);
    const f32 = (r: number, c: number) => matrix(context.scratch("f32", r * c), r, c);
    const u8 = (r: number, c: number) => matrix(context.scratch("u8", r * c), r, c);
    const dScore = f32(rows, cols), dRank = u8(rows, cols), dSalient = u8(1, cols), dScales = f32(rows, 9);
    const dCodes = gpuMatrix(context, "u8", new Uint8Array(w.length), rows), dDecoded = f32(rows, cols);
    gpuImportance(context, dScore, dw, { metric: "hessian", diagonalU: du });
    gpuRank(context, dRank, dScore, { of: 8, type: "semi-structured" });
    gpuSearchSalient(context, dSalient, { score: dScore, values: dw, rank: dRank, pruned: seen, most: 5 });
    gpuSearchSegments(context, dCodes, {
      ...search,
      w: dw,
      columnWeight: du,
      salient: dSalient,
      rank: dRank,
      pruned: seen,
    });
    gpuStartScales(context, dCodes, dScales, { ...shape, w: dw, rank: dRank, pruned: seen, salientPruned: 0 });
    gpuPrune(context, dCodes, { rank: dRank, pruned: seen });
    gpuDecode(context, dDecoded, { ...shape, codes: dCodes, scales: dScales });
    const random = new Float32Array(w.length), dRandom = f32(rows, cols);
    importance(random, w, { rows, cols, metric: "random", seed: 3 });
    gpuImportance(context, dRandom, dw, { metric: "random", seed: 3 });
    const found = await context.download(
      [dScore, dRank, dSalient, dScales, dDecoded, dCodes, dRandom].map((m) => m.buffer),
    );
    assert.ok(difference(found[0], score) <= 2 ** -23);
    assert.equal(differing(found[1], rank), 0);
    assert.equal(differing(found[2], salient), 0);
    assert.ok(difference(found[3], scales) <= 2 ** -23);
    assert.ok(difference(found[4], decoded) <= 2 ** -22);
    assert.equal(differing(withoutOffset(found[5]), codes), 0);
    assert.equal(differing(found[6], random), 0);
  } finally {
    context.destroy();
  }
});

/** How many entries differ: a listing of so many would take gigabytes. */
function differing(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let count = Math.abs(found.length - wanted.length);
  for (let i = 0; i < wanted.length; i++) count += Number(found[i] !== wanted[i]);
  return count;
}
