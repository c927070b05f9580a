/** `refineMeans` on WebGPU: a dispatch for each round. */
import { type Matrix, matrix } from "../device.ts";
import { grid, rowWindows, withTwoFloat } from "../gpu/dispatch.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import type { MeansOperands } from "./means.ts";
import roundCode from "./refine_means.wgsl" with { type: "text" };

const ROUND: GpuOp = { name: "refine_means", code: withTwoFloat(roundCode) };

/** As in the shader: mean and two scales as pairs of floats. */
const STATE = 6;

/** See `refineMeanRows`: signs are the CPU's but for ties beyond 45 bits. */
export function gpuRefineMeans(
  context: GpuContext,
  codes: Matrix<"u8">,
  scales: Matrix,
  { w, doubled, single, iterations }: MeansOperands,
): void {
  const { rows, cols } = w, each = STATE * (doubled + single);
  const state = matrix(context.scratch("f32", rows * each, { zeroed: false }), rows, each);
  for (const { rows, written, read } of rowWindows(context, { written: [codes, scales, state], read: [w] })) {
    const [code, scale, own] = written, [values] = read, bindings = [...written, ...read].map(({ binding }) => binding);
    for (let round = 0; round <= iterations; round++) {
      const at = [code.offset, scale.offset, values.offset, own.offset];
      context.run(ROUND, bindings, [rows, cols, doubled, single, Number(round === 0), ...at], grid(context, rows));
    }
  }
  context.release(state.buffer);
}
