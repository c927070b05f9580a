/** A column block of a layer, column by column: each is rounded after the errors of those before it have reached it (GPTQ's order). */
import { MAX_CODE, SIZE_STEPS } from "./contexts.ts";
import { roundColumn, type Rounding, roundingScratch } from "./round.ts";
import { logNear, STEP_PARTS, stepOf } from "./steps.ts";

/** A column block on its way. Matrices have a row for each column of the layer, so that a column is contiguous. */
export interface TrellisBlock {
  /** width × rows: what is to be met; becomes what each column was to meet when its turn came. */
  readonly target: Float32Array;
  /** width × width: U of the block, upper. */
  readonly factor: Float32Array;
  /** c: the step of column j is c·U_jj. */
  readonly step: number;
  /** [width]: root mean squares of the columns' own weights. */
  readonly columnRms: Float64Array;
  /** [256]: by a column's size, what the points of such columns were drawn out by; goes from block to block. */
  readonly stretches: Float64Array;
}

/** What becomes of it. */
export interface RoundedBlock {
  /** width × rows */
  readonly codes: Int16Array;
  /** width × rows: (target − decoded)/U_jj. */
  readonly errors: Float32Array;
  /** width × rows */
  readonly decoded: Float32Array;
  /** [width]: logarithms of what columns' points are multiplied with (`stepOf`). */
  readonly stepLogs: Int32Array;
  /** [width]: log2 of each column's size in its steps, in eighths. */
  readonly columnSizes: Int8Array;
}

/** How much of a column's stretch is taken over for those like it. */
const LEARNING = 0.3;

/**
 * Parts of an octave that steps are whole multiples of. Coarser steps take fewer bits of each column, and cost its weights a little of
 * what reverse waterfilling gains: about 0.06·Δ² bits each, Δ in octaves.
 */
export function stepParts(rows: number): number {
  return 2 ** Math.max(0, Math.min(4, Math.round(Math.log2(STEP_PARTS * Math.sqrt(12 / rows)))));
}

/** Stretches that nothing is known of. */
export function noStretches(): Float64Array {
  return new Float64Array(256).fill(1);
}

/** The logarithm of the allowed step that is nearest. */
function onGrid(step: number, every: number): number {
  return Math.round(logNear(step) / every) * every;
}

/** Most that a column's points are drawn out beyond its step; the least squares of the very small. */
const MOST_STRETCH = 1.5;

/**
 * Rounds a column block (WaterSIC, arXiv 2603.04956, with a trellis along each column).
 *
 * With c one constant of the layer, steps c·U_jj give every column the same weighted distortion, as reverse waterfilling asks for. What
 * the points are multiplied with is then fitted to the column, by least squares, and stored.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { noStretches, roundBlock } from "./block.ts";
 * import { CONTEXTS } from "./contexts.ts";
 * import { COSTS } from "./round.ts";
 *
 * const costs = new Int32Array(2 * CONTEXTS * COSTS), rowSizes = new Int8Array(2);
 * const matrices = { target: Float32Array.of(1, -2, 3.2, 0), factor: Float32Array.of(1, 0.5, 0, 1) };
 * const block = { ...matrices, step: 1, columnRms: Float64Array.of(1, 1), stretches: noStretches() };
 * const { codes, decoded, stepLogs } = roundBlock(block, { states: 1, strip: 2, costs, rowSizes });
 * assert.deepEqual([...codes], [1, -2, 3, 0]);
 * assert.deepEqual([...decoded.subarray(0, 2), stepLogs[1]], [1, -2, 0]);
 * ```
 * @param rounding `costs` as they are for `c = 1`: in squared steps
 */
export function roundBlock(block: TrellisBlock, rounding: Rounding): RoundedBlock {
  const { target, factor, step, columnRms, stretches } = block, width = columnRms.length;
  const rows = target.length / width, every = stepParts(rows);
  const codes = new Int16Array(width * rows), errors = new Float32Array(width * rows);
  const decoded = new Float32Array(width * rows);
  const stepLogs = new Int32Array(width), columnSizes = new Int8Array(width);
  const x = new Float64Array(rows), points = new Float64Array(rows), scratch = roundingScratch(rows);
  for (let j = 0; j < width; j++) {
    const u = factor[j * (width + 1)], column = target.subarray(j * rows, (j + 1) * rows);
    takeErrors(target, errors, { factor, width, rows, column: j });
    let largest = 0;
    for (let i = 0; i < rows; i++) largest = Math.max(largest, Math.abs(column[i]));
    // No code may be too large, whatever the column's inputs are, nor once the step is rounded to its grid.
    const wanted = Math.max(step * u, 1.5 * largest / MAX_CODE), near = sizeIndex(columnRms[j] / wanted);
    // So that what is stored is what suits, once points are drawn out or together as those of other columns like it were.
    const stretched = stretches[near + 128], fine = stepOf(onGrid(wanted * stretched, every)) / stretched;
    columnSizes[j] = sizeIndex(columnRms[j] / fine);
    for (let i = 0; i < rows; i++) x[i] = column[i] / fine;
    const own = codes.subarray(j * rows, (j + 1) * rows);
    roundColumn(own, points, { ...rounding, x, columnSize: columnSizes[j] }, scratch);
    let meets = 0, energy = 0;
    for (let i = 0; i < rows; i++) {
      meets += x[i] * points[i];
      energy += points[i] * points[i];
    }
    const stretch = energy > 0 ? Math.min(meets / energy, MOST_STRETCH) : 1;
    stepLogs[j] = onGrid(fine * stretch, every);
    stretches[near + 128] += (stretch - stretched) * LEARNING;
    const scale = stepOf(stepLogs[j]), error = errors.subarray(j * rows, (j + 1) * rows);
    const result = decoded.subarray(j * rows, (j + 1) * rows);
    for (let i = 0; i < rows; i++) {
      const value = Math.fround(points[i] * scale);
      result[i] = value;
      error[i] = (column[i] - value) / u;
    }
  }
  return { codes, errors, decoded, stepLogs, columnSizes };
}

/** log2 in eighths, of what is not 0 and not beyond what a byte holds. */
export function sizeIndex(ratio: number): number {
  return Math.max(-128, Math.min(127, Math.round(Math.log2(ratio) * SIZE_STEPS)));
}

/**
 * Takes the errors of the block's earlier columns off a column: all at once, four at a time, so that it is read and written a quarter as
 * often as errors are.
 */
function takeErrors(
  target: Float32Array,
  errors: Float32Array,
  { factor, width, rows, column }: {
    readonly factor: Float32Array;
    readonly width: number;
    readonly rows: number;
    readonly column: number;
  },
): void {
  const at = column * rows;
  let j = 0;
  for (; j + 3 < column; j += 4) {
    const u0 = factor[j * width + column], u1 = factor[(j + 1) * width + column];
    const u2 = factor[(j + 2) * width + column], u3 = factor[(j + 3) * width + column];
    const e0 = j * rows, e1 = e0 + rows, e2 = e1 + rows, e3 = e2 + rows;
    for (let i = 0; i < rows; i++) {
      target[at + i] -= errors[e0 + i] * u0 + errors[e1 + i] * u1 + errors[e2 + i] * u2 + errors[e3 + i] * u3;
    }
  }
  for (; j < column; j++) {
    const u = factor[j * width + column], e = j * rows;
    for (let i = 0; i < rows; i++) target[at + i] -= errors[e + i] * u;
  }
}
