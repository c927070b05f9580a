/**
 * The format `sparse`: a pruned layer as the mask of what is kept, and the kept weights, row by row.
 *
 * Not bit planes (`planes.ts`), whose mask it shares.
 */
import * as z from "zod";
import { KEPT } from "../../kernels/binary/ops.ts";
import { checkShape, MAX_LAYER_WEIGHTS, packMask, type PlaneShape, unpackMask } from "../../kernels/packing/ops.ts";
import { HALF_MOST } from "../../kernels/sparse/ops.ts";
import { fromFloat16, toFloat16 } from "../../files/float16.ts";
import type { Tensor } from "../../files/safetensors.ts";
import type { EncodedLayer, LayerContent, LayerFormat } from "./format.ts";
import { exponent, layerShape, pruning, size } from "./header_fields.ts";
import { MAX_EXPONENT } from "./half_scales.ts";

const Facts = z.strictObject({
  groupSize: size(MAX_LAYER_WEIGHTS),
  ...pruning,
  values: z.enum(["f16", "f32"]),
  exponent,
});

const Options = z.object({ mask: z.enum(["enumerative", "bitmask"]) });

/** What the tensors of a pruned layer do not say themselves; untrusted when it comes from a file. */
export const SparseHeader = z.strictObject({
  ...layerShape,
  ...Facts.shape,
  ...Options.shape,
});
export type SparseHeader = z.infer<typeof SparseHeader>;

const NAME = "sparse";

/** Bits of a stored value. */
const BITS = { f16: 16, f32: 32 } as const;

/**
 * The format; see the file's head. `mask` (U32) is laid out as `kernels/packing/pack.ts` says, `values` (F16 or F32, [kept]) holds the
 * weights.
 *
 * Where F16 does not hold the values as they are, they are in units of 2^exponent, which only such a header has, and `units` (I32, [sets,
 * 2]) lists the rows' column groups that have units of their own, by index and exponent on top.
 */
export const sparse: LayerFormat<SparseHeader> = {
  name: NAME,
  header: SparseHeader,
  planes: ["mask", "values", "units"],
  required: ["values"],
  components: [
    { name: "mask", planes: ["mask"], label: "mask", title: "mask of kept weights" },
    { name: "values", planes: ["values", "units"], label: "values", title: "values of kept weights" },
  ],
  formulas: { nominal: "b·N/M, b the bits of a value" },
  pack: (content, options) => Promise.resolve(encode(content, Options.parse(options))),
  unpack,
  decode: (encoded) => Promise.resolve(restore(encoded).values),
  figures: ({ header: { keep, of, type, values } }) =>
    Promise.resolve({
      nominal: BITS[values] * (type === "none" ? 1 : keep / of),
      of,
      cells: { "N:M": `${keep}:${of}` },
      shares: {},
    }),
};

function encode({ format, rows, cols, facts: found, arrays }: LayerContent, { mask }: z.infer<typeof Options>) {
  const kept = arrays.kept?.data, values = arrays.values?.data;
  if (format !== NAME || !(kept instanceof Uint8Array && values instanceof Float32Array)) {
    throw new RangeError(
      `Cannot take a layer as ${NAME}: it must be of that format, with kept in U8 and values in F32: current value is ` +
        `"${format}" with ${Object.entries(arrays).map(([name, { dtype }]) => `${name} in ${dtype}`).join(", ")}`,
    );
  }
  const facts = Facts.parse(found), header: SparseHeader = { rows, cols, ...facts, mask }, shape = shapeOf(header);
  checkShape(shape);
  if (kept.length !== rows * cols || values.length !== rows * cols) {
    throw new RangeError(
      `Cannot pack a pruned layer: [${rows}, ${cols}] takes ${rows * cols} marks and values: current value is ` +
        `${kept.length} and ${values.length}`,
    );
  }
  const count = kept.reduce((sum, mark) => sum + (mark & KEPT), 0), packed = new Float32Array(count);
  // Sizes of a layer that keeps nothing would be borne out by nothing.
  if (count !== keptOf(header) || count === 0) {
    throw new RangeError(
      `Cannot pack a pruned layer as ${facts.keep}:${facts.of} of [${rows}, ${cols}] keeps ${
        keptOf(header)
      }, and one at ` +
        `least: current value is ${count}`,
    );
  }
  for (let i = 0, at = 0; i < kept.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new RangeError(`Cannot pack value ${i} as it is not finite: it is ${values[i]}`);
    }
    if (kept[i] & KEPT) packed[at++] = values[i];
    else if (values[i] !== 0) throw new RangeError(`Cannot pack value ${i} as it is pruned: it is ${values[i]}, not 0`);
  }
  const words = packMask(shape, kept);
  const { half, units } = facts.values === "f16"
    ? halves(packed, header, kept)
    : { half: undefined, units: new Int32Array(0) };
  const tensors: Record<string, Tensor> = {
    ...(words.length > 0 ? { mask: { dtype: "U32", shape: [words.length], data: words } } : {}),
    values: half ? { dtype: "F16", shape: [count], data: half } : { dtype: "F32", shape: [count], data: packed },
    ...(units.length > 0 ? { units: { dtype: "I32", shape: [units.length / 2, 2], data: units } } : {}),
  };
  return { format: NAME, header, tensors };
}

/**
 * Kept values in float16, exactly.
 *
 * A set, the values of one row and group of columns, has no unit of its own where float16 holds all of them in the layer's, else the least
 * in which it holds the largest: what any unit holds exactly, this one does.
 */
function halves(packed: Float32Array, header: SparseHeader, kept: Uint8Array) {
  const { rows, cols, groupSize, exponent = 0 } = header, units: number[] = [];
  const stored = new Float32Array(packed.length);
  for (let row = 0, set = 0, begin = 0; row < rows; row++) {
    for (let col = 0; col < cols; col += groupSize, set++) {
      let end = begin;
      for (let j = col; j < Math.min(col + groupSize, cols); j++) end += kept[row * cols + j] & KEPT;
      const own = ownUnit(packed.subarray(begin, end), exponent);
      if (own !== 0) units.push(set, own);
      for (; begin < end; begin++) {
        stored[begin] = packed[begin] * 2 ** -exponent * 2 ** -own;
        if (Math.f16round(stored[begin]) === stored[begin] && (own === 0 || header.exponent !== undefined)) continue;
        throw new RangeError(
          `Cannot pack value ${begin} of row ${row} as f16: it must be a number of float16, in units that the layer's ` +
            `exponent announces where it needs one: current value is ${packed[begin]}`,
        );
      }
    }
  }
  return { half: toFloat16(stored), units: Int32Array.from(units) };
}

/** See `halves`. @param values finite */
function ownUnit(values: Float32Array, exponent: number): number {
  const scale = 2 ** -exponent;
  if (values.every((value) => Math.f16round(value * scale) === value * scale)) return 0;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value * scale)), 0);
  let own = Math.max(-MAX_EXPONENT, Math.floor(Math.log2(largest)) - 17);
  while (largest * 2 ** -own > HALF_MOST) own++;
  return own;
}

/** The codes and dense weights of a layer, rows × cols each. @throws {RangeError} see `LayerFormat.unpack` */
function restore({ header, tensors }: EncodedLayer<SparseHeader>): { kept: Uint8Array; values: Float32Array } {
  const { rows, cols, groupSize } = header, shape = shapeOf(header);
  checkShape(shape);
  const { mask, values, units } = tensors, dtype = header.values === "f16" ? "F16" : "F32";
  const words = mask?.data ?? new Uint32Array(0), count = values?.data.length ?? 0;
  if (!(words instanceof Uint32Array) || values?.dtype !== dtype || values.shape.length !== 1 || count === 0) {
    throw new RangeError(
      `Cannot unpack a pruned layer: a mask of U32 and values of ${dtype} in a row were expected: current value is ` +
        `${mask?.dtype ?? "no mask"}, ${values === undefined ? "no values" : `${values.dtype} [${values.shape}]`}`,
    );
  }
  // What a header says must be borne out by the planes before anything of the layer's size is made.
  checkMask(header, words);
  const expected = keptOf(header);
  if (count !== expected) {
    throw new RangeError(
      `Cannot unpack values: ${expected} were expected for ${header.keep}:${header.of} of [${rows}, ${cols}]: current ` +
        `value is ${count}`,
    );
  }
  const kept = unpackMask(words, shape), out = new Float32Array(rows * cols);
  const stored = values.data instanceof Uint16Array ? fromFloat16(values.data) : values.data;
  const exponents = unitsOf(header, units);
  let at = 0;
  for (let row = 0, i = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++, i++) {
      if (!kept[i]) continue;
      const value = Number(stored[at++]);
      out[i] = exponents === undefined
        ? value
        : value * 2 ** exponents[row * Math.ceil(cols / groupSize) + Math.floor(col / groupSize)];
    }
  }
  if (at !== count) {
    throw new RangeError(`Cannot unpack values: the mask keeps ${at}: current value is ${count}`);
  }
  return { kept, values: out };
}

/** Weights that a layer of a header keeps: N of every M, or the nearest share of each group of columns. */
function keptOf({ rows, cols, groupSize, keep, of, type }: SparseHeader): number {
  if (type === "none") return rows * cols;
  if (type === "semi-structured") return rows * cols / of * keep;
  const share = (width: number) =>
    type === "structured" ? rows * Math.round(keep * width / of) : Math.round(keep * rows * width / of);
  const whole = Math.floor(cols / groupSize), rest = cols % groupSize;
  return whole * share(groupSize) + (rest === 0 ? 0 : share(rest));
}

/** @throws {RangeError} when a mask of one bit a weight or column has not their words */
function checkMask({ rows, cols, type, mask }: SparseHeader, words: Uint32Array): void {
  if (type === "none" || type === "semi-structured" && mask === "enumerative") return;
  const expected = Math.ceil((type === "structured" ? cols : rows * cols) / 32);
  if (words.length === expected) return;
  throw new RangeError(
    `Cannot unpack plane mask: ${expected} words were expected for [${rows}, ${cols}]: current value is ${words.length}`,
  );
}

/**
 * The exponent of each row's column groups; undefined where values are as they are.
 *
 * @throws {RangeError} when units are not what packing writes
 */
function unitsOf({ rows, cols, groupSize, values, exponent }: SparseHeader, units: Tensor | undefined) {
  if (exponent === undefined && units === undefined) return undefined;
  const listed = units?.data ?? new Int32Array(0), sets = rows * Math.ceil(cols / groupSize);
  if (exponent === undefined || values !== "f16" || !(listed instanceof Int32Array) || listed.length % 2 !== 0) {
    throw new RangeError(
      "Cannot unpack units of values: the header must say exponent and values f16, they be pairs of I32",
    );
  }
  const exponents = new Int32Array(sets).fill(exponent);
  for (let i = 0, last = -1; i < listed.length; i += 2) {
    const set = listed[i], own = listed[i + 1];
    if (!(set > last && set < sets && own !== 0 && Math.abs(own) <= MAX_EXPONENT)) {
      throw new RangeError(`Cannot unpack units of values: entry ${i / 2} of ${listed.length / 2} is ${set}, ${own}`);
    }
    exponents[set] += own;
    last = set;
  }
  return exponents;
}

function unpack(encoded: EncodedLayer<SparseHeader>): LayerContent {
  const { mask: _mask, rows, cols, ...facts } = encoded.header, { kept, values } = restore(encoded);
  return {
    format: NAME,
    rows,
    cols,
    facts,
    arrays: {
      kept: { dtype: "U8", shape: [rows, cols], data: kept },
      values: { dtype: "F32", shape: [rows, cols], data: values },
    },
  };
}

function shapeOf({ rows, cols, keep, of, type, mask }: SparseHeader): PlaneShape {
  return { rows, cols, keep, of, type, mask, segments: 1, salient: false };
}
