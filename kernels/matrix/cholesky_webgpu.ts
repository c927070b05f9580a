/** The factor of a diagonal block and its inverse, on the WebGPU device (`factor.ts` goes block by block). */
import { choleskyShader } from "./cholesky_wgsl.ts";
import type { Matrix } from "../device.ts";
import type { GpuContext } from "../gpu/op.ts";
import { bindMatrix } from "../gpu/window.ts";

/** Largest block that one workgroup factors, as the shader says. */
const MOST = 128;

/** Shaders by their size in blocks of 16 rows. */
const SHADERS: string[] = [];

/**
 * h := R, upper, with h = R·Rᵀ, and `inverse` := R⁻¹, in float32; see `cholesky`.
 *
 * @throws {RangeError} when h is larger than 128 × 128
 */
export function gpuCholesky(
  context: GpuContext,
  h: Matrix,
  status: Matrix<"u32">,
  { first, inverse }: { readonly first: number; readonly inverse: Matrix },
): void {
  const size = h.rows;
  if (size > MOST) {
    throw new RangeError(`Cannot factor a block of ${size} rows: the most that one workgroup takes is ${MOST}`);
  }
  const blocks = Math.ceil(size / 16), code = SHADERS[blocks] ??= choleskyShader(blocks);
  const to = bindMatrix(h, "read_write"), state = bindMatrix(status, "read_write");
  const u = bindMatrix(inverse, "read_write");
  context.run(
    { name: "cholesky", code, work: 2 * size ** 3 / 3 },
    [to.binding, state.binding, u.binding],
    [size, to.offset, h.stride, first, state.offset, u.offset, inverse.stride],
    [1],
  );
}
