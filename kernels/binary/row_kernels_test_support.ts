/**
 * Plain float64 references for the row kernels, written from the formulas alone, and the data that their tests share.
 */

import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "./quantized_layer.ts";

/** Numbers of [0, 1) from a 32-bit seed. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers from a 32-bit seed. */
export function normal(seed: number): () => number {
  const next = uniform(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** The kinds of weights that the kernels must survive. */
export const KINDS = ["normal", "heavy", "constant", "zero rows", "two values", "integers"] as const;
export type Kind = typeof KINDS[number];

/** rows × cols weights of one kind. */
export function weights(kind: Kind, rows: number, cols: number, seed: number): Float32Array {
  const next = normal(seed);
  return Float32Array.from({ length: rows * cols }, (_, at) => {
    const x = next(), row = Math.floor(at / cols);
    switch (kind) {
      case "normal":
        return x;
      case "heavy":
        return x * Math.exp(2 * next()) * 1e-2;
      case "constant":
        return 0.3;
      case "zero rows":
        return row % 2 === 0 ? 0 : x;
      case "two values":
        return x > 0.2 ? 0.7 : -0.1;
      case "integers":
        return Math.round(2 * x);
    }
  });
}

/** cols × cols: XᵀX/tokens of correlated inputs, symmetric, float32. */
export function gram(cols: number, seed: number, tokens = 3 * cols): Float32Array {
  const next = normal(seed);
  const x = Float64Array.from({ length: tokens * cols }, () => next());
  for (let t = 0; t < tokens; t++) {
    const shared = next();
    for (let c = 0; c < cols; c++) x[t * cols + c] = (x[t * cols + c] + shared) * (1 + (c % 5));
  }
  const s = new Float32Array(cols * cols);
  for (let i = 0; i < cols; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += x[t * cols + i] * x[t * cols + j];
      s[i * cols + j] = s[j * cols + i] = sum / tokens;
    }
  }
  return s;
}

/**
 * Group of every weight from random cuts; the first `salientColumns` columns are group 0. As searchSegments writes it.
 */
export function groupCodes(w: Float32Array, cols: number, salientColumns: number, segments: number): Uint8Array {
  const magnitudes = Float32Array.from(w, Math.abs).sort();
  return Uint8Array.from(w, (v, at) => {
    if (at % cols < salientColumns) return 0;
    let group = 1;
    for (let g = 1; g < segments; g++) if (Math.abs(v) >= magnitudes[Math.floor(g * w.length / segments)]) group++;
    return group << GROUP_SHIFT;
  });
}

/** uᵀSv. */
export function form(u: ArrayLike<number>, s: ArrayLike<number>, v: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < u.length; i++) {
    for (let j = 0; j < v.length; j++) sum += u[i] * s[i * v.length + j] * v[j];
  }
  return sum;
}

/** S-weighted squared error of every row: (w − ŵ)S(w − ŵ)ᵀ. */
export function rowErrors(w: Float32Array, decoded: Float32Array, s: Float32Array, cols: number): number[] {
  return Array.from({ length: w.length / cols }, (_, r) => {
    const e = Float64Array.from({ length: cols }, (_, c) => w[r * cols + c] - decoded[r * cols + c]);
    return form(e, s, e);
  });
}

/** Product of an m × k and a k × n matrix in float64, rounded once. */
export function multiply(a: Float32Array, b: Float32Array, k: number): Float32Array {
  const m = a.length / k, n = b.length / k;
  return Float32Array.from({ length: m * n }, (_, at) => {
    const i = Math.floor(at / n), j = at % n;
    let sum = 0;
    for (let p = 0; p < k; p++) sum += a[i * k + p] * b[p * n + j];
    return sum;
  });
}

/** Order-1 or order-2 residual binarization of a set: what each value becomes (prototype `residual`). */
export function residual(values: readonly number[], order: 1 | 2): number[] {
  const approximation = values.map(() => 0);
  for (let o = 0; o < order; o++) {
    const rest = values.map((v, i) => v - approximation[i]);
    const mean = rest.reduce((a, b) => a + b, 0) / Math.max(rest.length, 1);
    const scale = rest.reduce((a, b) => a + Math.abs(b - mean), 0) / Math.max(rest.length, 1);
    rest.forEach((v, i) => approximation[i] += mean + (v - mean >= 0 ? scale : -scale));
  }
  return approximation;
}

/** Masks, signs and weights of one group of one row as dense vectors. */
export function groupVectors(codes: Uint8Array, row: number, cols: number, group: number) {
  const m = new Float64Array(cols), b = new Float64Array(cols), c = new Float64Array(cols);
  for (let j = 0; j < cols; j++) {
    const code = codes[row * cols + j];
    if (code >> GROUP_SHIFT !== group || (code & KEPT) === 0) continue;
    m[j] = 1;
    b[j] = (code & SIGN) !== 0 ? 1 : -1;
    c[j] = (code & SECOND_SIGN) !== 0 ? 1 : -1;
  }
  return { m, b, c };
}

/** Largest |a − b| relative to the largest |b|. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = 0, size = 0;
  for (let i = 0; i < b.length; i++) {
    worst = Math.max(worst, Math.abs(a[i] - b[i]));
    size = Math.max(size, Math.abs(b[i]));
  }
  return size === 0 ? worst : worst / size;
}
