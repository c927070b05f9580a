/** The factor of a diagonal block and its inverse, on the WebGPU device (`factor.ts` goes block by block). */
import cholesky from "./cholesky.wgsl" with { type: "text" };
import type { Matrix } from "./device.ts";
import { gpuCopy } from "./elementwise_webgpu.ts";
import invertUpper from "./invert_upper.wgsl" with { type: "text" };
import type { GpuContext } from "./webgpu_context.ts";
import { withTwoFloat } from "./webgpu_dispatch.ts";
import { apart, bindMatrix } from "./webgpu_window.ts";

/** Largest block that one workgroup factors, as the shader says. */
const MOST = 128;

/** Columns that a workgroup inverts, as the shader says. */
const WIDTH = 16;

/**
 * h := R, upper, with h = R·Rᵀ, in float32; see `Device.cholesky`.
 *
 * @throws {RangeError} when h is larger than 128 × 128
 */
export function gpuCholesky(
  context: GpuContext,
  h: Matrix,
  status: Matrix<"u32">,
  { first }: { readonly first: number },
): void {
  if (h.rows > MOST) {
    throw new RangeError(`Cannot factor a block of ${h.rows} rows: the most that one workgroup takes is ${MOST}`);
  }
  const to = bindMatrix(h, "read_write"), state = bindMatrix(status, "read_write");
  const threads = Math.min(256, context.limits.maxComputeInvocationsPerWorkgroup);
  context.run(
    { name: "cholesky", code: cholesky, constants: { WORKGROUP: threads } },
    [to.binding, state.binding],
    [h.rows, to.offset, h.stride, first, state.offset],
    [1],
  );
}

/** out := R⁻¹ of an upper triangular R. */
export function gpuInvertUpper(context: GpuContext, out: Matrix, r: Matrix): void {
  apart(context, out, r, gpuCopy, (r) => {
    const to = bindMatrix(out, "read_write"), x = bindMatrix(r, "read");
    const params = [r.rows, to.offset, out.stride, x.offset, r.stride];
    context.run({ name: "invertUpper", code: withTwoFloat(invertUpper) }, [to.binding, x.binding], params, [
      Math.ceil(r.rows / WIDTH),
    ]);
  });
}
