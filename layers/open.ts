/** A layer on a device: its weights, the factor of its Hessian, and what is known of its columns. */
import {
  type Device,
  type DeviceBuffer,
  type ElementArrays,
  type ElementType,
  type Matrix,
  matrix,
} from "../kernels/device.ts";
import {
  clearColumns,
  type Factor,
  factorHessian,
  inverseDiagonal,
  power,
  releaseFactor,
} from "../kernels/matrix/ops.ts";
import type { MaskJob } from "./layer.ts";
import { absoluteSums } from "../kernels/scores/ops.ts";

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

/** Uploads a layer, factors its Hessian and makes the vectors that its metric needs. */
export function openLayer(device: Device, scope: Scope, job: MaskJob): OpenLayer {
  const { rows, cols, stages } = job, { metric } = stages["fine-search"];
  device.section("compensate");
  const weight = matrix(scope.upload("f32", job.weight), rows, cols);
  const packed = job.upper && scope.upload("f32", job.upper);
  const factor = packed &&
    scope.factor(
      factorHessian(device, packed, { size: cols, group: stages.spbo.group_size, damping: stages.compensate.damping }),
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

/** Remembers what a layer allocates, to free it at its end. */
export class Scope {
  readonly #device: Device;
  readonly #buffers: DeviceBuffer[] = [];
  readonly #factors: Factor[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  /** See `Device.alloc`. */
  buffer<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    const buffer = this.#device.alloc(type, length);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** A buffer as a matrix. */
  matrix<T extends ElementType>(type: T, rows: number, cols: number): Matrix<T> {
    return matrix(this.buffer(type, rows * cols), rows, cols);
  }

  /** See `Device.upload`. */
  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T> {
    const buffer = this.#device.upload(type, data);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Frees a matrix that something else made. */
  own(m: Matrix): Matrix {
    this.#buffers.push(m.buffer);
    return m;
  }

  /** Frees a factor. */
  factor(factor: Factor): Factor {
    this.#factors.push(factor);
    return factor;
  }

  /** Frees everything, once what was enqueued before is done. */
  close(): void {
    for (const factor of this.#factors) releaseFactor(this.#device, factor);
    for (const buffer of this.#buffers) this.#device.release(buffer);
  }
}
