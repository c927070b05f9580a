/** Matrices: what works element by element, products, factors, triangles. The only door into this room. */
export { cholesky } from "./cholesky_op.ts";
export {
  addDot,
  clearColumns,
  columnSquares,
  copy,
  damp,
  diagonal,
  power,
  roundScales,
  subtract,
  unpack,
} from "./elementwise_ops.ts";
export { gemm, syrk } from "./gemm_ops.ts";

export { choleskyUpper } from "./cholesky.ts";
export { addEnergy } from "./error.ts";
export { type Factor, factorHessian, inverseDiagonal, releaseFactor } from "./factor.ts";
export { tuneGemm, type TuningStore } from "./gemm_tuning_webgpu.ts";
export { halfExponent, halfIn } from "./half_unit.ts";
export { solveRight } from "./solve.ts";
export { packUpper, triangleLength, unpackUpper } from "./triangle.ts";
export { invertUpper } from "./triangular.ts";
