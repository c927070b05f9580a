/** The operations whose time goes into products of matrices. */
import { type Device, type Matrix, matrix } from "../../kernels/device.ts";
import {
  cholesky,
  copy,
  factorHessian,
  gemm,
  packUpper,
  releaseFactor,
  solveRight,
  syrk,
} from "../../kernels/matrix/ops.ts";
import { choleskyFlops, gemmFlops, syrkFlops, triangleInverseFlops } from "./counts.ts";
import { hessian, randomWeights } from "./data.ts";
import type { KernelCase } from "./kernel_case.ts";

/** Columns of a panel and of a column block. */
const GROUP = 128;

/** m × n × k and transposes; the last ones are of the loop over column blocks: feedback, w·S, updates of the factor. */
const PRODUCTS: readonly (readonly [m: number, n: number, k: number, kind: string, quick: boolean])[] = [
  [256, 256, 256, "", true],
  [512, 512, 512, "", true],
  [1024, 1024, 1024, "", true],
  [1024, 1024, 1024, "aᵀ", false],
  [1024, 1024, 1024, "bᵀ", false],
  [576, 576, 128, "", true],
  [1536, 576, 128, "", false],
  [576, 128, 128, "", true],
  [1536, 128, 448, "aᵀ", true],
  [448, 128, 128, "bᵀ", false],
  [576, 8, 576, "", true],
  [8, 576, 576, "", false],
];

/** Products, the upper triangles of products with a transpose, factors and inverses. */
export function productCases(): KernelCase[] {
  return [
    ...PRODUCTS.map(([m, n, k, kind, quick]): KernelCase => {
      const transposeA = kind === "aᵀ", transposeB = kind === "bᵀ";
      return {
        op: "gemm",
        size: `${shape(m, n, k)} ${kind}`.trim(),
        quick,
        limits: m === 512,
        work: () => ({ bound: "compute", flops: gemmFlops(m, n, k), product: [m, n, k] }),
        open(device) {
          const a = random(device, ...(transposeA ? [k, m] as const : [m, k] as const));
          const b = random(device, ...(transposeB ? [n, k] as const : [k, n] as const));
          const out = matrix(device.alloc("f32", m * n), m, n);
          return () => device.run(gemm, out, a, b, { transposeA, transposeB });
        },
      };
    }),
    ...([[576, 128, true], [1536, 512, true], [2048, 256, false]] as const).map(([n, k, quick]): KernelCase => ({
      op: "syrk",
      size: shape(n, n, k),
      quick,
      work: () => ({ bound: "compute", flops: syrkFlops(n, k) }),
      open(device) {
        const a = random(device, n, k), out = matrix(device.alloc("f32", n * n), n, n);
        return () => device.run(syrk, out, a);
      },
    })),
    ...[576, 1024, 2048, 4096].map((size): KernelCase => ({
      op: "factorHessian",
      size: `${size}`,
      quick: size !== 2048,
      work: () => ({ bound: "compute", flops: choleskyFlops(size) }),
      open(device) {
        const packed = device.upload("f32", packUpper(hessian(size), size));
        return () => releaseFactor(device, factorHessian(device, packed, { size, group: GROUP, damping: 0.01 }));
      },
    })),
    ...[576, 1536].map((size): KernelCase => ({
      op: "solveRight",
      size: shape(576, size, size),
      quick: size === 576,
      work: () => ({ bound: "compute", flops: 2 * 576 * size * size }),
      open(device) {
        const packed = device.upload("f32", packUpper(hessian(size), size)), y = random(device, 576, size);
        const factor = factorHessian(device, packed, { size, group: GROUP, damping: 0.01 });
        const start = random(device, 576, size);
        return () => {
          device.run(copy, y, start);
          solveRight(device, factor, y);
        };
      },
    })),
    {
      op: "cholesky",
      size: `${GROUP}`,
      quick: true,
      work: () => ({ bound: "compute", flops: choleskyFlops(GROUP) + triangleInverseFlops(GROUP) }),
      open(device) {
        const start = matrix(device.upload("f32", hessian(GROUP)), GROUP, GROUP);
        const [h, inverse] = [0, 1].map(() => matrix(device.alloc("f32", GROUP * GROUP), GROUP, GROUP));
        const status = matrix(device.alloc("u32", 1), 1, 1);
        return () => {
          device.run(copy, h, start);
          device.run(cholesky, h, status, { first: 0, inverse });
        };
      },
    },
  ];
}

function shape(m: number, n: number, k: number): string {
  return m === n && n === k ? `${m}³` : `${m} × ${n} × ${k}`;
}

function random(device: Device, rows: number, cols: number): Matrix {
  return matrix(device.upload("f32", randomWeights(rows * cols, rows + cols)), rows, cols);
}
