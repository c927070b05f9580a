/** Buffers of the CPU device, and the arrays that operations see of them. */
import type { DeviceBuffer, ElementArrays, ElementType, Matrix } from "./device_buffer.ts";

/** A row-major matrix in an array. */
export interface ArrayWindow<A extends Float32Array | Uint8Array | Uint32Array = Float32Array> {
  readonly data: A;
  readonly rows: number;
  readonly cols: number;
  /** Index of the first element. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/** A buffer whose array is made when it is first used. */
export class CpuBuffer<T extends ElementType> implements DeviceBuffer<T> {
  readonly type: T;
  readonly length: number;
  #array: ElementArrays[T] | undefined;
  #released = false;

  constructor(type: T, length: number, array?: ElementArrays[T]) {
    this.type = type;
    this.length = length;
    this.#array = array;
  }

  /** @throws {Error} after its release */
  get array(): ElementArrays[T] {
    if (this.#released) throw new Error(`A ${this.type} buffer of ${this.length} was used after its release`);
    return this.#array ??= makeArray(this.type, this.length);
  }

  /** Frees the array. */
  release(): void {
    this.#array = undefined;
    this.#released = true;
  }
}

function makeArray<T extends ElementType>(type: T, length: number): ElementArrays[T] {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => new Float32Array(length),
    u8: () => new Uint8Array(length),
    u32: () => new Uint32Array(length),
  };
  return arrays[type]();
}

/** @throws {TypeError} when the buffer is another device's */
export function owned<T extends ElementType>(buffer: DeviceBuffer<T>): CpuBuffer<T> {
  if (!(buffer instanceof CpuBuffer)) throw new TypeError("Cannot use a buffer of another device");
  return buffer;
}

/**
 * A matrix as a window of its array.
 *
 * @throws {RangeError} when it does not lie in its buffer
 */
export function view<T extends ElementType>(m: Matrix<T>): ArrayWindow<ElementArrays[T]> {
  const { rows, cols, offset, stride } = m;
  const end = offset + (rows - 1) * stride + cols;
  if (rows > 0 && cols > 0 && end > m.buffer.length) {
    throw new RangeError(`Cannot use ${rows}×${cols} at ${offset} of a buffer of ${m.buffer.length}`);
  }
  return { data: owned(m.buffer).array, rows, cols, offset, stride };
}

/**
 * The elements of a matrix without gaps.
 *
 * @throws {RangeError} when it has gaps, or does not lie in its buffer
 */
export function dense<T extends ElementType>(m: Matrix<T>): ElementArrays[T] {
  const { data, rows, cols, offset, stride } = view(m);
  if (rows > 1 && stride !== cols) throw new RangeError(`Cannot use a ${rows}×${cols} window of stride ${stride} here`);
  return data.subarray(offset, offset + rows * cols) as ElementArrays[T];
}
