/** Memory on a device, and matrices in it. */

/** What a buffer can hold. */
export type ElementType = "f32" | "u8" | "u32";

/** The array of each element type, on this side. */
export interface ElementArrays {
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
}

/** Memory on the device; zero until written. */
export interface DeviceBuffer<T extends ElementType = ElementType> {
  readonly type: T;
  /** Elements. */
  readonly length: number;
}

/**
 * A row-major matrix in a buffer; vectors are matrices of one row.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { type Matrix, part } from "./device_buffer.ts";
 *
 * const whole: Matrix<"u8"> = { buffer: { type: "u8", length: 6 }, rows: 2, cols: 3, offset: 0, stride: 3 };
 * const column: Matrix<"u8"> = part(whole, { col: 1, cols: 1 });
 * assert.deepEqual([column.rows, column.cols, column.offset, column.stride], [2, 1, 1, 3]);
 * ```
 */
export interface Matrix<T extends ElementType = "f32"> {
  readonly buffer: DeviceBuffer<T>;
  readonly rows: number;
  readonly cols: number;
  /** Element at which it starts. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/**
 * A whole buffer as a matrix, or its first rows × cols elements.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./device_buffer.ts";
 *
 * const { rows, cols, offset, stride } = matrix({ type: "f32", length: 12 }, 3, 4);
 * assert.deepEqual([rows, cols, offset, stride], [3, 4, 0, 4]);
 * ```
 */
export function matrix<T extends ElementType>(buffer: DeviceBuffer<T>, rows: number, cols: number): Matrix<T> {
  return { buffer, rows, cols, offset: 0, stride: cols };
}

/**
 * Some rows and columns of a matrix, without copying.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix, part } from "./device_buffer.ts";
 *
 * const whole = matrix({ type: "f32", length: 12 }, 3, 4);
 * const corner = part(whole, { row: 1, col: 2 });
 * assert.deepEqual([corner.rows, corner.cols, corner.offset, corner.stride], [2, 2, 6, 4]);
 * ```
 */
export function part<T extends ElementType>(
  from: Matrix<T>,
  at: { readonly row?: number; readonly col?: number; readonly rows?: number; readonly cols?: number },
): Matrix<T> {
  const { row = 0, col = 0, rows = from.rows - row, cols = from.cols - col } = at;
  return { buffer: from.buffer, rows, cols, offset: from.offset + row * from.stride + col, stride: from.stride };
}

/**
 * For the checks of operations.
 *
 * @param op the operation's name
 * @throws {RangeError} when a matrix has another shape
 */
export function expectShape(op: string, m: Matrix<ElementType>, rows: number, cols: number): void {
  if (m.rows === rows && m.cols === cols) return;
  throw new RangeError(
    `Cannot enqueue "${op}" as its operand must be ${rows}×${cols}: current value is ${m.rows}×${m.cols}`,
  );
}
