/** Products with a packed layer. */
import { dense, owned } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { packedProduct } from "./matvec.ts";
import { expectVectors, type PackedMatrix } from "./matvec_layout.ts";
import { gpuPackedMatVec } from "./matvec_webgpu.ts";

/** out (vectors × rows) := x·Ŵᵀ of a packed layer, for 1 to 8 vectors x (vectors × cols); see `packedProduct`. */
export const packedMatVec: Op<[out: Matrix, weights: PackedMatrix, x: Matrix]> = {
  name: "packedMatVec",
  check: expectVectors,
  cpu(_, out, { words, scales, salientColumns, ...shape }, x) {
    const arrays = {
      words: owned(words).array,
      scales: owned(scales).array,
      salientColumns: owned(salientColumns).array,
    };
    packedProduct(dense(out), { ...shape, ...arrays }, dense(x), x.rows);
  },
  gpu: gpuPackedMatVec,
  flops: (_, { rows, cols }, x) => 2 * rows * cols * x.rows,
};
