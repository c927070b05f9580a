/** A layer of codes as streams. */
import { type Book, makeBook, MIDDLE, SUMS } from "./book.ts";
import { bitsOf, type CodedBits, type CodedLayer, predicted } from "./coded_layer.ts";
import { LANES } from "./decode_strip.ts";
import { fitTables } from "./explicit.ts";
import { entropyBits, histogram } from "./histogram.ts";
import { encodeIntegers } from "./integers.ts";
import { checkCodes, type LayerCodes, walkRows } from "./layer_codes.ts";
import { closeWriter, openWriter } from "./rans.ts";
import { putCode } from "./symbols.ts";

/**
 * Codes a layer. The same layer gives the same words.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeCodes } from "./decode.ts";
 * import { encodeCodes } from "./encode.ts";
 *
 * const codes = Int16Array.of(0, -2, 300, 0), rowSizes = Int8Array.of(0, 8), columnSizes = rowSizes, steps = Int16Array.of(-160, -192);
 * const layer = { rows: 2, cols: 2, states: 8, strip: 1, codes, rowSizes, columnSizes, steps } as const;
 * const { coded, bits, entropy } = encodeCodes(layer);
 * assert.deepEqual(decodeCodes(coded), layer);
 * assert.ok(bits.total > entropy);
 * ```
 * @returns the streams, their bits, and the bits of the codes' entropy in their contexts
 * @throws {RangeError} when the layer is not what it must be
 */
export function encodeCodes(
  layer: LayerCodes,
): { readonly coded: CodedLayer; readonly bits: CodedBits; readonly entropy: number } {
  checkCodes(layer);
  const { rows, cols, states, strip, rowSizes, columnSizes, steps } = layer;
  const counted = histogram(layer),
    { shapes, explicit } = fitTables(counted),
    book = makeBook(layer, { shapes, explicit });
  const strips: Uint16Array[] = [];
  for (let from = 0; from < rows; from += strip) {
    strips.push(encodeStrip(layer, book, { from, to: Math.min(from + strip, rows) }));
  }
  const codes = new Uint16Array(strips.reduce((sum, { length }) => sum + length, 0)), starts: number[] = [];
  let at = 0;
  for (const words of strips) {
    codes.set(words, at);
    starts.push(at);
    at += words.length;
  }
  const coded = {
    ...{ rows, cols, states, strip, codes, starts: Uint32Array.from(starts.slice(1)), shapes, explicit },
    rowSizes: encodeIntegers(rowSizes),
    columnSizes: encodeIntegers(Int16Array.from(columnSizes, (size, j) => size - predicted(steps[j]))),
    steps: encodeIntegers(steps),
  };
  return { coded, bits: bitsOf(coded), entropy: entropyBits(counted) };
}

/** Bits of a layer as `encodeCodes` codes it, all that is stored of it counted. */
export function codedBits(layer: LayerCodes): number {
  return encodeCodes(layer).bits.total;
}

/** One strip as a stream, its last weight first. */
function encodeStrip(
  layer: LayerCodes,
  { tables, numbers }: Book,
  { from, to }: { readonly from: number; readonly to: number },
): Uint16Array {
  const { cols, codes, rowSizes, columnSizes } = layer, own = new Uint16Array((to - from) * cols);
  walkRows(layer, { from, to }, (row, quantizers) => {
    const at = (row - from) * cols, middle = MIDDLE + rowSizes[row];
    for (let j = 0; j < cols; j++) own[at + j] = numbers[quantizers[j] * SUMS + middle + columnSizes[j]];
  });
  const writer = openWriter(LANES);
  for (let row = to - 1; row >= from; row--) {
    for (let j = cols - 1; j >= 0; j--) {
      putCode(writer, j % LANES, tables[own[(row - from) * cols + j]], codes[row * cols + j]);
    }
  }
  return closeWriter(writer);
}
