/** Codes and weights from the streams of a layer. What comes from a file is not trusted: it gives numbers of the layer's shape or a RangeError. */
import { MAX_STEP, stepOf, trellisOf } from "../trellis/ops.ts";
import { makeBook } from "./book.ts";
import { type CodedLayer, predicted } from "./coded_layer.ts";
import { decodeRows, type StripRows, type StripTables } from "./decode_strip.ts";
import { decodeIntegers } from "./integers.ts";
import { checkCodedShape, type LayerCodes } from "./layer_codes.ts";
import { SHAPE_FIELDS } from "./shapes.ts";
import { fillPlaces, PRECISION } from "./tables.ts";

/** A layer that is ready to be decoded, strip by strip in any order: all but its codes. */
export interface OpenLayer extends StripTables {
  readonly coded: CodedLayer;
  /** [cols]: logarithms, as coded. */
  readonly steps: Int16Array;
}

/** Weights that a word of a stream can hold at most: where the likeliest symbol has all places but one, 16·ln 2·2^PRECISION. */
const MOST_PER_WORD = 46_000;

/**
 * Opens a coded layer: sizes, steps and tables.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeStrip, openCoded } from "./decode.ts";
 * import { encodeCodes } from "./encode.ts";
 *
 * const codes = Int16Array.of(1, -2, 3, 0), rowSizes = Int8Array.of(0, 8), columnSizes = rowSizes, steps = Int16Array.of(0, -32);
 * const { coded } = encodeCodes({ rows: 2, cols: 2, states: 8, strip: 1, codes, rowSizes, columnSizes, steps });
 * const second: number[] = [];
 * decodeStrip(openCoded(coded), 1, { as: "codes", take: (row, values) => second.push(row, ...values) });
 * assert.deepEqual(second, [1, 3, 0]);
 * ```
 * @param coded untrusted
 * @throws {RangeError} when it is none, or its words cannot hold so many weights
 */
export function openCoded(coded: CodedLayer): OpenLayer {
  const { rows, cols, states, strip, codes, starts, shapes } = coded;
  checkCodedShape(coded);
  const strips = Math.ceil(rows / strip), fields = trellisOf(states).count * SHAPE_FIELDS;
  // Sizes are borne out by words that are there before anything of these sizes is made.
  if (rows * cols > MOST_PER_WORD * codes.length || starts.length !== strips - 1 || shapes.length !== fields) {
    throw new RangeError(
      `Cannot decode a layer of [${rows}, ${cols}] as it needs words for so many weights, ${
        strips - 1
      } starts of strips and ` +
        `${fields} numbers of shapes: current value is ${codes.length}, ${starts.length} and ${shapes.length}`,
    );
  }
  const rowSizes = sizesOf(decodeIntegers(coded.rowSizes, rows), "rows"), steps = decodeIntegers(coded.steps, cols);
  if (steps.some((step) => Math.abs(step) > MAX_STEP)) {
    throw new RangeError(`Cannot decode a layer as logarithms of steps must be at most ${MAX_STEP}`);
  }
  const columns = decodeIntegers(coded.columnSizes, cols);
  for (let j = 0; j < cols; j++) columns[j] += predicted(steps[j]);
  const columnSizes = sizesOf(columns, "columns"), book = makeBook({ states, rowSizes, columnSizes }, coded);
  const places = new Int32Array(book.tables.length << PRECISION);
  book.tables.forEach((table, i) => fillPlaces(places.subarray(i << PRECISION, i + 1 << PRECISION), table));
  const bases = Int32Array.from(book.numbers, (number) => number << PRECISION);
  return { coded, states, cols, rowSizes, columnSizes, steps, book, places, bases };
}

/** @throws {RangeError} when a size is out of range */
function sizesOf(values: Int16Array, of: string): Int8Array {
  const sizes = Int8Array.from(values), broken = sizes.findIndex((size, i) => size !== values[i]);
  if (broken < 0) return sizes;
  throw new RangeError(`Cannot decode sizes of ${of} as they must be −128 to 127: current value is ${values[broken]}`);
}

/**
 * Codes of a layer, and what is coded beside them.
 *
 * @param coded untrusted
 * @throws {RangeError} when it is not what `encodeCodes` makes
 */
export function decodeCodes(coded: CodedLayer): LayerCodes {
  const open = openCoded(coded), { rows, cols, states, strip } = coded, { rowSizes, columnSizes, steps } = open;
  const codes = new Int16Array(rows * cols);
  eachStrip(
    coded,
    (number) => decodeStrip(open, number, { as: "codes", take: (row, values) => codes.set(values, row * cols) }),
  );
  return { rows, cols, states, strip, codes, rowSizes, columnSizes, steps };
}

/**
 * Weights of a layer: points times steps.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeWeights } from "./decode.ts";
 * import { encodeCodes } from "./encode.ts";
 *
 * const codes = Int16Array.of(1, -2, 3, 0), rowSizes = Int8Array.of(0, 8), columnSizes = rowSizes, steps = Int16Array.of(0, -32);
 * const { coded } = encodeCodes({ rows: 2, cols: 2, states: 8, strip: 1, codes, rowSizes, columnSizes, steps });
 * assert.deepEqual([...decodeWeights(coded)], [2, -2, 6, 0]);
 * ```
 * @param coded untrusted
 * @returns rows × cols
 * @throws {RangeError} when it is not what `encodeCodes` makes
 */
export function decodeWeights(coded: CodedLayer): Float32Array {
  const open = openCoded(coded), { rows, cols } = coded, steps = Float32Array.from(open.steps, stepOf);
  const weights = new Float32Array(rows * cols);
  eachStrip(coded, (number) =>
    decodeStrip(open, number, {
      as: "points",
      take(row, points) {
        for (let j = 0, at = row * cols; j < cols; j++, at++) weights[at] = points[j] * steps[j];
      },
    }));
  return weights;
}

function eachStrip({ rows, strip }: CodedLayer, visit: (number: number) => void): void {
  for (let number = 0; number * strip < rows; number++) visit(number);
}

/**
 * Decodes one strip; it needs no other.
 *
 * @param number of the strip, from 0
 * @param options.as codes as they are, or the points that they stand for, in steps
 * @param options.take called with each of its rows: the row's number, and its codes or points [cols], which are overwritten then
 * @throws {RangeError} when the strip is not what `encodeCodes` makes
 */
export function decodeStrip(open: OpenLayer, number: number, options: Pick<StripRows, "as" | "take">): void {
  const { rows, strip } = open.coded, from = number * strip;
  decodeRows(open, wordsOf(open.coded, number), { from, to: Math.min(from + strip, rows), ...options });
}

/** @throws {RangeError} when strips begin behind the end, or before those in front of them */
function wordsOf({ codes, starts }: CodedLayer, number: number): Uint16Array {
  const from = number === 0 ? 0 : starts[number - 1], to = number < starts.length ? starts[number] : codes.length;
  if (from <= to && to <= codes.length) return codes.subarray(from, to);
  throw new RangeError(`Cannot decode strip ${number}: it has words ${from} to ${to} of ${codes.length}`);
}
