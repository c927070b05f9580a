import assert from "node:assert/strict";
import { matrix } from "../device.ts";
import { elementsMade, GEMM_VARIANTS, gpuGemm, gpuSyrk } from "./gemm_webgpu.ts";
import { directGemm, type GemmVariant, sharingGemm, tiledGemm } from "./gemm_wgsl.ts";
import { normal } from "../binary/row_kernels_test_support.ts";
import type { WebGpuContext } from "../gpu/context.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

const VARIANTS = [
  ...Object.values(GEMM_VARIANTS),
  directGemm(8, 8, 32),
  sharingGemm(),
  tiledGemm(32),
  tiledGemm(128),
];

/** Rows, columns and inner indices: 1, primes, one past a tile, none. */
const SHAPES = [[1, 1, 1], [65, 63, 9], [17, 130, 64], [128, 5, 131], [3, 4, 0]];

function random(length: number, seed: number): Float32Array {
  const next = normal(seed);
  return Float32Array.from({ length }, () => next());
}

function product(context: WebGpuContext, [rows, cols, inner]: readonly number[], variant: GemmVariant) {
  const a = random(rows * inner, 1), b = random(inner * cols, 2), c = random(rows * cols, 3);
  const [out, left, right] = [c, a, b].map((array) => context.upload("f32", array.slice()));
  gpuGemm(context, matrix(out, rows, cols), matrix(left, rows, inner), matrix(right, inner, cols), {
    alpha: -2,
    beta: 0.5,
    variant,
  });
  return { a, b, c, out };
}

for (const variant of VARIANTS) {
  gpuTest(`gpuGemm() meets float64 by the variant ${variant.name}`, async (context) => {
    if (variant.sharing && !context.sharing) {
      return console.log("  skipped: this adapter's subgroups are of another size");
    }
    for (const shape of SHAPES) {
      const [rows, cols, inner] = shape, { a, b, c, out } = product(context, shape, variant);
      const [found] = await context.download([out]);
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

gpuTest(
  "gpuGemm() and gpuSyrk() give the same bits by every variant, so that timing never changes a model",
  async (context) => {
    for (const [size, inner] of [[1, 3], [130, 41], [157, 300]]) {
      for (const transposed of [false, true]) {
        const x = random(size * inner, size), c = random(size * size, 1);
        const a = matrix(context.upload("f32", x), ...(transposed ? [inner, size] as const : [size, inner] as const));
        const options = { alpha: -0.7, beta: 1.3 };
        let first: Float32Array | undefined;
        for (const variant of VARIANTS.filter(({ sharing }) => !sharing || context.sharing)) {
          const [full, upper] = [0, 1].map(() => matrix(context.upload("f32", c.slice()), size, size));
          gpuGemm(context, full, a, a, { transposeA: transposed, transposeB: !transposed, ...options, variant });
          gpuSyrk(context, upper, a, { transposed, ...options, variant });
          const [whole, triangle] = await context.download([full.buffer, upper.buffer]);
          first ??= whole;
          assert.deepEqual(whole, first, `${variant.name}, ${size}×${inner}`);
          for (let i = 0; i < size; i++) {
            const row = (array: Float32Array) => array.subarray(i * size + i, (i + 1) * size);
            assert.deepEqual(row(triangle), row(first), `${variant.name}, ${size}×${inner}, row ${i}`);
          }
        }
      }
    }
  },
);

Deno.test("gpuSyrk() makes little more than half of a product's elements", () => {
  for (const variant of VARIANTS) {
    for (const [size, most] of [[1024, 0.5625], [2048, 0.54]]) {
      const upper = elementsMade({ rows: size, cols: size, upper: true }, variant);
      const share = upper / elementsMade({ rows: size, cols: size, upper: false }, variant);
      assert.ok(share >= 0.5 && share <= most, `${variant.name}: ${share} at ${size}`);
    }
  }
});
