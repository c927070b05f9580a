/** The factor of a diagonal block and its inverse, on the WebGPU device (`factor.ts` goes block by block). */
import { choleskyShader } from "./cholesky_wgsl.ts";
import { type Matrix, matrix } from "./device.ts";
import { gpuCopy } from "./elementwise_webgpu.ts";
import invertUpper from "./invert_upper.wgsl" with { type: "text" };
import type { GpuContext } from "./webgpu_context.ts";
import { withTwoFloat } from "./webgpu_dispatch.ts";
import { apart, bindMatrix } from "./webgpu_window.ts";

/** Largest block that one workgroup factors, as the shader says. */
const MOST = 128;

/** Shaders by their size in blocks of 16 rows. */
const SHADERS: string[] = [];

/** Columns that a workgroup inverts, as the shader says. */
const WIDTH = 16;

/**
 * h := R, upper, with h = R·Rᵀ, in float32, and `inverse` := R⁻¹ where it is given; see `Device.cholesky`.
 *
 * @throws {RangeError} when h is larger than 128 × 128
 */
export function gpuCholesky(
  context: GpuContext,
  h: Matrix,
  status: Matrix<"u32">,
  { first, inverse }: { readonly first: number; readonly inverse?: Matrix },
): void {
  const size = h.rows;
  if (size > MOST) {
    throw new RangeError(`Cannot factor a block of ${size} rows: the most that one workgroup takes is ${MOST}`);
  }
  const blocks = Math.ceil(size / 16), code = SHADERS[blocks] ??= choleskyShader(blocks);
  const to = bindMatrix(h, "read_write"), state = bindMatrix(status, "read_write");
  const nowhere = matrix(context.scratch("f32", 1), 1, 1), u = bindMatrix(inverse ?? nowhere, "read_write");
  context.run(
    { name: "cholesky", code, work: (inverse ? 2 : 1) * size ** 3 / 3 },
    [to.binding, state.binding, u.binding],
    [size, to.offset, h.stride, first, state.offset, inverse ? 1 : 0, u.offset, inverse?.stride ?? 0],
    [1],
  );
  context.release(nowhere.buffer);
}

/** out := R⁻¹ of an upper triangular R. */
export function gpuInvertUpper(context: GpuContext, out: Matrix, r: Matrix): void {
  apart(context, out, r, gpuCopy, (r) => {
    const to = bindMatrix(out, "read_write"), x = bindMatrix(r, "read");
    const params = [r.rows, to.offset, out.stride, x.offset, r.stride];
    context.run(
      { name: "invertUpper", code: withTwoFloat(invertUpper), work: r.rows ** 3 / 3 },
      [to.binding, x.binding],
      params,
      [
        Math.ceil(r.rows / WIDTH),
      ],
    );
  });
}
