/** What a layer takes of a device, freed together. */
import {
  type Device,
  type DeviceBuffer,
  type ElementArrays,
  type ElementType,
  type Matrix,
  matrix,
} from "../kernels/device.ts";
import { type Factor, releaseFactor } from "../kernels/matrix/ops.ts";

/**
 * Remembers what a layer allocates, to free it at its end.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../kernels/cpu.ts";
 * import { Scope } from "./scope.ts";
 *
 * const device = openCpuDevice(), scope = new Scope(device);
 * const codes = scope.matrix("u8", 2, 3);
 * assert.deepEqual([codes.buffer.type, codes.buffer.length], ["u8", 6]);
 * scope.close();
 * await assert.rejects(device.download([codes.buffer]));
 * await device.destroy();
 * ```
 */
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
