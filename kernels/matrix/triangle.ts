/** Symmetric matrices as their packed upper triangle, row after row: n(n+1)/2 values instead of n². */

/** Values of a packed triangle. */
export function triangleLength(size: number): number {
  return size * (size + 1) / 2;
}

/**
 * Packs the upper triangle of a square matrix.
 *
 * @param full size × size; what is below the diagonal is not read
 * @returns size·(size+1)/2 values: row 0 from column 0, row 1 from column 1, …
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { packUpper, unpackUpper } from "./triangle.ts";
 * const packed = packUpper(Float32Array.of(1, 2, 2, 5), 2);
 * assert.deepEqual([...packed], [1, 2, 5]);
 * assert.deepEqual([...unpackUpper(packed, 2)], [1, 2, 2, 5]);
 * ```
 */
export function packUpper(full: Float32Array, size: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(triangleLength(size));
  for (let row = 0, at = 0; row < size; row++) {
    out.set(full.subarray(row * size + row, (row + 1) * size), at);
    at += size - row;
  }
  return out;
}

/**
 * The symmetric matrix of a packed triangle.
 *
 * @param packed size·(size+1)/2 values, see `packUpper`
 * @returns size × size
 * @throws {RangeError} when `packed` has another length
 */
export function unpackUpper(packed: Float32Array, size: number): Float32Array<ArrayBuffer> {
  if (packed.length !== triangleLength(size)) {
    throw new RangeError(
      `Cannot unpack a ${size}×${size} triangle as it takes ${
        triangleLength(size)
      } values: current value is ${packed.length}`,
    );
  }
  const out = new Float32Array(size * size);
  unpackPart(out, packed, { size, row: 0, col: 0, rows: size, cols: size, offset: 0, stride: size });
  return out;
}

/** Which part of a symmetric matrix goes where. */
export interface TrianglePart {
  /** Rows and columns of the whole matrix. */
  readonly size: number;
  /** First row and column of the part. */
  readonly row: number;
  readonly col: number;
  readonly rows: number;
  readonly cols: number;
  /** Where the part starts in `out`, and the elements from one of its rows to the next. */
  readonly offset: number;
  readonly stride: number;
}

/** Writes some rows and columns of the symmetric matrix of a packed triangle. */
export function unpackPart(out: Float32Array, packed: Float32Array, part: TrianglePart): void {
  const { size, row, col, rows, cols, offset, stride } = part;
  for (let i = row; i < row + rows; i++) {
    const line = offset + (i - row) * stride - col;
    // Left of the diagonal the value lies in an earlier row, each one shorter than the one before by 1.
    const turn = Math.min(Math.max(i, col), col + cols);
    let at = rowStart(col, size) + i;
    for (let j = col; j < turn; j++) {
      out[line + j] = packed[at];
      at += size - j - 1;
    }
    if (turn < col + cols) {
      const start = rowStart(i, size);
      out.set(packed.subarray(start + turn, start + col + cols), line + turn);
    }
  }
}

/** Where column 0 of a row would lie, if it were stored. */
function rowStart(row: number, size: number): number {
  return row * size - row * (row + 1) / 2;
}
