/** A column block on WebGPU that no binding holds. */
import assert from "node:assert/strict";
import { matrix } from "../device.ts";
import { openGpuContext } from "../gpu/context.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";
import { importance, importanceOf, rank, rankNM } from "../scores/ops.ts";
import { binarizeRows, pruneCodes } from "./binarize.ts";
import { gpuPrune, gpuStartScales } from "./binarize_webgpu.ts";
import { decodeBlock } from "./decode.ts";
import { gpuDecode } from "./decode_webgpu.ts";
import { difference, uniform, weights } from "./row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "./row_webgpu_test_support.ts";
import { salientSearch } from "./salient.ts";
import { gpuSearchSalient } from "./salient_webgpu.ts";
import { segmentSearch } from "./segments.ts";
import { gpuSearchSegments } from "./segments_webgpu.ts";

gpuTest("a block that no binding holds becomes what the CPU makes of it", async () => {
  // 2^17 elements to a binding, 200 · 1024 to the block.
  const context = await openGpuContext({ maxBindingSize: 2 ** 19 });
  try {
    const rows = 200, cols = 1024, shape = { segments: 3, salient: true }, seen = 4, next = uniform(2);
    const w = weights("normal", rows, cols, 1), u = Float32Array.from({ length: cols }, () => 0.5 + next());
    const score = new Float32Array(w.length), ranks = new Uint8Array(w.length), salient = new Uint8Array(cols);
    const codes = new Uint8Array(w.length), scales = new Float32Array(9 * rows), decoded = new Float32Array(w.length);
    const search = { splitPoints: 2, search: "free", candidates: 12 } as const;
    importanceOf(score, w, { rows, cols, metric: "hessian", diagonalU: u });
    rankNM(ranks, score, { rows, cols, of: 8, type: "semi-structured" });
    salientSearch(salient, { score, values: w, rank: ranks, pruned: seen, rows, cols, most: 5 });
    segmentSearch(codes, { ...search, w, columnWeight: u, salient, rank: ranks, pruned: seen, rows, cols });
    binarizeRows(codes, scales, { ...shape, w, rank: ranks, rows, cols, pruned: seen, salientPruned: 0 });
    pruneCodes(codes, ranks, seen);
    decodeBlock(decoded, { ...shape, codes, scales, rows, cols });

    const dw = gpuMatrix(context, "f32", w, rows), du = gpuMatrix(context, "f32", u, 1);
    const f32 = (r: number, c: number) => matrix(context.scratch("f32", r * c), r, c);
    const u8 = (r: number, c: number) => matrix(context.scratch("u8", r * c), r, c);
    const dScore = f32(rows, cols), dRank = u8(rows, cols), dSalient = u8(1, cols), dScales = f32(rows, 9);
    const dCodes = gpuMatrix(context, "u8", new Uint8Array(w.length), rows), dDecoded = f32(rows, cols);
    importance.gpu(context, dScore, dw, { metric: "hessian", diagonalU: du });
    rank.gpu(context, dRank, dScore, { of: 8, type: "semi-structured" });
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
    importanceOf(random, w, { rows, cols, metric: "random", seed: 3 });
    importance.gpu(context, dRandom, dw, { metric: "random", seed: 3 });
    const found = await context.download(
      [dScore, dRank, dSalient, dScales, dDecoded, dCodes, dRandom].map((m) => m.buffer),
    );
    assert.ok(difference(found[0], score) <= 2 ** -23);
    assert.equal(differing(found[1], ranks), 0);
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
