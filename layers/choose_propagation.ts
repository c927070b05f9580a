/**
 * How far a layer's weights are to move towards its outputs in the original model, and how damped: chosen on two halves of the calibration.
 *
 * Weights that move along what one half says about the inputs are judged on the other half, and the other way round. What is said of the
 * calibration text alone then moves them little, and what holds for both halves moves them far.
 */
import { type Device, type DeviceBuffer, type Matrix, matrix, part } from "../kernels/device.ts";
import {
  addDot,
  addEnergy,
  copy,
  factorHessian,
  gemm,
  releaseFactor,
  solveRight,
  subtract,
} from "../kernels/matrix/ops.ts";
import type { ChosenPropagation, MaskJob, Propagation } from "./job.ts";
import { lessHessian } from "./propagate.ts";
import { hessianExponent, scaleByPower, weightExponent } from "./units.ts";

/** Dampings that are tried, times the mean of diag(H): the first is preferred among equals. */
export const DAMPINGS = [1, 0.1, 0.01] as const;

/** Moments of one half on the device. */
interface Half {
  readonly packed: DeviceBuffer<"f32">;
  /** W(C − H), and what the residual stream is off, rows × cols */
  readonly change: Matrix;
}

/**
 * Chooses p and δ where the job leaves them to it. With the halves A and B, D_A = (C_A − H_A)(H_A + δI)⁻¹ and M_A = W·D_A, what moving by p
 * gains on the half that D was not made from is 2p·n − p²·d, with n = Σ tr(W(C_B − H_B)·M_Aᵀ) and d = Σ tr(M_A·H_B·M_Aᵀ) over (A, B) and
 * (B, A). So the best p is n/d, between 0 and 1. Of the dampings the one that gains most is taken, of equals the larger. Where the layer is
 * to make up for its residual stream, too, each half's (R_o − R)ᵀX is added to its W(C − H).
 *
 * @param group columns of a panel of the factor
 * @returns undefined where nothing is to be chosen
 * @throws {RangeError} when a damped half of the Hessian is not positive definite
 */
export async function choosePropagation(
  device: Device,
  job: MaskJob,
  group: number,
): Promise<ChosenPropagation | undefined> {
  const { name, rows, cols, upper, propagation } = job;
  if (propagation === undefined || upper === undefined) return undefined;
  const { share, damping, cross, residual, half } = propagation;
  if (share !== "auto" && damping !== "auto") return undefined;
  if (half === undefined) throw new Error(`Cannot choose how far layer "${name}" moves as there are no halves`);
  const dampings = damping === "auto" ? DAMPINGS : [damping], buffers: DeviceBuffer[] = [];
  const owned = <B extends DeviceBuffer>(buffer: B): B => {
    buffers.push(buffer);
    return buffer;
  };
  const unit = -hessianExponent(upper, cols), exponent = weightExponent(job.weight);
  // The layer itself says what is wrong with weights or moments that are not finite.
  if (Number.isNaN(unit) || Number.isNaN(exponent)) return undefined;
  try {
    const weight = matrix(owned(device.upload("f32", scaleByPower(job.weight.slice(), -exponent))), rows, cols);
    const open = (moments: NonNullable<Propagation["half"]>): Half => {
      const packed = owned(device.upload("f32", scaleByPower(moments.upper, unit)));
      const away = matrix(device.upload("f32", scaleByPower(moments.cross, unit)), cols, cols);
      lessHessian(device, away, packed);
      const change = matrix(owned(device.alloc("f32", rows * cols)), rows, cols);
      device.run(gemm, change, weight, away);
      device.release(away.buffer);
      if (moments.residual) {
        const negative = scaleByPower(moments.residual.map((x) => -x), unit - exponent);
        const added = matrix(device.upload("f32", negative), rows, cols);
        device.run(subtract, change, change, added);
        device.release(added.buffer);
      }
      return { packed, change };
    };
    const first = open({ ...half, upper: half.upper.slice(), cross: half.cross.slice() });
    const rest = residual && half.residual && { residual: less(residual, half.residual) };
    const second = open({ upper: less(upper, half.upper), cross: less(cross, half.cross), ...rest });
    const sums = matrix(device.alloc("f32", 2 * dampings.length), 1, 2 * dampings.length);
    const status = matrix(device.alloc("u32", 1), 1, 1);
    const moved = matrix(owned(device.alloc("f32", rows * cols)), rows, cols);
    for (const [i, damping] of dampings.entries()) {
      for (const [mine, other] of [[first, second], [second, first]]) {
        const factor = factorHessian(device, mine.packed, { size: cols, group, damping, status });
        device.run(copy, moved, mine.change);
        solveRight(device, factor, moved);
        releaseFactor(device, factor);
        device.run(addDot, part(sums, { col: 2 * i, cols: 1 }), other.change, moved, 1);
        addEnergy(device, part(sums, { col: 2 * i + 1, cols: 1 }), moved, other.packed);
      }
    }
    const [found, [bad]] = await device.download([sums.buffer, status.buffer]);
    if (bad > 0) {
      throw new RangeError(
        `Cannot factor the Hessian of layer "${name}" on half of the calibration as pivot ${bad - 1} of ${cols} must ` +
          `be positive: raise stages.calibrate.propagation_damping, whose current value is ${damping}, or stages.calibrate.samples`,
      );
    }
    return best(found, { dampings, share });
  } finally {
    for (const buffer of buffers) device.release(buffer);
  }
}

/** @param sums n and d of each damping */
function best(
  sums: Float32Array,
  { dampings, share }: { readonly dampings: readonly number[]; readonly share: number | "auto" },
): ChosenPropagation {
  const tried = dampings.map((damping, i) => {
    const [n, d] = sums.subarray(2 * i, 2 * i + 2);
    const p = share !== "auto" ? share : d > 0 ? Math.min(1, Math.max(0, n / d)) : 0;
    return { share: p, damping, gain: 2 * p * n - p * p * d };
  });
  const { gain: _gain, ...chosen } = tried.reduce((best, next) => next.gain > best.gain ? next : best);
  return chosen;
}

/** The other half. */
function less(whole: Float32Array, half: Float32Array): Float32Array {
  return whole.map((x, i) => x - half[i]);
}
