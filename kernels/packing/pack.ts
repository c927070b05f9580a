/**
 * A quantized layer as bit planes and back, bit by bit. Scales are not here: they are plain numbers.
 *
 * Every plane is a run of bits in 32-bit words, lowest bit first; only its last word is padded, with zeros.
 * - mask, semi-structured: per row the ranks of its N:M patterns (`combinations.ts`) as digits of base C(M, N) (`radix.ts`), so that
 *   each row takes the same number of bits; or one bit a weight. Unstructured: one bit a weight. Structured: one bit a column. None: nothing.
 * - signs: one bit a kept weight, row by row.
 * - second signs: one bit a kept weight in a salient column, row by row.
 * - segments: one digit of base `segments` a kept weight elsewhere, row by row.
 * - salient: one bit a column.
 * With N of every M, row r's signs begin at bit r·N·cols/M; the starts of the others are prefix sums over the mask, made on loading.
 */
import { patternOrder } from "./combinations.ts";
import { GROUP_SHIFT, KEPT, type QuantizedLayer, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import type { PruningType } from "../scores/ops.ts";
import { radixBits, type RadixCode, radixCode, readDigits, writeDigits } from "./radix.ts";

/** How the mask of a semi-structured layer is stored. */
export type MaskCode = "enumerative" | "bitmask";

/** What the planes do not say themselves. */
export interface PlaneShape {
  readonly rows: number;
  readonly cols: number;
  readonly keep: number;
  readonly of: number;
  readonly type: PruningType;
  readonly segments: number;
  readonly salient: boolean;
  readonly mask: MaskCode;
}

/** What of a layer is packed here. */
export type PackableLayer = Omit<QuantizedLayer, "groupSize" | "scales">;

/** Names of the planes, in the order in which they are stored. */
export const PLANES = ["mask", "signs", "second_signs", "segments", "salient"] as const;

/** The planes of a layer; one that needs no bits has no words. */
export type Planes = Readonly<Record<typeof PLANES[number], Uint32Array>>;

/** Weights of one layer; positions of bits and weights stay exact, and untrusted sizes stay bounded. */
export const MAX_LAYER_WEIGHTS = 2 ** 31 - 1;

/**
 * Packs a layer's codes.
 *
 * @param layer codes [rows, cols]
 * @param mask how a semi-structured mask is stored
 * @throws {RangeError} when the codes break what the layer's fields promise: N of every M, groups of salient columns, segments
 */
export function packCodes(layer: PackableLayer, mask: MaskCode): Planes {
  const shape: PlaneShape = { ...layer, mask };
  checkShape(shape);
  const { rows, cols, codes, segments } = layer;
  if (codes.length !== rows * cols) {
    throw new RangeError(
      `Cannot pack codes: [${rows}, ${cols}] takes ${rows * cols}: current value is ${codes.length}`,
    );
  }
  const salientColumns = findSalientColumns(layer);
  const { kept, twice } = countKept(codes, salientColumns);
  // Every loop below writes the next place whether the weight is kept or not, and moves on only if it is: branches on random bits
  // cost more than all the rest. The last places are never kept ones, hence one place more than needed.
  const signs = new Uint32Array(wordsOf(kept + 1));
  const secondSigns = new Uint32Array(wordsOf(twice + 1));
  const marks = new Uint8Array(kept - twice + 1);
  let sign = 0;
  let second = 0;
  let mark = 0;
  let highest = 0;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < cols; column++, i++) {
      const code = codes[i];
      const keep = code & KEPT;
      const again = keep & salientColumns[column];
      const group = code >>> GROUP_SHIFT;
      signs[sign >>> 5] |= (keep & (code >>> 1)) << (sign & 31);
      secondSigns[second >>> 5] |= (again & (code >>> 2)) << (second & 31);
      // Group 0 outside salient columns wraps to 255 and is refused below.
      marks[mark] = group - 1;
      highest = Math.max(highest, -(keep ^ again) & marks[mark]);
      sign += keep;
      second += again;
      mark += keep ^ again;
    }
  }
  if (highest >= segments) throw groupError(layer, salientColumns);
  const segmentCode = radixCode(segments);
  const segmentWords = new Uint32Array(wordsOf(radixBits(segmentCode, kept - twice)));
  writeDigits(segmentCode, segmentWords, 0, marks.subarray(0, kept - twice));
  return {
    mask: packMask(shape, codes),
    signs: signs.slice(0, wordsOf(kept)),
    second_signs: secondSigns.slice(0, wordsOf(twice)),
    segments: segmentWords,
    salient: layer.salient ? packBits(salientColumns) : new Uint32Array(0),
  };
}

/**
 * Unpacks a layer's codes: packed ones exactly, except that pruned weights have code 0.
 *
 * @returns codes [rows, cols]
 * @throws {RangeError} when a plane has too few or too many words, or bits that packing cannot have written
 */
export function unpackCodes(planes: Planes, shape: PlaneShape): Uint8Array<ArrayBuffer> {
  checkShape(shape);
  const { rows, cols, keep, of, type, segments, salient } = shape;
  expectBits("salient", planes.salient, salient ? cols : 0);
  // Before anything of the layer's size is allocated: what a header says must be borne out by the planes.
  if (type === "none") expectBits("signs", planes.signs, rows * cols);
  if (type === "semi-structured") expectBits("signs", planes.signs, rows * cols / of * keep);
  const salientColumns = new Uint8Array(cols);
  if (salient) unpackBits(planes.salient, salientColumns);

  const codes = unpackMask(planes.mask, shape);
  const { kept, twice } = countKept(codes, salientColumns);
  const segmentCode = radixCode(segments);
  expectBits("signs", planes.signs, kept);
  expectBits("second_signs", planes.second_signs, twice);
  expectBits("segments", planes.segments, radixBits(segmentCode, kept - twice));
  const marks = new Uint8Array(kept - twice + 1);
  readDigits(segmentCode, planes.segments, 0, marks.subarray(0, kept - twice));

  // As in packing: the next place is read in any case, so the planes get one place more.
  const signs = padded(planes.signs);
  const secondSigns = padded(planes.second_signs);
  let sign = 0;
  let second = 0;
  let mark = 0;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < cols; column++, i++) {
      const keep = codes[i];
      const again = keep & salientColumns[column];
      const rest = keep ^ again;
      const signBit = (signs[sign >>> 5] >>> (sign & 31)) & 1;
      const secondBit = (secondSigns[second >>> 5] >>> (second & 31)) & 1;
      codes[i] = -keep & (KEPT | signBit * SIGN) | (again & secondBit) * SECOND_SIGN |
        (-rest & (marks[mark] + 1)) << GROUP_SHIFT;
      sign += keep;
      second += again;
      mark += rest;
    }
  }
  return codes;
}

/** Kept weights, and those of them that have two signs. @param codes of which only the lowest bit matters */
function countKept(codes: Uint8Array, salientColumns: Uint8Array): { kept: number; twice: number } {
  const cols = salientColumns.length;
  let kept = 0;
  let twice = 0;
  for (let i = 0; i < codes.length;) {
    for (let column = 0; column < cols; column++, i++) {
      const keep = codes[i] & KEPT;
      kept += keep;
      twice += keep & salientColumns[column];
    }
  }
  return { kept, twice };
}

function padded(words: Uint32Array): Uint32Array {
  const longer = new Uint32Array(words.length + 1);
  longer.set(words);
  return longer;
}

function groupError({ codes, cols, segments }: PackableLayer, salientColumns: Uint8Array): RangeError {
  const outside = (code: number) => code >>> GROUP_SHIFT === 0 || code >>> GROUP_SHIFT > segments;
  const at = codes.findIndex((code, i) => (code & KEPT) !== 0 && !salientColumns[i % cols] && outside(code));
  return new RangeError(
    `Cannot pack code at [${Math.floor(at / cols)}, ${at % cols}]: group must be 1 to ${segments}: ` +
      `current value is ${codes[at] >>> GROUP_SHIFT}`,
  );
}

/** @throws {RangeError} for a shape that no layer has */
export function checkShape({ rows, cols, keep, of, type, segments, mask }: PlaneShape): void {
  const weights = rows * cols;
  const whole = [rows, cols, keep, of, segments].every((value) => Number.isInteger(value) && value >= 1);
  if (!whole || weights > MAX_LAYER_WEIGHTS || keep > of || segments > 4) {
    throw new RangeError(
      `Cannot pack or unpack a layer as it needs 1 to ${MAX_LAYER_WEIGHTS} weights, 1 ≤ N ≤ M and 1 to 4 segments: ` +
        `current value is [${rows}, ${cols}], ${keep}:${of}, ${segments}`,
    );
  }
  if (type === "semi-structured" && cols % of !== 0) {
    throw new RangeError(
      `Cannot pack or unpack a semi-structured layer as columns must be a multiple of ${of}: current value is ${cols}`,
    );
  }
  if (type === "semi-structured" && mask === "enumerative") patternOrder(of, keep);
}

/** 1 for each column whose kept weights are in the salient group, [cols]. */
function findSalientColumns({ rows, cols, codes, salient }: PackableLayer): Uint8Array {
  const columns = new Uint8Array(cols);
  if (!salient) return columns;
  // Bit 0: a kept weight in the salient group; bit 1: one in another group.
  const seen = Uint8Array.from({ length: 256 }, (_, code) => !(code & KEPT) ? 0 : code >>> GROUP_SHIFT === 0 ? 1 : 2);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0; column < cols; column++, i++) columns[column] |= seen[codes[i]];
  }
  const mixed = columns.indexOf(3);
  if (mixed >= 0) throw new RangeError(`Cannot pack column ${mixed}: it is salient in some rows and not in others`);
  return columns.map((flags) => flags & 1);
}

/**
 * The mask plane of a layer's codes alone.
 *
 * @param codes [rows, cols]
 * @throws {RangeError} when they break what the type promises
 */
export function packMask(shape: PlaneShape, codes: Uint8Array): Uint32Array<ArrayBuffer> {
  const { rows, cols, keep, of, type } = shape;
  if (type === "none") {
    const pruned = codes.findIndex((code) => !(code & KEPT));
    if (pruned >= 0) throw maskError(shape, pruned, `type none keeps every weight`);
    return new Uint32Array(0);
  }
  if (type === "structured") {
    const columns = codes.subarray(0, cols).map((code) => code & KEPT);
    const broken = codes.findIndex((code, i) => (code & KEPT) !== columns[i % cols]);
    if (broken >= 0) throw maskError(shape, broken, "type structured keeps or prunes whole columns");
    return packBits(columns);
  }
  if (type === "unstructured") return packBits(codes);
  const patterns = new Uint32Array(cols / of);
  const digits = maskDigits(shape);
  const words = new Uint32Array(wordsOf(rows * (digits?.rowBits ?? cols)));
  for (let row = 0, i = 0, at = 0; row < rows; row++) {
    for (let group = 0; group < patterns.length; group++) {
      let pattern = 0;
      let count = 0;
      for (let position = 0; position < of; position++, i++) {
        const bit = codes[i] & KEPT;
        count += bit;
        if (digits) pattern |= bit << position;
        else if (bit) words[i >>> 5] |= 1 << (i & 31);
      }
      if (count !== keep) throw maskError(shape, i - of, `${keep} of every ${of} are kept, here ${count}`);
      if (digits) patterns[group] = digits.order.rank(pattern >>> 0);
    }
    if (digits) at = writeDigits(digits.code, words, at, patterns);
  }
  return words;
}

/**
 * The mask as codes of 0 or KEPT, [rows, cols]; of a whole layer: bound its size first where that is not trusted.
 *
 * @throws {RangeError} when the plane has too few or too many words, or bits that packing cannot have written
 */
export function unpackMask(words: Uint32Array, shape: PlaneShape): Uint8Array<ArrayBuffer> {
  const { rows, cols, keep, of, type } = shape;
  const digits = maskDigits(shape);
  const bits = type === "none" ? 0 : type === "structured" ? cols : rows * (digits?.rowBits ?? cols);
  expectBits("mask", words, bits);
  const codes = new Uint8Array(rows * cols);
  if (type === "none") return codes.fill(KEPT);
  if (type === "structured") {
    unpackBits(words, codes.subarray(0, cols));
    for (let row = 1; row < rows; row++) codes.copyWithin(row * cols, 0, cols);
    return codes;
  }
  if (digits === undefined) {
    unpackBits(words, codes);
    for (let i = 0; type === "semi-structured" && i < codes.length; i += of) {
      let count = 0;
      for (let position = 0; position < of; position++) count += codes[i + position];
      if (count !== keep) throw maskError(shape, i, `${keep} of every ${of} are kept, here ${count}`);
    }
    return codes;
  }
  const patterns = new Uint32Array(cols / of);
  for (let row = 0, i = 0, at = 0; row < rows; row++) {
    at = readDigits(digits.code, words, at, patterns);
    for (let group = 0; group < patterns.length; group++) {
      const pattern = digits.order.pattern(patterns[group]);
      for (let position = 0; position < of; position++) codes[i++] = (pattern >>> position) & KEPT;
    }
  }
  return codes;
}

/** How a mask of ranks is laid out; undefined for any other mask. */
export function maskDigits({ cols, keep, of, type, mask }: PlaneShape) {
  if (type !== "semi-structured" || mask !== "enumerative") return undefined;
  const order = patternOrder(of, keep);
  const code: RadixCode = radixCode(order.count);
  return { order, code, rowBits: radixBits(code, cols / of) };
}

function maskError({ cols }: PlaneShape, i: number, why: string): RangeError {
  return new RangeError(`Cannot pack or unpack the mask at [${Math.floor(i / cols)}, ${i % cols}]: ${why}`);
}

/** The lowest bit of each value. */
function packBits(values: Uint8Array): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(wordsOf(values.length));
  for (let i = 0; i < values.length; i++) words[i >>> 5] |= (values[i] & 1) << (i & 31);
  return words;
}

function unpackBits(words: Uint32Array, values: Uint8Array): void {
  for (let i = 0; i < values.length; i++) values[i] = (words[i >>> 5] >>> (i & 31)) & 1;
}

function wordsOf(bits: number): number {
  return Math.ceil(bits / 32);
}

/** @throws {RangeError} when a plane has not the words that so many bits take, or its padding is not zero */
export function expectBits(plane: string, words: Uint32Array, bits: number): void {
  if (words.length !== wordsOf(bits)) {
    throw new RangeError(
      `Cannot unpack plane ${plane}: ${bits} bits take ${wordsOf(bits)} words: current value is ${words.length}`,
    );
  }
  if (bits % 32 !== 0 && words[words.length - 1] >>> (bits % 32) !== 0) {
    throw new RangeError(`Cannot unpack plane ${plane}: the padding after bit ${bits} is not zero`);
  }
}
