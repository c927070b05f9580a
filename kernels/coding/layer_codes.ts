/** A layer of codes before it is coded, and what it must keep to. */
import { MAX_CODE, MAX_STEP, STATES, type States, trellisOf } from "../trellis/ops.ts";

/** What is known of a layer besides its streams. */
export interface CodedShape {
  readonly rows: number;
  readonly cols: number;
  readonly states: States;
  /** Rows of a strip, the last one may have fewer; the trellis of each column starts anew in each, and each is read alone. */
  readonly strip: number;
}

/** A layer of codes. */
export interface LayerCodes extends CodedShape {
  /** [rows, cols]: −MAX_CODE to MAX_CODE. */
  readonly codes: Int16Array;
  /** [rows]: log2 of a row's size against the layer's, in eighths. */
  readonly rowSizes: Int8Array;
  /** [cols]: log2 of a column's size in its steps, in eighths. */
  readonly columnSizes: Int8Array;
  /** [cols]: log2 of a column's step, in parts of `STEP_PARTS`. */
  readonly steps: Int16Array;
}

/**
 * Refuses what cannot be coded.
 *
 * @throws {RangeError} when an array has another length than the shape says, or a number is out of range
 */
export function checkCodes({ rows, cols, states, strip, codes, rowSizes, columnSizes, steps }: LayerCodes): void {
  checkCodedShape({ rows, cols, states, strip });
  const fits = codes.length === rows * cols && rowSizes.length === rows && columnSizes.length === cols &&
    steps.length === cols;
  if (!fits) {
    throw new RangeError(
      `Cannot code a layer as codes, sizes of rows and of columns, and steps must be ${rows}×${cols}, ${rows}, ${cols} and ${cols}: ` +
        `current value is ${codes.length}, ${rowSizes.length}, ${columnSizes.length} and ${steps.length}`,
    );
  }
  let most = 0;
  for (let i = 0; i < codes.length; i++) most = Math.max(most, Math.abs(codes[i]));
  if (most > MAX_CODE) {
    throw new RangeError(`Cannot code a layer as codes must be at most ${MAX_CODE}: current value is ${most}`);
  }
  const step = steps.find((each) => Math.abs(each) > MAX_STEP);
  if (step !== undefined) {
    throw new RangeError(
      `Cannot code a layer as logarithms of steps must be at most ${MAX_STEP}: current value is ${step}`,
    );
  }
}

/**
 * Refuses shapes that no layer has.
 *
 * @throws {RangeError} when it is none
 */
export function checkCodedShape({ rows, cols, states, strip }: CodedShape): void {
  const whole = [rows, cols, strip].every((value) => Number.isInteger(value) && value >= 1);
  if (whole && rows * cols < 2 ** 31 && STATES.includes(states)) return;
  throw new RangeError(
    `Cannot code a layer as it needs 1 to 2^31 − 1 weights, strips of rows and ${STATES.join(", ")} states: ` +
      `current value is [${rows}, ${cols}], ${strip}, ${states}`,
  );
}

/**
 * Walks over the weights of some rows, row by row, each column's trellis from state 0.
 *
 * @param visit called with the place of a row's first weight and each of its quantizers, [cols]; before the row's codes are taken
 */
export function walkRows(
  { cols, states, codes }: Pick<LayerCodes, "cols" | "states" | "codes">,
  { from, to }: { readonly from: number; readonly to: number },
  visit: (row: number, quantizers: Uint8Array) => void,
): void {
  const { next, quantizers } = trellisOf(states), state = new Uint8Array(cols), own = new Uint8Array(cols);
  for (let row = from; row < to; row++) {
    for (let j = 0; j < cols; j++) own[j] = quantizers[state[j]];
    visit(row, own);
    for (let j = 0, at = row * cols; j < cols; j++, at++) state[j] = next[2 * state[j] + (codes[at] & 1)];
  }
}
