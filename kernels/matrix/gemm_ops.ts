/** Products of matrices. */
import { view } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { CpuHost, Op } from "../op.ts";
import { Gemm, type GemmOptions, syrkFlops, type SyrkOptions } from "./gemm.ts";
import { gpuTunedGemm, gpuTunedSyrk } from "./gemm_tuning_webgpu.ts";

/** out := alpha·op(a)·op(b) + beta·out. */
export const gemm: Op<[out: Matrix, a: Matrix, b: Matrix, options?: GemmOptions]> = {
  name: "gemm",
  cpu: (host, out, a, b, options = {}) => productsOf(host).run(view(out), view(a), view(b), options),
  gpu: gpuTunedGemm,
  flops: (out, a, _, { transposeA = false } = {}) => 2 * out.rows * out.cols * (transposeA ? a.rows : a.cols),
};

/**
 * out := alpha·op(a)·op(a)ᵀ + beta·out, its upper triangle; what is below the diagonal is left in any state. op(a) is
 * aᵀ when `transposed`.
 */
export const syrk: Op<[out: Matrix, a: Matrix, options?: SyrkOptions]> = {
  name: "syrk",
  cpu: (host, out, a, options = {}) => productsOf(host).syrk(view(out), view(a), options),
  gpu: gpuTunedSyrk,
  flops: (out, a, { transposed = false } = {}) => syrkFlops(out.rows, transposed ? a.rows : a.cols),
};

/** The products of each CPU device, which keep sessions of onnxruntime open until its end. */
const products = new WeakMap<CpuHost, Gemm>();

function productsOf(host: CpuHost): Gemm {
  let found = products.get(host);
  if (!found) {
    const opened = found = new Gemm(host.threads);
    products.set(host, opened);
    host.atEnd(() => opened.close());
  }
  return found;
}
