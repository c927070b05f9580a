/**
 * Codes of refined groups as bit planes and back. Every plane is a run of bits in 32-bit words, lowest bit first, padded with zeros:
 * - signs: one bit a weight; salient: one bit a column;
 * - second signs, and with column groups the mark of the second group: one bit a weight in a salient column, row by row;
 * - segments: one bit a weight elsewhere, row by row.
 */
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "../../kernels/binary/ops.ts";
import { productsPerRow } from "../../kernels/refinement/ops.ts";
import { type RefinedLayer, shapeOf } from "./refined_layer.ts";

/** Names of the planes, in the order in which they are stored. */
export const BIT_PLANES = ["signs", "second_signs", "segments", "column_groups", "salient"] as const;

/** The planes of a layer; one that needs no bits has no words. */
export type BitPlanes = Readonly<Record<typeof BIT_PLANES[number], Uint32Array>>;

type CodeShape = Pick<RefinedLayer, "rows" | "cols" | "columnGroups">;

/**
 * Packs codes.
 *
 * @returns the planes, and which columns are salient
 * @throws {RangeError} when a weight is not kept, in no group, or its column salient in some rows only
 */
export function splitCodes(
  layer: CodeShape & Pick<RefinedLayer, "codes">,
): { readonly planes: BitPlanes; readonly salient: Uint8Array } {
  const { rows, cols, codes, columnGroups } = layer, { doubled, single } = shapeOf(layer);
  if (codes.length !== rows * cols) {
    throw new RangeError(
      `Cannot pack codes: [${rows}, ${cols}] takes ${rows * cols}: current value is ${codes.length}`,
    );
  }
  const salient = codes.slice(0, cols).map((code) => Number(code >> GROUP_SHIFT < doubled));
  const broken = codes.findIndex((code, at) => {
    const group = code >> GROUP_SHIFT;
    return (code & KEPT) === 0 || group >= doubled + single || Number(group < doubled) !== salient[at % cols];
  });
  if (broken >= 0) {
    throw new RangeError(
      `Cannot pack code at [${Math.floor(broken / cols)}, ${broken % cols}]: it must be kept and in one of ` +
        `${doubled + single} groups, as salient as its column: current value is ${codes[broken]}`,
    );
  }
  const twice = rows * salient.reduce((sum, s) => sum + s, 0), rest = rows * cols - twice;
  const signs = words(rows * cols), second = words(twice), segments = words(rest);
  const groups = words(columnGroups ? twice : 0);
  for (let at = 0, c = 0, s = 0, m = 0; at < codes.length; at++) {
    const code = codes[at], group = code >> GROUP_SHIFT;
    signs[at >>> 5] |= Number((code & SIGN) !== 0) << (at & 31);
    if (salient[c] === 0) {
      segments[m >>> 5] |= (group - doubled) << (m & 31);
      m++;
    } else {
      second[s >>> 5] |= Number((code & SECOND_SIGN) !== 0) << (s & 31);
      if (columnGroups) groups[s >>> 5] |= group << (s & 31);
      s++;
    }
    if (++c === cols) c = 0;
  }
  const marks = words(cols);
  salient.forEach((s, c) => marks[c >>> 5] |= s << (c & 31));
  return { planes: { signs, second_signs: second, segments, column_groups: groups, salient: marks }, salient };
}

/**
 * Unpacks codes.
 *
 * @throws {RangeError} when a plane has too few or too many words, or bits that packing cannot have written
 */
export function joinCodes(
  planes: BitPlanes,
  layer: CodeShape,
): { readonly codes: Uint8Array; readonly salient: Uint8Array } {
  const { rows, cols, columnGroups } = layer, { doubled } = shapeOf(layer);
  expectBits("salient", planes.salient, cols);
  expectBits("signs", planes.signs, rows * cols);
  const salient = salientColumns(planes.salient, cols), twice = rows * salient.reduce((sum, s) => sum + s, 0);
  expectBits("second_signs", planes.second_signs, twice);
  expectBits("segments", planes.segments, rows * cols - twice);
  expectBits("column_groups", planes.column_groups, columnGroups ? twice : 0);
  const bit = (plane: Uint32Array, at: number) => plane[at >>> 5] >>> (at & 31) & 1;
  const codes = new Uint8Array(rows * cols);
  for (let at = 0, c = 0, s = 0, m = 0; at < codes.length; at++) {
    const code = KEPT | bit(planes.signs, at) * SIGN;
    if (salient[c] === 0) codes[at] = code | doubled + bit(planes.segments, m++) << GROUP_SHIFT;
    else {
      const group = columnGroups ? bit(planes.column_groups, s) : 0;
      codes[at] = code | bit(planes.second_signs, s++) * SECOND_SIGN | group << GROUP_SHIFT;
    }
    if (++c === cols) c = 0;
  }
  return { codes, salient };
}

/** 1 for each salient column. @param marks plane `salient` */
export function salientColumns(marks: Uint32Array, cols: number): Uint8Array {
  return Uint8Array.from({ length: cols }, (_, c) => marks[c >>> 5] >>> (c & 31) & 1);
}

/** Places of the column scales that are stored, in cols × scales: both of each group of salient columns, else one of each. */
export function usedPlaces(salient: Uint8Array, layer: Pick<RefinedLayer, "columnGroups">): Int32Array {
  const shape = shapeOf(layer), each = productsPerRow(shape), twice = 2 * shape.doubled, places: number[] = [];
  salient.forEach((s, c) => {
    for (let k = s ? 0 : twice; k < (s ? twice : each); k++) places.push(c * each + k);
  });
  return Int32Array.from(places);
}

function words(bits: number): Uint32Array {
  return new Uint32Array(Math.ceil(bits / 32));
}

function expectBits(plane: string, found: Uint32Array, bits: number): void {
  if (found.length !== Math.ceil(bits / 32)) {
    throw new RangeError(
      `Cannot unpack plane ${plane}: ${bits} bits take ${Math.ceil(bits / 32)} words: current value is ${found.length}`,
    );
  }
  if (bits % 32 !== 0 && found[found.length - 1] >>> (bits % 32) !== 0) {
    throw new RangeError(`Cannot unpack plane ${plane}: the padding after bit ${bits} is not zero`);
  }
}
