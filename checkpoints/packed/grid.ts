/**
 * The format `grid`: a layer rounded to uniform grids (RTN, GPTQ), as codes of a few bits, a scale for each row and group of columns, and
 * the code that stands for 0.
 */
import * as z from "zod";
import { toFloat16 } from "../../files/float16.ts";
import { type Tensor, toFloat32 } from "../../files/safetensors.ts";
import { decodeRows, type GridCodes, MAX_BITS } from "../../kernels/grid/ops.ts";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import { fixedWords, packFixed, unpackFixed } from "./fixed_bits.ts";
import type { EncodedLayer, LayerContent, LayerFormat } from "./format.ts";
import { exponent, layerShape, size } from "./header_fields.ts";
import { halfScales, realScales } from "./half_scales.ts";

const Facts = z.strictObject({
  bits: size(MAX_BITS),
  groupSize: size(MAX_LAYER_WEIGHTS),
  grid: z.enum(["minmax", "sign"]),
  /** Whether columns were quantized in another order than the layer's; groups are of that order. */
  ordered: z.boolean(),
  exponent,
});

const Options = z.object({ scales: z.enum(["f16", "f32"]) });

const Header = z.strictObject({
  ...layerShape,
  ...Facts.shape,
  ...Options.shape,
});

/** What the tensors of a packed layer do not say themselves; untrusted when it comes from a file. */
export type GridHeader = z.infer<typeof Header>;

/**
 * A layer of grids before it is packed: codes (U8, [rows, cols]), scales (F32, [rows, groups]), zeros (U8, [rows, groups]; not with grid
 * sign) and, where columns have an order of their own, order (U32, [cols]): column j of the codes is column order[j] of the layer.
 */
export interface GridLayer extends GridCodes {
  readonly bits: number;
  readonly order?: Uint32Array;
  /** Of the unit of scales that float16 would lose. */
  readonly exponent?: number;
}

const NAME = "grid";

/** The format; see the file's head. */
export const grid: LayerFormat<GridHeader> = {
  name: NAME,
  header: Header,
  planes: ["codes", "scales", "units", "zeros", "order"],
  required: ["codes", "scales"],
  components: [
    { name: "codes", planes: ["codes"], label: "codes" },
    { name: "scales", planes: ["scales", "units"], label: "scales" },
    { name: "zeros", planes: ["zeros"], label: "zeros", title: "codes that stand for 0" },
    { name: "order", planes: ["order"], label: "order of columns" },
  ],
  // As GPTQ's paper and those that compare with it count: "3 bits, group 128".
  formulas: { nominal: "bits", storing: "(scale + zero)/group" },
  async pack(content, options) {
    return await Promise.resolve(encodeLayer(layerOf(content), Options.parse(options)));
  },
  unpack: (encoded) => contentOf(restoreLayer(encoded)),
  async decode(encoded) {
    return await Promise.resolve(decodeGridLayer(restoreLayer(encoded)));
  },
  figures({ header: { bits, groupSize, cols, scales, grid } }) {
    const width = Math.min(groupSize, cols), zero = grid === "sign" ? 0 : bits;
    return Promise.resolve({
      nominal: bits,
      storing: ((scales === "f16" ? 16 : 32) + zero) / width,
      groupSize: width,
      cells: { bits: grid === "sign" ? "sign" : `${bits}` },
      shares: {},
    });
  },
};

/**
 * Weights of a layer.
 *
 * @returns rows × cols
 */
export function decodeGridLayer(layer: GridLayer): Float32Array {
  const decoded = decodeRows(new Float32Array(layer.codes.length), layer);
  return layer.order ? inPlace(decoded, layer.order) : decoded;
}

/** A layer of grids as content. */
export function contentOf(layer: GridLayer): LayerContent {
  const { rows, cols, bits, groupSize, grid, codes, scales, zeros, order, exponent } = layer;
  const shape = [rows, Math.ceil(cols / groupSize)];
  return {
    format: NAME,
    rows,
    cols,
    facts: { bits, groupSize, grid, ordered: order !== undefined, ...(exponent === undefined ? {} : { exponent }) },
    arrays: {
      codes: { dtype: "U8", shape: [rows, cols], data: codes },
      scales: { dtype: "F32", shape, data: scales },
      ...(grid === "sign" ? {} : { zeros: { dtype: "U8", shape, data: zeros } }),
      ...(order ? { order: { dtype: "U32", shape: [cols], data: order } } : {}),
    },
  };
}

/**
 * The layer of grids that `contentOf` made content of.
 *
 * @throws {RangeError} when the content is another format's, or its facts and arrays do not fit
 */
export function layerOf({ format, rows, cols, facts, arrays }: LayerContent): GridLayer {
  const codes = arrays.codes?.data,
    scales = arrays.scales?.data,
    zeros = arrays.zeros?.data,
    order = arrays.order?.data;
  if (format !== NAME || !(codes instanceof Uint8Array && scales instanceof Float32Array)) {
    throw new RangeError(
      `Cannot take a layer as ${NAME}: it must be of that format, with codes in U8 and scales in F32: current value is ` +
        `"${format}" with ${Object.entries(arrays).map(([name, { dtype }]) => `${name} in ${dtype}`).join(", ")}`,
    );
  }
  const { ordered, ...known } = Facts.parse(facts), groups = rows * Math.ceil(cols / known.groupSize);
  const fits = zeros instanceof Uint8Array ? zeros.length === groups && known.grid === "minmax" : known.grid === "sign";
  if (!fits || codes.length !== rows * cols || scales.length !== groups || ordered !== order instanceof Uint32Array) {
    throw new RangeError(
      `Cannot take a layer as ${NAME}: codes [${rows}, ${cols}], scales and zeros [${rows}, groups] must be what its facts say: ` +
        `current value is ${JSON.stringify(facts)}`,
    );
  }
  return {
    ...{ rows, cols, ...known, codes, scales },
    zeros: zeros instanceof Uint8Array ? zeros : new Uint8Array(0),
    ...(order instanceof Uint32Array ? { order } : {}),
  };
}

/**
 * Packs a layer; scales are rounded here.
 *
 * @throws {RangeError} when a code has more bits than the layer says, the order is none, or a scale is not finite in the stored type
 */
export function encodeLayer(
  layer: GridLayer,
  { scales: type }: Pick<GridHeader, "scales">,
): EncodedLayer<GridHeader> {
  const { rows, cols, bits, groupSize, grid, codes, scales, zeros, order } = layer;
  const exponent = type === "f16" ? layer.exponent : undefined;
  const inUnits = exponent === undefined ? undefined : halfScales(scales, { together: 1, exponent });
  const shape = [rows, Math.ceil(cols / groupSize)];
  const stored: Tensor = type === "f16"
    ? { dtype: "F16", shape, data: inUnits?.half ?? toFloat16(scales) }
    : { dtype: "F32", shape, data: scales };
  const broken = toFloat32(stored).findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new RangeError(
      `Cannot pack scale ${broken} as ${type}: it must be finite: current value is ${scales[broken]}` +
        (type === "f16" ? "; pack.scales: f32 has more range" : ""),
    );
  }
  const words = (values: Uint8Array): Tensor => {
    const data = packFixed(values, bits);
    return { dtype: "U32", shape: [data.length], data };
  };
  const tensors: Record<string, Tensor> = { codes: words(codes), scales: stored };
  if (inUnits && inUnits.units.length > 0) {
    tensors.units = { dtype: "I32", shape: [inUnits.units.length / 2, 2], data: inUnits.units };
  }
  if (grid !== "sign") tensors.zeros = words(zeros);
  if (order) {
    checkOrder(order, cols);
    tensors.order = cols <= MOST_SHORT
      ? { dtype: "U16", shape: [cols], data: Uint16Array.from(order) }
      : { dtype: "U32", shape: [cols], data: order };
  }
  const header = {
    ...{ rows, cols, bits, groupSize, grid, ordered: order !== undefined, scales: type },
    ...(exponent === undefined ? {} : { exponent }),
  };
  return { format: NAME, header, tensors };
}

/** Columns that 16 bits number. */
const MOST_SHORT = 2 ** 16;

/**
 * Unpacks a layer: codes and zeros exactly, scales as rounded.
 *
 * @throws {RangeError} when the tensors are not what packing a layer of this header writes
 */
export function restoreLayer({ header, tensors }: EncodedLayer<GridHeader>): GridLayer {
  const { rows, cols, bits, groupSize, grid, ordered, scales: type, exponent } = header;
  if (rows * cols > MAX_LAYER_WEIGHTS) {
    throw new RangeError(
      `Cannot unpack a layer as it has at most ${MAX_LAYER_WEIGHTS} weights: it is [${rows}, ${cols}]`,
    );
  }
  if (grid === "sign" && bits !== 1) {
    throw new RangeError(`Cannot unpack signs as they have 1 bit: header says ${bits}`);
  }
  const shape = [rows, Math.ceil(cols / groupSize)], groups = shape[0] * shape[1];
  const take = (plane: string, dtype: Tensor["dtype"], shape: readonly number[]) => {
    const found = tensors[plane];
    if (found?.dtype === dtype && found.shape.join() === shape.join()) return found;
    throw new RangeError(
      `Cannot unpack ${plane}: ${dtype} [${shape.join(", ")}] was expected: ` +
        `current value is ${found === undefined ? "nothing" : `${found.dtype} [${found.shape.join(", ")}]`}`,
    );
  };
  const none = (plane: string) => {
    if (tensors[plane] !== undefined) {
      throw new RangeError(`Cannot unpack ${plane}: the header says that there is none`);
    }
  };
  // Sizes are borne out by planes that are there before anything of these sizes is made.
  const numbers = (plane: string, count: number) => {
    const { data } = take(plane, "U32", [fixedWords(count, bits)]);
    return unpackFixed(data instanceof Uint32Array ? data : new Uint32Array(0), count, bits);
  };
  const scales = scalesOf(take("scales", type === "f16" ? "F16" : "F32", shape), tensors.units, header);
  if (grid === "sign") none("zeros");
  if (!ordered) none("order");
  const order = ordered
    ? Uint32Array.from(take("order", cols <= MOST_SHORT ? "U16" : "U32", [cols]).data, Number)
    : undefined;
  if (order) checkOrder(order, cols);
  return {
    ...{ rows, cols, bits, groupSize, grid, scales, codes: numbers("codes", rows * cols) },
    zeros: grid === "sign" ? new Uint8Array(0) : numbers("zeros", groups),
    ...(order ? { order } : {}),
    ...(exponent === undefined ? {} : { exponent }),
  };
}

/** Scales as float32, from units where they have some. */
function scalesOf(stored: Tensor, units: Tensor | undefined, { scales, exponent }: GridHeader): Float32Array {
  const values = toFloat32(stored);
  if (exponent === undefined && units === undefined) return values;
  if (exponent === undefined || scales !== "f16" || !(units === undefined || units.dtype === "I32")) {
    throw new RangeError(
      "Cannot unpack units of scales: the header must say exponent and scales f16, their dtype be I32",
    );
  }
  const listed = units?.data instanceof Int32Array ? units.data : new Int32Array(0);
  return realScales(values, listed, { together: 1, exponent });
}

/** @throws {RangeError} when it does not name every column once */
function checkOrder(order: Uint32Array, cols: number): void {
  const seen = new Uint8Array(cols);
  for (const col of order) if (col < cols) seen[col] = 1;
  if (order.length === cols && !seen.includes(0)) return;
  throw new RangeError(`Cannot use an order of columns as it must name each of ${cols} once`);
}

/** Columns back to where they belong. */
function inPlace(from: Float32Array, order: Uint32Array): Float32Array {
  const out = new Float32Array(from.length), cols = order.length;
  for (let start = 0; start < from.length; start += cols) {
    for (let j = 0; j < cols; j++) out[start + order[j]] = from[start + j];
  }
  return out;
}
