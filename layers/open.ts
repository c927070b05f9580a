/** A layer on a device: its weights, the factor of its Hessian, and what is known of its columns. */
import { type Device, type DeviceBuffer, type Matrix, matrix } from "../kernels/device.ts";
import {
  clearColumns,
  type Factor,
  factorHessian,
  inverseDiagonal,
  power,
  releaseFactor,
} from "../kernels/matrix/ops.ts";
import { absoluteSums } from "../kernels/scores/ops.ts";
import type { ChosenPropagation, MaskJob, Propagation } from "./job.ts";
import { propagate } from "./propagate.ts";
import type { Scope } from "./scope.ts";
import { hessianExponent, scaleByPower, weightExponent } from "./units.ts";

/** A layer on the device, in units of its own. Vectors are 1 × cols; without a Hessian they are those of H = I. */
export interface OpenLayer {
  /** Weights are in units of 2^exponent. */
  readonly exponent: number;
  /** rows × cols: what is to be met; dead columns are zero. Becomes the error, block by block. */
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
 * @throws {RangeError} when weights or Hessian are not finite
 */
export function openLayer(device: Device, scope: Scope, job: MaskJob, group: number): OpenLayer {
  const { rows, cols, settings: { search: { metric }, feedback } } = job;
  device.section("compensate");
  const { exponent, weights, upper, cross, residual } = inUnits(job);
  const weight = matrix(scope.upload("f32", weights), rows, cols);
  const packed = upper && scope.upload("f32", upper);
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
    if (job.propagation && cross && job.propagation.share !== 0) {
      meetOriginal(device, weight, {
        ...settled(job),
        cross,
        residual,
        packed,
        factor,
        group,
        damped: feedback.damping,
      });
    }
    device.run(clearColumns, weight, factor.diagonal);
    inputNorm = scope.matrix("f32", 1, cols);
    device.run(power, inputNorm, factor.diagonal, 0.5);
  } else if (job.diagonal) inputNorm = matrix(scope.upload("f32", job.diagonal.map(Math.sqrt)), 1, cols);
  else inputNorm = ones();
  device.section("fine-search");
  let squares: Matrix | undefined;
  if (metric === "hessian-squared") squares = factor ? scope.own(inverseDiagonal(device, factor)) : ones();
  const vectors = { diagonalU, inverseU, columnWeight, inputNorm, inverseDiagonal: squares };
  const known = { exponent, weight, packed, factor, ...vectors };
  if (metric !== "ria" && metric !== "si") {
    const none = { rowSums: undefined, columnSums: undefined, moments: undefined };
    return { ...known, ...none };
  }
  const rowSums = scope.matrix("f32", 1, rows), columnSums = scope.matrix("f32", 1, cols);
  const moments = scope.matrix("f32", 1, 2);
  device.run(absoluteSums, rowSums, columnSums, moments, weight);
  const sums = { rowSums, columnSums, moments };
  return { ...known, ...sums };
}

/** How far weights move, which must be known by now. */
function settled({ name, propagation }: MaskJob): ChosenPropagation {
  const { share, damping } = propagation ?? {};
  if (typeof share === "number" && typeof damping === "number") return { share, damping };
  throw new Error(`Cannot open layer "${name}" as how far its weights move must be chosen before`);
}

/** Moves weights towards their outputs in the original model; H is factored again where it is damped otherwise. */
function meetOriginal(
  device: Device,
  weight: Matrix,
  { cross, residual, share, damping, packed, factor, group, damped }: ChosenPropagation & Pick<Propagation, "cross"> & {
    readonly residual: Float32Array | undefined;
    readonly packed: DeviceBuffer<"f32">;
    /** Of the damping `damped`. */
    readonly factor: Factor;
    readonly group: number;
    readonly damped: number;
  },
): void {
  const { rows, cols: size } = weight, c = matrix(device.upload("f32", cross), size, size);
  const again = damping !== damped;
  const used = again ? factorHessian(device, packed, { size, group, damping, status: factor.status }) : factor;
  const away = residual && matrix(device.upload("f32", residual.map((x) => share * x)), rows, size);
  propagate(device, weight, { packed, cross: c, factor: used, share, ...(away && { residual: away }) });
  if (away) device.release(away.buffer);
  if (again) releaseFactor(device, used);
  device.release(c.buffer);
}

/**
 * Weights and Hessian in the layer's units. The weights, which the device is handed next, are changed in place; the Hessian and the cross
 * moments, which layers may share, are copied where their unit is not 1.
 */
function inUnits(
  { name, cols, weight, upper, propagation }: MaskJob,
): {
  readonly exponent: number;
  readonly weights: Float32Array;
  readonly upper: Float32Array | undefined;
  readonly cross: Float32Array | undefined;
  readonly residual: Float32Array | undefined;
} {
  const exponent = weightExponent(weight), unit = upper ? hessianExponent(upper, cols) : 0;
  if (Number.isNaN(exponent)) {
    const at = weight.findIndex((w) => !Number.isFinite(w));
    throw new RangeError(
      `Cannot compress layer "${name}" as its weights must be finite: weight ${at % cols} of row ` +
        `${Math.floor(at / cols)} is ${weight[at]}; the checkpoint is broken: take it from its source again`,
    );
  }
  if (Number.isNaN(unit)) {
    throw new RangeError(
      `Cannot compress layer "${name}" as the second moments of its inputs, from stages.calibrate, must be finite: the ` +
        "activations overflow float32; look for extreme weights in the layers before it",
    );
  }
  const scaled = (moments: Float32Array | undefined) =>
    moments && unit !== 0 ? scaleByPower(moments.slice(), -unit) : moments;
  return {
    exponent,
    weights: scaleByPower(weight, -exponent),
    upper: scaled(upper),
    cross: scaled(propagation?.cross),
    residual: propagation?.residual && scaleByPower(propagation.residual.slice(), -unit - exponent),
  };
}
