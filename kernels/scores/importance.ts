/**
 * Importance of every weight of a column block, for choosing which weights stay.
 *
 * Scores only order weights; turning them into masks is `rankNM` (`select.ts`).
 */
import type { Matrix } from "../device.ts";

/** How important a weight is taken to be. `si` can be negative: it is an order, not a size. */
export type ImportanceMetric =
  | "hessian"
  | "hessian-squared"
  | "magnitude"
  | "wanda"
  | "ria"
  | "si"
  | "random";

/** What `importanceOf` reads besides the weights; a metric needs only the fields named in its line. */
export interface ImportanceOptions {
  readonly rows: number;
  readonly cols: number;
  readonly metric: ImportanceMetric;
  /** cols: U_jj of the upper factor of the damped inverse, H⁻¹ = UᵀU (hessian). */
  readonly diagonalU?: Float32Array;
  /** cols: [H⁻¹]_jj of the damped H (hessian-squared). */
  readonly inverseDiagonal?: Float32Array;
  /** cols: ‖X_j‖, or √H_jj, which differs by a constant factor (wanda, ria, si). */
  readonly inputNorm?: Float32Array;
  /** rows: Σ|w| of each row of the whole layer (ria, si). */
  readonly rowSums?: Float32Array;
  /** cols: Σ|w| of each column of the block (ria, si). */
  readonly columnSums?: Float32Array;
  /** Mean and standard deviation of |w|/Σcol + |w|/Σrow over the whole layer (si). */
  readonly moments?: { readonly mean: number; readonly deviation: number };
  /** 32-bit seed (random). */
  readonly seed?: number;
  /** Column of the layer at which the block starts (random). */
  readonly firstColumn?: number;
}

/**
 * What scores may need besides the weights; see `ImportanceOptions`. All vectors are 1 × cols but `rowSums`, 1 × rows.
 */
export interface ScoreOptions {
  readonly metric: ImportanceMetric;
  readonly diagonalU?: Matrix;
  readonly inverseDiagonal?: Matrix;
  readonly inputNorm?: Matrix;
  readonly rowSums?: Matrix;
  readonly columnSums?: Matrix;
  /** 1 × 2: mean and standard deviation. */
  readonly moments?: Matrix;
  readonly seed?: number;
  readonly firstColumn?: number;
}

/**
 * Scores one column block: hessian w²/U_jj² (SparseGPT, BiLLM), hessian-squared w²/[H⁻¹]_jj² (PBS²P as printed),
 * magnitude |w|, wanda |w|·‖X_j‖, ria (|w|/Σcol + |w|/Σrow)·‖X_j‖^½, si (z-score of the same sum, times ‖X_j‖;
 * STBLLM), random.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const score = new Float32Array(2);
 * const options = { rows: 1, cols: 2, metric: "hessian", diagonalU: Float32Array.of(0.5, 1) } as const;
 * importanceOf(score, Float32Array.of(1, -3), options);
 * assert.deepEqual([...score], [4, 9]);
 * ```
 * @param out rows × cols, overwritten
 * @param w rows × cols
 * @throws {TypeError} when the metric needs a vector that was not given
 */
export function importanceOf(out: Float32Array, w: Float32Array, options: ImportanceOptions): void {
  const { rows, cols, metric } = options;
  switch (metric) {
    case "hessian":
      return squared(out, w, rows, cols, given(metric, "diagonalU", options.diagonalU));
    case "hessian-squared":
      return squared(out, w, rows, cols, given(metric, "inverseDiagonal", options.inverseDiagonal));
    case "magnitude":
      return scaled(out, w, rows, cols, new Float64Array(cols).fill(1));
    case "wanda":
      return scaled(out, w, rows, cols, Float64Array.from(given(metric, "inputNorm", options.inputNorm)));
    case "ria":
      return relative(out, w, options, 0, given(metric, "inputNorm", options.inputNorm).map(Math.sqrt));
    case "si": {
      const { mean, deviation } = given(metric, "moments", options.moments);
      const spread = deviation > 0 ? deviation : 1;
      return relative(out, w, options, mean, given(metric, "inputNorm", options.inputNorm).map((x) => x / spread));
    }
    case "random":
      return random(out, rows, cols, given(metric, "seed", options.seed), options.firstColumn ?? 0);
    default:
      throw new TypeError(`Cannot score weights by metric "${metric satisfies never}"`);
  }
}

/**
 * Mean and standard deviation (population) of |w|/Σcol + |w|/Σrow over a whole layer, for metric `si`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const w = Float32Array.of(1, -1);
 * assert.deepEqual(relativeMoments(w, Float32Array.of(2), Float32Array.of(1, 1)), { mean: 1.5, deviation: 0 });
 * ```
 * @param w rows × cols, the whole layer
 * @param rowSums rows: Σ|w| of each row
 * @param columnSums cols: Σ|w| of each column
 */
export function relativeMoments(
  w: Float32Array,
  rowSums: Float32Array,
  columnSums: Float32Array,
): { mean: number; deviation: number } {
  const rows = rowSums.length, cols = columnSums.length;
  const byColumn = reciprocals(columnSums);
  let sum = 0, squares = 0;
  for (let r = 0; r < rows; r++) {
    const byRow = rowSums[r] > 0 ? 1 / rowSums[r] : 0;
    for (let c = 0, at = r * cols; c < cols; c++, at++) {
      const x = Math.abs(w[at]) * (byRow + byColumn[c]);
      sum += x;
      squares += x * x;
    }
  }
  const count = Math.max(rows * cols, 1);
  const mean = sum / count;
  return { mean, deviation: Math.sqrt(Math.max(squares / count - mean * mean, 0)) };
}

/** Σ|w| over each row and each column of a layer, for metrics `ria` and `si`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const { rowSums, columnSums } = absoluteSumsOf(Float32Array.of(1, -2, 3, 0), 2, 2);
 * assert.deepEqual([...rowSums, ...columnSums], [3, 3, 4, 2]);
 * ```
 */
export function absoluteSumsOf(
  w: Float32Array,
  rows: number,
  cols: number,
): { rowSums: Float32Array; columnSums: Float32Array } {
  const rowSums = new Float32Array(rows);
  const totals = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (let c = 0, at = r * cols; c < cols; c++, at++) {
      const a = Math.abs(w[at]);
      sum += a;
      totals[c] += a;
    }
    rowSums[r] = sum;
  }
  return { rowSums, columnSums: Float32Array.from(totals) };
}

function given<T>(metric: ImportanceMetric, name: keyof ImportanceOptions, value: T | undefined): T {
  if (value === undefined) throw new TypeError(`Cannot score weights by metric "${metric}" as "${name}" is missing`);
  return value;
}

function reciprocals(x: Float32Array): Float64Array {
  return Float64Array.from(x, (v) => v > 0 ? 1 / v : 0);
}

function squared(out: Float32Array, w: Float32Array, rows: number, cols: number, divisor: Float32Array): void {
  const factor = Float64Array.from(divisor, (d) => 1 / (d * d));
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) out[at] = w[at] * w[at] * factor[c];
  }
}

function scaled(out: Float32Array, w: Float32Array, rows: number, cols: number, factor: Float64Array): void {
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) out[at] = Math.abs(w[at]) * factor[c];
  }
}

/** out = (|w|/Σcol + |w|/Σrow − shift)·factor_j; a row or column without weights counts as zero. */
function relative(
  out: Float32Array,
  w: Float32Array,
  options: ImportanceOptions,
  shift: number,
  factor: Float32Array,
): void {
  const { rows, cols, metric } = options;
  const byColumn = reciprocals(given(metric, "columnSums", options.columnSums));
  const byRow = reciprocals(given(metric, "rowSums", options.rowSums));
  for (let r = 0, at = 0; r < rows; r++) {
    const row = byRow[r];
    for (let c = 0; c < cols; c++, at++) out[at] = (Math.abs(w[at]) * (row + byColumn[c]) - shift) * factor[c];
  }
}

/** A value of [0, 1) that depends on nothing but (seed, row, column), by integer mixing that a shader can repeat. */
function random(out: Float32Array, rows: number, cols: number, seed: number, firstColumn: number): void {
  for (let r = 0, at = 0; r < rows; r++) {
    const row = mix(mix(seed | 0) ^ r);
    for (let c = 0; c < cols; c++, at++) out[at] = (mix(row ^ (firstColumn + c)) >>> 8) * 2 ** -24;
  }
}

/** MurmurHash3's 32-bit finaliser, on an input moved away from its fixed point 0. */
function mix(x: number): number {
  let h = (x + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
