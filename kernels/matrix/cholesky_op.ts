/** The factor of a small matrix and its inverse. */
import { dense, view } from "../cpu_buffer.ts";
import { expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { choleskyUpper } from "./cholesky.ts";
import { gpuCholesky } from "./cholesky_webgpu.ts";
import { invertUpper } from "./triangular.ts";

/**
 * h := R, upper, with h = R·Rᵀ, and `inverse` := R⁻¹. status (1 × 1): 0, or 1 + the index (first + row) of the first
 * pivot that is not positive.
 */
export const cholesky: Op<
  [h: Matrix, status: Matrix<"u32">, options: { readonly first: number; readonly inverse: Matrix }]
> = {
  name: "cholesky",
  check: (h, _, { inverse }) => expectShape("cholesky", inverse, h.rows, h.cols),
  cpu(_, h, status, { first, inverse }) {
    const bad = choleskyUpper(view(h).data, h.rows, h), state = dense(status);
    if (bad >= 0 && state[0] === 0) state[0] = first + bad + 1;
    invertUpper(view(inverse).data, view(h).data, { size: h.rows, to: inverse, from: h });
  },
  gpu: gpuCholesky,
  flops: (h) => 2 * h.rows ** 3 / 3,
};
