/**
 * Products with a packed layer on the CPU, straight from its bits.
 *
 * The inputs of eight columns make 256 sums, one for each choice of them; every row then looks its sums up, a byte of a mask at a
 * time, instead of adding weight by weight. Source of the idea: T-MAC, arXiv 2407.00088, which looks up products of bits.
 */
import { CHUNK, chunkShape, type MatVecWeights } from "./matvec_layout.ts";
import { scalesPerBlock } from "./quantized_layer.ts";

/**
 * out := x·Ŵᵀ, where Ŵ is what the layer decodes to. Sums are float64; an output's error is at most 2⁻²⁴ of it, and 2⁻⁵⁰·cols of the
 * sum of |scales|·|x|.
 *
 * @param out vectors × rows, overwritten
 * @param weights rows × cols
 * @param x vectors × cols, finite
 * @param vectors 1..8
 */
export function packedMatVec(out: Float32Array, weights: MatVecWeights, x: Float32Array, vectors: number): void {
  const { rows, cols } = weights, sums = new Float64Array(vectors * rows);
  const tables = Array.from(
    { length: vectors },
    (_, vector) => subsetSums(x.subarray(vector * cols, (vector + 1) * cols)),
  );
  for (let chunk = 0, base = 0; chunk * CHUNK < cols; chunk++) {
    addChunk(sums, tables, weights, { chunk, base });
    base += chunkShape(weights, chunk).words * rows;
  }
  out.set(sums);
}

/** One word of a row: bits of weights. */
interface WordBits {
  readonly row: number;
  readonly kept: number;
  readonly positive: number;
  /** Lower and higher bits of marks, see `MatVecShape`. */
  readonly low: number;
  readonly high: number;
  readonly salient: number;
}

/** Adds one chunk's share to all rows. @param sums vectors × rows */
function addChunk(
  sums: Float64Array,
  tables: readonly Float64Array[],
  weights: MatVecWeights,
  { chunk, base }: { readonly chunk: number; readonly base: number },
): void {
  const { rows, cols, groupSize, planes, marks, words, salientColumns } = weights;
  const { perPlane, signs } = chunkShape(weights, chunk), perBlock = scalesPerBlock(weights);
  const signsAt = base + perPlane * planes * rows, stride = (1 + marks) * rows;
  const add = adder(sums, tables, weights);
  for (let row = 0; row < rows; row++) {
    let seen = 0;
    for (let word = 0; word < perPlane; word++) {
      const at = base + word * planes * rows + row, first = chunk * CHUNK + word * 32;
      const one = planes > 0 ? words[at] : -1, two = planes > 1 ? words[at + rows] : 0;
      const kept = planes > 1 ? one | two : one, count = ones(kept), shift = seen & 31;
      const from = seen >>> 5, signAt = signsAt + from * stride + row;
      const some = from < signs, more = shift + count > 32 && from + 1 < signs;
      const bits = (plane: number) => {
        const at = signAt + plane * rows;
        const bits = some ? words[at] >>> shift : 0;
        return spread(kept, more ? bits | words[at + stride] << (32 - shift) : bits);
      };
      seen += count;
      const positive = bits(0), low = marks > 0 ? bits(1) : two & ~one, high = marks > 1 ? bits(2) : two & one;
      const found = { row, kept, positive, low, high, salient: salientColumns[first >>> 5] };
      const last = Math.min(cols, first + 32);
      for (let col = first; col < last;) {
        const block = Math.floor(col / groupSize), stop = Math.min(last, (block + 1) * groupSize);
        add(found, bitsBetween(col - first, stop - first), block * perBlock, first * 32);
        col = stop;
      }
    }
  }
}

/**
 * Adds Σ (mean ± scale ± second scale)·x to a row, group by group: over the bits `run` of a word, whose scales begin at `scale` and
 * whose sums at `table`.
 */
function adder(
  sums: Float64Array,
  tables: readonly Float64Array[],
  { rows, segments, salient: hasSalient, half, scales }: MatVecWeights,
): (word: WordBits, run: number, scale: number, table: number) => void {
  const { buffer, byteOffset } = scales;
  const halves = new Float16Array(buffer, byteOffset, half ? scales.length * 2 : 0);
  const wholes = new Float32Array(buffer, byteOffset, half ? 0 : scales.length);
  const value = half
    ? (at: number, row: number) => halves[((at >> 1) * rows + row) * 2 + (at & 1)]
    : (at: number, row: number) => wholes[at * rows + row];
  return ({ row, kept, positive, low, high, salient }, run, scale, table) => {
    const twice = kept & run & salient, rest = kept & run & ~salient;
    if (twice !== 0) {
      const mean = value(scale, row), one = value(scale + 1, row), two = value(scale + 2, row);
      for (let vector = 0; vector < tables.length; vector++) {
        const all = lookUp(tables[vector], table, twice), first = lookUp(tables[vector], table, twice & positive);
        const again = lookUp(tables[vector], table, twice & low);
        sums[vector * rows + row] += mean * all + one * (2 * first - all) + two * (2 * again - all);
      }
    }
    for (let mark = 0, at = scale + (hasSalient ? 3 : 0); mark < segments; mark++, at += 2) {
      const mask = rest & (mark & 1 ? low : ~low) & (mark & 2 ? high : ~high);
      if (mask === 0) continue;
      const mean = value(at, row), size = value(at + 1, row);
      for (let vector = 0; vector < tables.length; vector++) {
        const all = lookUp(tables[vector], table, mask), plus = lookUp(tables[vector], table, mask & positive);
        sums[vector * rows + row] += mean * all + size * (2 * plus - all);
      }
    }
  };
}

/** Σ of the inputs whose bits are set in a word. @param at the word's first sum */
function lookUp(table: Float64Array, at: number, mask: number): number {
  return table[at + (mask & 255)] + table[at + 256 + (mask >>> 8 & 255)] + table[at + 512 + (mask >>> 16 & 255)] +
    table[at + 768 + (mask >>> 24)];
}

/** Sums of all choices of each eight inputs, [⌈length / 32⌉ · 4, 256]; what is missing of the last counts as 0. */
function subsetSums(x: Float32Array): Float64Array {
  const table = new Float64Array(Math.ceil(x.length / 32) * 4 * 256);
  for (let first = 0; first < x.length; first += 8) {
    for (let bit = 0; bit < 8 && first + bit < x.length; bit++) {
      const at = first * 32, half = 1 << bit, value = x[first + bit];
      for (let i = 0; i < half; i++) table[at + half + i] = table[at + i] + value;
    }
  }
  return table;
}

/** Ones of every byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => ones(byte));

/** [mask, bits]: bits moved, in order, to the places of the mask's ones. */
const SPREAD = Uint8Array.from({ length: 1 << 16 }, (_, i) => {
  let out = 0;
  for (let mask = i >> 8, bits = i & 255; mask !== 0; mask &= mask - 1, bits >>= 1) out |= -(bits & 1) & mask & -mask;
  return out;
});

/** Moves the lowest bits, in order, to the places of the mask's ones. */
function spread(mask: number, bits: number): number {
  let out = SPREAD[(mask & 255) << 8 | bits & 255];
  bits >>>= ONES[mask & 255];
  out |= SPREAD[mask & 0xff00 | bits & 255] << 8;
  bits >>>= ONES[mask >>> 8 & 255];
  out |= SPREAD[mask >>> 8 & 0xff00 | bits & 255] << 16;
  bits >>>= ONES[mask >>> 16 & 255];
  return out | SPREAD[mask >>> 16 & 0xff00 | bits & 255] << 24;
}

/** Number of ones of 32 bits; the usual sums of neighbours. */
function ones(bits: number): number {
  bits -= bits >>> 1 & 0x55555555;
  bits = (bits & 0x33333333) + (bits >>> 2 & 0x33333333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Bits from..to−1 of 32. */
function bitsBetween(from: number, to: number): number {
  return (to >= 32 ? -1 : (1 << to) - 1) & -1 << from;
}
