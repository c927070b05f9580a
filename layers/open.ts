/** A layer on a device: its weights, the factor of its Hessian, and what is known of its columns. */
import { type Device, type DeviceBuffer, type Matrix, matrix } from "../kernels/device.ts";
import { clearColumns, type Factor, factorHessian, inverseDiagonal, power } from "../kernels/matrix/ops.ts";
import { absoluteSums } from "../kernels/scores/ops.ts";
import type { MaskJob } from "./job.ts";
import type { Scope } from "./scope.ts";

/** A layer on the device. Vectors are 1 × cols; without a Hessian they are those of H = I. */
export interface OpenLayer {
  /** rows × cols; dead columns are zero. Becomes the error, block by block. */
  readonly weight: Matrix;
  readonly packed: DeviceBuffer<"f32"> | undefined;
  readonly factor: Factor | undefined;
  readonly diagonalU: Matrix;
  /** 1/U_jj */
  readonly inverseU: Matrix;
  /** 1/U_jj² */
  readonly columnWeight: Matrix;
  /** √H_jj */
  readonly inputNorm: Matrix;
  readonly inverseDiagonal: Matrix | undefined;
  readonly rowSums: Matrix | undefined;
  readonly columnSums: Matrix | undefined;
  readonly moments: Matrix | undefined;
}

/**
 * Uploads a layer, factors its Hessian and makes the vectors that its metric needs.
 *
 * @param group columns of a column block
 */
export function openLayer(device: Device, scope: Scope, job: MaskJob, group: number): OpenLayer {
  const { rows, cols, settings: { search: { metric }, feedback } } = job;
  device.section("compensate");
  const weight = matrix(scope.upload("f32", job.weight), rows, cols);
  const packed = job.upper && scope.upload("f32", job.upper);
  const factor = packed &&
    scope.factor(
      factorHessian(device, packed, { size: cols, group, damping: feedback.damping }),
    );
  const ones = () => matrix(scope.upload("f32", new Float32Array(cols).fill(1)), 1, cols);
  const diagonalU = factor?.diagonalU ?? ones();
  const inverseU = scope.matrix("f32", 1, cols), columnWeight = scope.matrix("f32", 1, cols);
  device.run(power, inverseU, diagonalU, -1);
  device.run(power, columnWeight, diagonalU, -2);
  let inputNorm: Matrix;
  if (factor) {
    device.run(clearColumns, weight, factor.diagonal);
    inputNorm = scope.matrix("f32", 1, cols);
    device.run(power, inputNorm, factor.diagonal, 0.5);
  } else inputNorm = ones();
  device.section("fine-search");
  let squares: Matrix | undefined;
  if (metric === "hessian-squared") squares = factor ? scope.own(inverseDiagonal(device, factor)) : ones();
  if (metric !== "ria" && metric !== "si") {
    const none = { rowSums: undefined, columnSums: undefined, moments: undefined };
    return { weight, packed, factor, diagonalU, inverseU, columnWeight, inputNorm, inverseDiagonal: squares, ...none };
  }
  const rowSums = scope.matrix("f32", 1, rows), columnSums = scope.matrix("f32", 1, cols);
  const moments = scope.matrix("f32", 1, 2);
  device.run(absoluteSums, rowSums, columnSums, moments, weight);
  const sums = { rowSums, columnSums, moments };
  return { weight, packed, factor, diagonalU, inverseU, columnWeight, inputNorm, inverseDiagonal: squares, ...sums };
}
