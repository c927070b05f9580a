/** What the files of the conformance suite share: operands that are windows of larger buffers, and bounds. */
import assert from "node:assert/strict";
import { type Device, type Matrix, matrix } from "./device.ts";
import { normal } from "./binary/row_kernels_test_support.ts";

/** Half a unit in the last place of float32, relative. */
export const FLOAT = 2 ** -24;

/** Shapes for what works element by element. */
export const ELEMENT_SIZES = {
  "1×1": { rows: 1, cols: 1 },
  "primes, 7×5": { rows: 7, cols: 5 },
  "primes, 53×127": { rows: 53, cols: 127 },
  "workgroup + 1, 65×257": { rows: 65, cols: 257 },
  "576 wide": { rows: 5, cols: 576 },
  "1536 wide": { rows: 3, cols: 1536, slow: true },
  "4096 wide": { rows: 2, cols: 4096 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, slow: true },
};

/** Shapes of column blocks: runs are as long as `of` says, and columns a multiple of it. */
export const RUN_SIZES = {
  "1×1": { rows: 1, cols: 1, of: 1 },
  "primes, 13×53 of 53": { rows: 13, cols: 53, of: 53 },
  "primes, 61×35 of 7": { rows: 61, cols: 35, of: 7 },
  "workgroup + 1, 65×129 of 3": { rows: 65, cols: 129, of: 3 },
  "short last block, 29×44 of 4": { rows: 29, cols: 44, of: 4 },
  "576 wide": { rows: 7, cols: 576, of: 8 },
  "1536 wide": { rows: 3, cols: 1536, of: 8, slow: true },
  "4096 wide": { rows: 2, cols: 4096, of: 32 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, of: 8, slow: true },
};

/** One of them. */
export interface RunSize {
  readonly rows: number;
  readonly cols: number;
  readonly of: number;
}

/** A matrix on the device, and what was put into its buffer. */
export interface Host {
  readonly at: Matrix;
  readonly data: Float32Array;
}

/** Standard normal numbers as a window with `gap` unused columns, `gap` rows' beginnings into its buffer. */
export function randomWindow(
  device: Device,
  { rows, cols, gap = 0, seed }: {
    readonly rows: number;
    readonly cols: number;
    readonly gap?: number;
    readonly seed: number;
  },
): Host {
  const next = normal(seed), offset = 2 * gap, stride = cols + gap;
  const data = Float32Array.from({ length: offset + rows * stride }, () => next());
  return { at: { buffer: device.upload("f32", data.slice()), rows, cols, offset, stride }, data };
}

/** An element of what was uploaded. */
export function get({ at, data }: Host, row: number, col: number): number {
  return data[at.offset + row * at.stride + col];
}

/** A matrix of zeros on the device. */
export function zeros(device: Device, rows: number, cols: number): Matrix {
  return matrix(device.alloc("f32", rows * cols), rows, cols);
}

/** |found − exact| ≤ tolerance · size */
export function close(found: number, exact: number, tolerance: number, size = Math.abs(exact)): void {
  if (!(Math.abs(found - exact) <= tolerance * size)) {
    assert.fail(`${found} is not ${exact} within ${tolerance * size}`);
  }
}

/** The same for all elements, with the largest |wanted| as size; the message names the worst one. */
export function allClose(found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, wanted.length, what);
  let size = 0, worst = 0, place = 0;
  for (let i = 0; i < wanted.length; i++) {
    size = Math.max(size, Math.abs(wanted[i]));
    const apart = Math.abs(found[i] - wanted[i]);
    if (!(apart <= worst)) [worst, place] = [apart, i];
  }
  if (!(worst <= tolerance * size)) {
    assert.fail(`${what} at ${place}: ${found[place]} is not ${wanted[place]} within ${tolerance * size}`);
  }
}

/** Equal element for element, without listing thousands of them. */
export function allEqual(found: ArrayLike<number>, wanted: ArrayLike<number>, what: string): void {
  assert.equal(found.length, wanted.length, what);
  let differing = 0, first = 0;
  for (let i = wanted.length - 1; i >= 0; i--) {
    if (found[i] !== wanted[i]) [differing, first] = [differing + 1, i];
  }
  if (differing > 0) {
    assert.fail(
      `${what}: ${differing} of ${wanted.length} differ, at ${first} first: ${found[first]}, not ${wanted[first]}`,
    );
  }
}

/** At most `most` indices below `length`, scattered without a common step. */
export function scattered(length: number, most: number): number[] {
  if (length <= most) return Array.from({ length }, (_, i) => i);
  const step = length / most;
  return Array.from({ length: most }, (_, i) => Math.min(length - 1, Math.floor(i * step + (i % 7) * step / 7)));
}

/** Symmetric, with a dead row and column. */
export function symmetric(size: number): Float32Array {
  const next = normal(size), out = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const dead = i === 2 || j === 2;
      out[i * size + j] = out[j * size + i] = dead ? 0 : i === j ? 1 + Math.abs(next()) : next();
    }
  }
  return out;
}

/** A smooth kernel matrix: positive definite, strongly correlated, and quick to make at any size. */
export function correlated(size: number): Float32Array {
  const decay = Float64Array.from({ length: size }, (_, d) => Math.exp(-d / 40));
  return Float32Array.from({ length: size * size }, (_, at) => {
    const i = Math.floor(at / size), j = at % size;
    return decay[Math.abs(i - j)] * (1 + i % 3) * (1 + j % 3);
  });
}

/** Mean of the diagonal, zeros counted as 1. */
export function meanDiagonal(full: Float32Array, size: number): number {
  let sum = 0;
  for (let j = 0; j < size; j++) sum += full[j * (size + 1)] || 1;
  return sum / size;
}
