import assert from "node:assert/strict";
import { Gemm } from "./gemm.ts";
import { normal } from "../binary/row_kernels_test_support.ts";

Deno.test("Gemm.run() gives the same bits for any number of threads", async () => {
  // More columns than rows, inner sizes beyond one stretch of sums, and products large enough to be shared out.
  const shapes = [[64, 128, 448], [100, 300, 500], [576, 128, 512], [1536, 128, 128], [129, 128, 700]];
  const engines = [1, 2, 5].map((threads) => new Gemm(threads));
  for (const [rows, cols, inner] of shapes) {
    for (const transposeA of [false, true]) {
      const next = normal(rows);
      const random = (r: number, c: number) => ({
        data: Float32Array.from({ length: r * c }, () => next()),
        rows: r,
        cols: c,
        offset: 0,
        stride: c,
      });
      const a = transposeA ? random(inner, rows) : random(rows, inner), b = random(inner, cols);
      const outputs: Float32Array[] = [];
      for (const engine of engines) {
        const out = random(1, rows * cols);
        await engine.run({ ...out, rows, cols, stride: cols }, a, b, { transposeA });
        outputs.push(out.data);
      }
      for (const out of outputs) assert.deepEqual(out, outputs[0], `${rows}×${cols}×${inner}`);
    }
  }
  for (const engine of engines) await engine.close();
});
