/**
 * Products with a packed layer on the CPU, straight from its bits.
 *
 * The inputs of eight columns make 256 sums, one for each choice of them; every row then looks its sums up, a byte of a mask at a
 * time, instead of adding weight by weight. Source of the idea: T-MAC, arXiv 2407.00088, which looks up products of bits.
 */
import { CHUNK, type ChunkShape, chunkShape, type MatVecWeights } from "./matvec_layout.ts";
import { scalesPerBlock } from "../binary/ops.ts";

/** Rows that are worked on together: what is known of them stays in the nearest caches. */
const ROWS = 512;

/**
 * out := x·Ŵᵀ, where Ŵ is what the layer decodes to before its weights are rounded to float32.
 *
 * Sums are float64: an output is off by its rounding to float32 and by 2⁻⁵⁰·cols of the sum of |scales|·|x|.
 *
 * @param out vectors × rows, overwritten
 * @param weights rows × cols
 * @param x vectors × cols, finite
 * @param vectors 1..8
 */
export function packedProduct(out: Float32Array, weights: MatVecWeights, x: Float32Array, vectors: number): void {
  const { rows, cols } = weights;
  const tables = Array.from(
    { length: vectors },
    (_, vector) => subsetSums(x.subarray(vector * cols, (vector + 1) * cols)),
  );
  for (let top = 0; top < rows; top += ROWS) {
    const sums = sumRows(weights, tables, top, Math.min(ROWS, rows - top));
    for (const [vector, some] of sums.entries()) out.set(some, vector * rows + top);
  }
}

/** Products of some rows with each vector. */
function sumRows(weights: MatVecWeights, tables: readonly Float64Array[], top: number, count: number): Float64Array[] {
  const { rows, cols, groupSize } = weights, sums = tables.map(() => new Float64Array(count));
  const levels = new Float64Array(scalesPerBlock(weights) * count), seen = new Uint16Array(count);
  const bits: WordBits = {
    kept: new Int32Array(count),
    positive: new Int32Array(count),
    low: new Int32Array(count),
    high: new Int32Array(count),
  };
  let read = -1;
  for (let chunk = 0, base = top; chunk * CHUNK < cols; chunk++) {
    const shape = chunkShape(weights, chunk);
    seen.fill(0);
    for (let word = 0; word < shape.perPlane; word++) {
      readWord(bits, seen, weights, { shape, base, word });
      const column = chunk * CHUNK / 32 + word, first = column * 32, last = Math.min(cols, first + 32);
      for (let col = first; col < last;) {
        const block = Math.floor(col / groupSize), stop = Math.min(last, (block + 1) * groupSize);
        if (block !== read) readLevels(levels, weights, { block: read = block, top, count });
        const run = bitsBetween(col - first, stop - first), salient = run & weights.salientColumns[column];
        for (const [vector, table] of tables.entries()) {
          const at = column * 1024;
          if (salient !== 0) addSalient(sums[vector], bits, levels, { table, at, run: salient });
          addSegments(sums[vector], bits, levels, { table, at, run: run & ~salient, weights });
        }
        col = stop;
      }
    }
    base += shape.words * rows;
  }
  return sums;
}

/** One word of some rows, an element to a row: which weights are kept, which are positive, and the two bits of their marks. */
type WordBits = Readonly<Record<"kept" | "positive" | "low" | "high", Int32Array>>;

/**
 * Reads a word of a chunk, whose first row that is meant begins at `base`.
 *
 * @param seen of each row the kept weights of the chunk in words before this one, which is added
 */
function readWord(
  { kept, positive, low, high }: WordBits,
  seen: Uint16Array,
  { rows, planes, marks, words }: MatVecWeights,
  { shape, base, word }: { readonly shape: ChunkShape; readonly base: number; readonly word: number },
): void {
  const { perPlane, signs } = shape;
  const at = base + word * planes * rows, signsAt = base + perPlane * planes * rows, stride = (1 + marks) * rows;
  for (let row = 0; row < seen.length; row++) {
    const one = planes > 0 ? words[at + row] | 0 : -1, two = planes > 1 ? words[at + rows + row] | 0 : 0;
    const mask = one | two, before = seen[row], shift = before & 31, count = ones(mask);
    const place = signsAt + (before >>> 5) * stride + row;
    // Bits beyond the last word of signs are those of columns that the layer does not have.
    const more = shift + count > 32 && (before >>> 5) + 1 < signs;
    const left = 32 - shift;
    seen[row] = before + count;
    kept[row] = mask;
    low[row] = two & ~one;
    high[row] = two & one;
    if (before >>> 5 >= signs) continue;
    positive[row] = spread(mask, words[place] >>> shift | (more ? words[place + stride] << left : 0));
    if (marks === 0) continue;
    const lower = place + rows;
    low[row] = spread(mask, words[lower] >>> shift | (more ? words[lower + stride] << left : 0));
    if (marks === 1) continue;
    const higher = lower + rows;
    high[row] = spread(mask, words[higher] >>> shift | (more ? words[higher + stride] << left : 0));
  }
}

/** Where the sums of a word are, and which of its columns are meant. */
interface Run {
  readonly table: Float64Array;
  readonly at: number;
  readonly run: number;
}

/** Adds Σ (mean ± scale ± second scale)·x of salient columns to all rows. */
function addSalient(
  sums: Float64Array,
  { kept, positive, low }: WordBits,
  levels: Float64Array,
  { table, at, run }: Run,
): void {
  const rows = sums.length;
  for (let row = 0; row < rows; row++) {
    const mask = kept[row] & run;
    if (mask === 0) continue;
    const all = lookUp(table, at, mask), plus = lookUp(table, at, mask & positive[row]);
    const again = lookUp(table, at, mask & low[row]);
    sums[row] += levels[row] * all + levels[rows + row] * (2 * plus - all) +
      levels[2 * rows + row] * (2 * again - all);
  }
}

/** Adds Σ (mean ± scale)·x of other columns to all rows, segment by segment. */
function addSegments(
  sums: Float64Array,
  { kept, positive, low, high }: WordBits,
  levels: Float64Array,
  { table, at, run, weights: { segments, salient } }: Run & { readonly weights: MatVecWeights },
): void {
  const rows = sums.length;
  for (let mark = 0; mark < segments; mark++) {
    const means = (salient ? 3 * rows : 0) + 2 * mark * rows, sizes = means + rows;
    const notLow = mark & 1 ? 0 : -1, notHigh = mark & 2 ? 0 : -1;
    for (let row = 0; row < rows; row++) {
      const mask = kept[row] & run & (low[row] ^ notLow) & (high[row] ^ notHigh);
      const all = lookUp(table, at, mask), plus = lookUp(table, at, mask & positive[row]);
      sums[row] += levels[means + row] * all + levels[sizes + row] * (2 * plus - all);
    }
  }
}

/** Scales of one block and some rows, [scales of a block, count]. */
function readLevels(
  levels: Float64Array,
  { rows, half, scales, ...shape }: MatVecWeights,
  { block, top, count }: { readonly block: number; readonly top: number; readonly count: number },
): void {
  const { buffer, byteOffset, length } = scales, perBlock = scalesPerBlock(shape);
  const values = half ? new Float16Array(buffer, byteOffset, 2 * length) : new Float32Array(buffer, byteOffset, length);
  for (let i = 0; i < perBlock; i++) {
    const at = block * perBlock + i, step = half ? 2 : 1;
    const first = half ? ((at >> 1) * rows + top) * 2 + (at & 1) : at * rows + top;
    for (let row = 0; row < count; row++) levels[i * count + row] = values[first + row * step];
  }
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
