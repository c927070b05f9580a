/** Small operations on matrices that lie as windows in longer arrays. */
import type { ArrayWindow } from "../cpu_buffer.ts";
import { halfExponent, halfIn } from "./half_unit.ts";
import { triangleLength } from "./triangle.ts";

/** out := from. */
export function copyWindow<A extends Float32Array | Uint8Array | Uint32Array>(
  out: ArrayWindow<A>,
  from: ArrayWindow<A>,
): void {
  for (let r = 0; r < out.rows; r++) {
    const start = from.offset + r * from.stride;
    out.data.set(from.data.subarray(start, start + out.cols), out.offset + r * out.stride);
  }
}

/** out (cols × rows) := fromᵀ, in tiles that stay in the cache. */
export function transposeWindow<A extends Float32Array | Uint8Array | Uint32Array>(
  out: ArrayWindow<A>,
  from: ArrayWindow<A>,
): void {
  const tile = 32;
  for (let r0 = 0; r0 < from.rows; r0 += tile) {
    const r1 = Math.min(r0 + tile, from.rows);
    for (let c0 = 0; c0 < from.cols; c0 += tile) {
      const c1 = Math.min(c0 + tile, from.cols);
      for (let c = c0; c < c1; c++) {
        const line = out.offset + c * out.stride;
        for (let r = r0, at = from.offset + r0 * from.stride + c; r < r1; r++, at += from.stride) {
          out.data[line + r] = from.data[at];
        }
      }
    }
  }
}

/** out := (a − b)·diag(scale), or its transpose. */
export function subtractWindow(
  out: ArrayWindow,
  a: ArrayWindow,
  b: ArrayWindow,
  { scale, transposed }: { readonly scale?: ArrayWindow; readonly transposed: boolean },
): void {
  const { rows, cols } = a, x = a.data, y = b.data, z = out.data;
  const acrossRow = transposed ? 1 : out.stride, acrossColumn = transposed ? out.stride : 1;
  for (let r = 0; r < rows; r++) {
    let i = a.offset + r * a.stride, j = b.offset + r * b.stride, k = out.offset + r * acrossRow;
    if (scale === undefined) {
      for (let c = 0; c < cols; c++, i++, j++, k += acrossColumn) z[k] = x[i] - y[j];
    } else {
      const factor = scale.data;
      for (let c = 0, s = scale.offset; c < cols; c++, i++, j++, s++, k += acrossColumn) {
        z[k] = (x[i] - y[j]) * factor[s];
      }
    }
  }
}

/** out := from^exponent. */
export function powerWindow(out: ArrayWindow, from: ArrayWindow, exponent: number): void {
  for (let r = 0; r < out.rows; r++) {
    for (let c = 0; c < out.cols; c++) {
      out.data[out.offset + r * out.stride + c] = from.data[from.offset + r * from.stride + c] ** exponent;
    }
  }
}

/** out (1 × n) := the diagonal of from (n × n). */
export function diagonalOf(out: ArrayWindow, from: ArrayWindow): void {
  for (let j = 0; j < from.cols; j++) out.data[out.offset + j] = from.data[from.offset + j * (from.stride + 1)];
}

/** out (1 × cols) := Σ_rows from², summed in float64. */
export function columnSquaresOf(out: ArrayWindow, from: ArrayWindow): void {
  const sums = new Float64Array(from.cols);
  for (let r = 0; r < from.rows; r++) {
    for (let c = 0, at = from.offset + r * from.stride; c < from.cols; c++, at++) sums[c] += from.data[at] ** 2;
  }
  out.data.set(sums, out.offset);
}

/** Σ a∘b in float64. */
export function dotWindows(a: ArrayWindow, b: ArrayWindow): number {
  const x = a.data, y = b.data;
  let sum = 0;
  for (let r = 0; r < a.rows; r++) {
    const end = a.offset + r * a.stride + a.cols;
    for (let i = a.offset + r * a.stride, j = b.offset + r * b.stride; i < end; i++, j++) sum += x[i] * y[j];
  }
  return sum;
}

/** Zeroes the columns of w whose entry in `live` (1 × cols) is 0. */
export function clearColumnsOf(w: ArrayWindow, live: ArrayWindow): void {
  for (let c = 0; c < w.cols; c++) {
    if (live.data[live.offset + c] !== 0) continue;
    for (let r = 0, at = w.offset + c; r < w.rows; r++, at += w.stride) w.data[at] = 0;
  }
}

/** Rounds each row to float16 and back, in a unit of its own where float16 would lose its largest value. */
export function roundScalesWindow(x: ArrayWindow): void {
  for (let r = 0; r < x.rows; r++) {
    const start = x.offset + r * x.stride, end = start + x.cols;
    let largest = 0;
    for (let at = start; at < end; at++) largest = Math.max(largest, Math.abs(x.data[at]));
    const unit = halfExponent(largest);
    for (let at = start; at < end; at++) x.data[at] = halfIn(unit, x.data[at]) * 2 ** unit;
  }
}

/**
 * The diagonal of a packed symmetric matrix, and what damping adds to it: damping·mean, plus 1 where it is 0; the mean
 * counts such entries as 1.
 *
 * @param diagonal size, overwritten
 * @param added size, overwritten
 */
export function dampDiagonal(diagonal: Float32Array, added: Float32Array, packed: Float32Array, damping: number): void {
  const size = diagonal.length;
  let sum = 0;
  for (let j = 0; j < size; j++) {
    diagonal[j] = packed[triangleLength(size) - triangleLength(size - j)];
    sum += diagonal[j] === 0 ? 1 : diagonal[j];
  }
  const shift = damping * sum / size;
  for (let j = 0; j < size; j++) added[j] = shift + (diagonal[j] === 0 ? 1 : 0);
}
