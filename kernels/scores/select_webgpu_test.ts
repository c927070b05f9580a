import assert from "node:assert/strict";
import { gpuRank } from "./select_webgpu.ts";
import { rankNM } from "./select.ts";
import { KINDS, weights } from "../binary/row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "../binary/row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

const CASES = [
  ["semi-structured", 67, 40, 8],
  ["semi-structured", 5, 96, 32],
  ["semi-structured", 3, 256, 256],
  ["unstructured", 1, 1, 8],
  ["unstructured", 67, 53, 8],
  ["unstructured", 3, 5, 16],
  ["unstructured", 13, 129, 1],
  ["unstructured", 31, 130, 256],
  ["structured", 67, 53, 8],
  ["structured", 5, 130, 4],
  ["none", 7, 13, 8],
] as const;

for (const [type, rows, cols, of] of CASES) {
  gpuTest(`gpuRank() of ${rows}×${cols} scores, ${type}, of ${of}, is the CPU's, ties too`, async (context) => {
    const scores = KINDS.map((kind) => weights(kind, rows, cols, 3));
    const outs = scores.map((score) => {
      const out = gpuMatrix(context, "u8", new Uint8Array(score.length).fill(77), rows);
      gpuRank(context, out, gpuMatrix(context, "f32", score, rows), { of, type });
      return out.buffer;
    });
    const found = await context.download(outs);
    KINDS.forEach((kind, i) => {
      const wanted = new Uint8Array(rows * cols);
      rankNM(wanted, scores[i], { rows, cols, of, type });
      assert.deepEqual(withoutOffset(found[i]), wanted, kind);
    });
  });
}

gpuTest("gpuRank() takes zeros of both signs for equal", async (context) => {
  const score = Float32Array.from({ length: 300 }, (_, i) => i % 5 === 0 ? -1 : i % 3 === 0 ? -0 : 0);
  const out = gpuMatrix(context, "u8", new Uint8Array(300), 3), wanted = new Uint8Array(300);
  gpuRank(context, out, gpuMatrix(context, "f32", score, 3), { of: 8, type: "unstructured" });
  rankNM(wanted, score, { rows: 3, cols: 100, of: 8, type: "unstructured" });
  assert.deepEqual(withoutOffset((await context.download([out.buffer]))[0]), wanted);
});

gpuTest("gpuRank() refuses what does not fit", (context) => {
  const score = gpuMatrix(context, "f32", new Float32Array(12), 1),
    out = gpuMatrix(context, "u8", new Uint8Array(12), 1);
  assert.throws(() => gpuRank(context, out, score, { of: 8, type: "semi-structured" }), /multiple of 8/);
  assert.throws(() => gpuRank(context, out, score, { of: 257, type: "none" }), /1\.\.256/);
});
