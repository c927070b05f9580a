import assert from "node:assert/strict";
import { matrix } from "./device.ts";
import { GEMM_VARIANTS, gpuGemm } from "./gemm_webgpu.ts";
import { directGemm } from "./gemm_wgsl.ts";
import { normal } from "./row_kernels_test_support.ts";
import { gpuTest } from "./webgpu_test_support.ts";

for (const variant of [...Object.values(GEMM_VARIANTS), directGemm(8, 4)]) {
  gpuTest(`gpuGemm() meets float64 by the variant ${variant.name}`, async (context) => {
    for (const [rows, cols, inner] of [[1, 1, 1], [65, 63, 9], [17, 130, 64], [128, 5, 131], [3, 4, 0]]) {
      const next = normal(rows + cols), a = Float32Array.from({ length: rows * inner }, () => next());
      const b = Float32Array.from({ length: inner * cols }, () => next());
      const c = Float32Array.from({ length: rows * cols }, () => next());
      const out = matrix(context.upload("f32", c.slice()), rows, cols);
      const left = matrix(context.upload("f32", a.slice()), rows, inner);
      const right = matrix(context.upload("f32", b.slice()), inner, cols);
      gpuGemm(context, out, left, right, { alpha: -2, beta: 0.5, variant });
      const [found] = await context.download([out.buffer]);
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < cols; j++) {
          let exact = 0.5 * c[i * cols + j], size = Math.abs(exact);
          for (let k = 0; k < inner; k++) {
            const term = -2 * a[i * inner + k] * b[k * cols + j];
            exact += term;
            size += Math.abs(term);
          }
          const bound = 4 * 2 ** -24 * Math.sqrt(inner + 1) * size;
          assert.ok(Math.abs(found[i * cols + j] - exact) <= bound, `${rows}×${cols}×${inner} at ${i},${j}`);
        }
      }
    }
  });
}
