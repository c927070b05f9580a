/** One pass over a layer with a given step: codes for all of its columns, and what they decode to. */
import { type Device, matrix, part } from "../../kernels/device.ts";
import { copy, type Factor, gemm } from "../../kernels/matrix/ops.ts";
import { noStretches, roundBlock, type Rounding, sizeIndex } from "../../kernels/trellis/ops.ts";

/** Weights to round, with a row for each column of the layer: all rows of the layer, or some of them. */
export interface Columns {
  readonly rows: number;
  readonly cols: number;
  /** cols × rows */
  readonly weight: Float32Array;
  /** [cols]: root mean squares. */
  readonly columnRms: Float64Array;
  /** [rows]: log2 of each row's root mean square against that of all, in eighths. */
  readonly rowSizes: Int8Array;
}

/** How errors are fed to later columns. */
export interface Feedback {
  readonly factor: Factor;
  /** U_bb of each block, on this side. */
  readonly blocks: readonly Float32Array[];
}

/** Brings the blocks of a factor to this side. */
export async function openFeedback(device: Device, factor: Factor): Promise<Feedback> {
  const copies = factor.inverses.map((inverse) => {
    const buffer = device.alloc("f32", inverse.rows * inverse.cols);
    device.run(copy, matrix(buffer, inverse.rows, inverse.cols), inverse);
    return buffer;
  });
  return { factor, blocks: await device.download(copies) };
}

/** What a pass makes. Matrices have a row for each column of the layer. */
export interface Coded {
  /** cols × rows */
  readonly codes: Int16Array;
  /** cols × rows */
  readonly decoded: Float32Array;
  /** [cols] */
  readonly stepLogs: Int32Array;
  readonly columnSizes: Int8Array;
  /** What this thread took, in seconds. */
  readonly seconds: number;
}

/**
 * The columns of a layer, and their sizes.
 *
 * @param weight cols × rows
 */
export function columnsOf(weight: Float32Array, rows: number): Columns {
  const cols = weight.length / rows, columnRms = new Float64Array(cols), squares = new Float64Array(rows);
  let all = 0;
  for (let j = 0; j < cols; j++) {
    let sum = 0;
    for (let i = 0; i < rows; i++) {
      const square = weight[j * rows + i] ** 2;
      sum += square;
      squares[i] += square;
    }
    columnRms[j] = Math.sqrt(sum / rows);
    all += sum;
  }
  const rms = Math.sqrt(all / weight.length);
  const rowSizes = Int8Array.from(squares, (square) => rms > 0 ? sizeIndex(Math.sqrt(square / cols) / rms) : 0);
  return { rows, cols, weight, columnRms, rowSizes };
}

/** Every so many rows of a layer. */
export function someRows({ rows, cols, weight }: Columns, every: number): Columns {
  const kept = Math.ceil(rows / every), some = new Float32Array(cols * kept);
  for (let j = 0; j < cols; j++) {
    for (let i = 0; i < kept; i++) some[j * kept + i] = weight[j * rows + i * every];
  }
  return columnsOf(some, kept);
}

/**
 * Rounds all columns of a layer. Products run on the device; the columns, each of which waits for the one before it and is itself
 * a walk from weight to weight, on this thread.
 *
 * @param options.step c: the step of column j is c·U_jj
 */
export async function pass(
  device: Device,
  { columns, feedback: fed, group, step, rounding }: {
    readonly columns: Columns;
    /** Undefined where errors are not fed on: H = I then. */
    readonly feedback: Feedback | undefined;
    /** Columns of a block. */
    readonly group: number;
    readonly step: number;
    readonly rounding: Omit<Rounding, "rowSizes">;
  },
): Promise<Coded> {
  const { rows, cols, weight, columnRms, rowSizes } = columns;
  const codes = new Int16Array(cols * rows), decoded = new Float32Array(cols * rows);
  const stepLogs = new Int32Array(cols), columnSizes = new Int8Array(cols);
  const stretches = noStretches();
  let seconds = 0;
  const feedback = matrix(device.alloc("f32", cols * rows), cols, rows);
  try {
    for (let index = 0, col = 0; col < cols; index++, col += group) {
      const width = Math.min(group, cols - col), own = weight.subarray(col * rows, (col + width) * rows);
      const inverse = fed?.factor.inverses[index];
      let target: Float32Array = own.slice();
      if (fed && inverse && col > 0) {
        const product = device.alloc("f32", width * rows), met = device.upload("f32", target);
        const panel = part(fed.factor.panels[index], { rows: col }), shaped = matrix(product, width, rows);
        device.run(gemm, shaped, panel, part(feedback, { rows: col }), { transposeA: true });
        device.run(gemm, matrix(met, width, rows), inverse, shaped, { transposeA: true, beta: 1 });
        device.release(product);
        [target] = await device.download([met]);
      }
      const before = fed && target.slice();
      const block = {
        stretches,
        target,
        factor: fed?.blocks[index] ?? identity(width),
        step,
        columnRms: columnRms.subarray(col, col + width),
      };
      const started = performance.now();
      const rounded = roundBlock(block, { ...rounding, rowSizes });
      seconds += (performance.now() - started) / 1000;
      codes.set(rounded.codes, col * rows);
      decoded.set(rounded.decoded, col * rows);
      stepLogs.set(rounded.stepLogs, col);
      columnSizes.set(rounded.columnSizes, col);
      if (!(before && inverse) || col + width === cols) continue;
      for (let i = 0; i < before.length; i++) before[i] = own[i] - before[i];
      const errors = device.upload("f32", rounded.errors), moved = device.upload("f32", before);
      const left = matrix(moved, width, rows);
      device.run(gemm, left, inverse, matrix(errors, width, rows), { transposeA: true, beta: 1 });
      device.run(copy, part(feedback, { row: col, rows: width }), left);
      device.release(errors);
      device.release(moved);
    }
  } finally {
    device.release(feedback.buffer);
  }
  return { codes, decoded, stepLogs, columnSizes, seconds };
}

/** Side of the squares that a transposition goes by, so that both sides stay in the cache. */
const SQUARE = 64;

/** Codes with a row for each row of the layer. @param codes cols × rows */
export function inRows(codes: Int16Array, rows: number): Int16Array {
  const cols = codes.length / rows, out = new Int16Array(codes.length);
  for (let row = 0; row < rows; row += SQUARE) {
    const rowEnd = Math.min(row + SQUARE, rows);
    for (let col = 0; col < cols; col += SQUARE) {
      const colEnd = Math.min(col + SQUARE, cols);
      for (let i = row; i < rowEnd; i++) {
        for (let j = col; j < colEnd; j++) out[i * cols + j] = codes[j * rows + i];
      }
    }
  }
  return out;
}

function identity(size: number): Float32Array {
  const out: Float32Array = new Float32Array(size * size);
  for (let i = 0; i < size; i++) out[i * (size + 1)] = 1;
  return out;
}
