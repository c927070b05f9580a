/**
 * The format `refined`: ARB-LLM's layers. Every weight is kept; salient columns have two signs, in one group or two, the others one sign
 * in two groups. Levels are a row's mean and scales, or products of row and column scales.
 */
import * as z from "zod";
import { toFloat16 } from "../../files/float16.ts";
import { type Tensor, toFloat32 } from "../../files/safetensors.ts";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import { meansPerRow, productsPerRow } from "../../kernels/refinement/ops.ts";
import type { EncodedLayer, LayerContent, LayerFormat, StoredLayer } from "./format.ts";
import { exponent, layerShape, size } from "./header_fields.ts";
import { halfScales, realScales } from "./half_scales.ts";
import { decodeRefinedLayer, type RefinedLayer, shapeOf } from "./refined_layer.ts";
import { BIT_PLANES, type BitPlanes, joinCodes, salientColumns, splitCodes, usedPlaces } from "./refined_planes.ts";

const Facts = z.strictObject({
  groupSize: size(MAX_LAYER_WEIGHTS),
  levels: z.enum(["means", "products"]),
  columnGroups: z.boolean(),
  exponent,
});

const Options = z.object({ scales: z.enum(["f16", "f32"]) });

/** What the tensors of a packed layer do not say themselves; untrusted when it comes from a file. */
export const RefinedHeader = z.strictObject({
  ...layerShape,
  ...Facts.shape,
  ...Options.shape,
});
export type RefinedHeader = z.infer<typeof RefinedHeader>;

const NAME = "refined";

/**
 * The format; see the file's head, and `refined_planes.ts` for the bits.
 *
 * `scales` are [rows, blocks, scales of a row]; `column_scales` those of each column in turn, of its own groups only. Where F16 would
 * lose some, both are in units as in `planes`, which `exponent`, `units` and `column_units` say.
 */
export const refined: LayerFormat<RefinedHeader> = {
  name: NAME,
  header: RefinedHeader,
  planes: [...BIT_PLANES, "scales", "units", "column_scales", "column_units"],
  required: ["signs", "salient", "scales"],
  components: [
    { name: "signs", planes: ["signs", "second_signs"], label: "signs", title: "signs, first and second" },
    { name: "segments", planes: ["segments", "column_groups", "salient"], label: "segment and salient marks" },
    { name: "scales", planes: ["scales", "units"], label: "scales" },
    { name: "column_scales", planes: ["column_scales", "column_units"], label: "column scales" },
  ],
  // ARB-LLM, arXiv 2410.03129, counts as BiLLM does: r is the share of salient columns.
  formulas: { nominal: "1 + r", storing: "2 + 1/group" },
  pack: (content, options) => Promise.resolve(encodeLayer(layerOf(content), Options.parse(options).scales)),
  unpack: (encoded) => contentOf(restoreLayer(encoded)),
  decode: (encoded) => Promise.resolve(decodeRefinedLayer(restoreLayer(encoded))),
  async figures({ header: { cols, groupSize, columnGroups }, plane }: StoredLayer<RefinedHeader>) {
    const words = (await plane("salient"))?.data;
    const salient = words instanceof Uint32Array
      ? salientColumns(words, cols).reduce((sum, s) => sum + s, 0) / cols
      : 0;
    return {
      nominal: 1 + salient,
      storing: 2 + 1 / groupSize,
      groupSize,
      cells: { groups: columnGroups ? "2 + 2" : "1 + 2" },
      shares: { salient },
    };
  },
};

/** A layer as content: codes (U8), scales (F32, [rows, blocks, scales]) and, with products, column_scales (F32, [cols, scales]). */
export function contentOf({ rows, cols, codes, scales, columnScales, ...facts }: RefinedLayer): LayerContent {
  const layer = { rows, cols, ...facts };
  return {
    format: NAME,
    rows,
    cols,
    facts,
    arrays: {
      codes: { dtype: "U8", shape: [rows, cols], data: codes },
      scales: { dtype: "F32", shape: scalesShape(layer), data: scales },
      ...(columnScales === undefined ? {} : {
        column_scales: { dtype: "F32", shape: [cols, productsPerRow(shapeOf(layer))], data: columnScales } as const,
      }),
    },
  };
}

/**
 * The layer that content holds.
 *
 * @throws {RangeError} when the content is another format's
 */
export function layerOf({ format, rows, cols, facts, arrays }: LayerContent): RefinedLayer {
  const codes = arrays.codes?.data, scales = arrays.scales?.data, columnScales = arrays.column_scales?.data;
  const layer = Facts.parse(facts), { levels } = layer;
  const columns = levels === "products" ? columnScales instanceof Float32Array : columnScales === undefined;
  if (format === NAME && codes instanceof Uint8Array && scales instanceof Float32Array && columns) {
    const given = columnScales instanceof Float32Array ? { columnScales } : {};
    return { rows, cols, ...layer, codes, scales, ...given };
  }
  throw new RangeError(
    `Cannot take a layer as ${NAME}: it must be of that format, with codes in U8 and scales in F32, of columns too ` +
      `with products: current value is "${format}" with ` +
      Object.entries(arrays).map(([name, { dtype }]) => `${name} in ${dtype}`).join(", "),
  );
}

function encodeLayer(layer: RefinedLayer, scales: "f16" | "f32"): EncodedLayer<RefinedHeader> {
  const { rows, cols, groupSize, levels, columnGroups, columnScales } = layer;
  const exponent = scales === "f16" ? layer.exponent : undefined;
  const header: RefinedHeader = {
    ...{ rows, cols, groupSize, levels, columnGroups, scales },
    ...(exponent === undefined ? {} : { exponent }),
  };
  const { planes, salient } = splitCodes(layer), tensors: Record<string, Tensor> = {};
  for (const plane of BIT_PLANES) {
    if (planes[plane].length > 0) tensors[plane] = { dtype: "U32", shape: [planes[plane].length], data: planes[plane] };
  }
  const shape = scalesShape(header), together = shape[2];
  const rowsStored = storedScales(layer.scales, { scales, together, exponent });
  tensors.scales = tensorOf(rowsStored.values, shape, "scale");
  if (rowsStored.units.length > 0) tensors.units = unitsTensor(rowsStored.units);
  if (columnScales === undefined) return { format: NAME, header, tensors };
  const perColumn = productsPerRow(shapeOf(layer)), places = usedPlaces(salient, layer);
  const stored = storedScales(columnScales, {
    scales,
    together: perColumn,
    exponent: exponent === undefined ? undefined : 0,
  });
  const used = stored.values instanceof Uint16Array
    ? Uint16Array.from(places, (at) => stored.values[at])
    : Float32Array.from(places, (at) => stored.values[at]);
  tensors.column_scales = tensorOf(used, [used.length], "column scale");
  if (stored.units.length > 0) tensors.column_units = unitsTensor(stored.units);
  return { format: NAME, header, tensors };
}

function restoreLayer({ header, tensors }: EncodedLayer<RefinedHeader>): RefinedLayer {
  const { scales: dtype, ...layer } = header, { rows, cols, levels, exponent } = header;
  const bits = (name: keyof BitPlanes) => {
    const data = tensors[name]?.data ?? new Uint32Array(0);
    if (!(data instanceof Uint32Array)) throw new RangeError(`Cannot unpack plane ${name}: dtype must be U32`);
    return data;
  };
  const planes: BitPlanes = {
    signs: bits("signs"),
    second_signs: bits("second_signs"),
    segments: bits("segments"),
    column_groups: bits("column_groups"),
    salient: bits("salient"),
  };
  // Codes first: what the header says must be borne out by the planes before anything of its sizes is made.
  const { codes, salient } = joinCodes(planes, header);
  const shape = scalesShape(header);
  const values = toFloat32(expectScales(tensors.scales, { name: "scales", dtype, shape }));
  const scales = inUnits(values, tensors.units, { name: "units", together: shape[2], exponent });
  if (levels === "means") {
    const more = ["column_scales", "column_units"].find((name) => tensors[name] !== undefined);
    if (more !== undefined) throw new RangeError(`Cannot unpack ${more}: levels with means have none`);
    return { ...layer, rows, cols, codes, scales };
  }
  const perColumn = productsPerRow(shapeOf(header)), places = usedPlaces(salient, header);
  const used = toFloat32(
    expectScales(tensors.column_scales, { name: "column_scales", dtype, shape: [places.length] }),
  );
  const columns = new Float32Array(cols * perColumn);
  places.forEach((at, i) => columns[at] = used[i]);
  const columnScales = inUnits(columns, tensors.column_units, {
    name: "column_units",
    together: perColumn,
    exponent: exponent === undefined ? undefined : 0,
  });
  return { ...layer, rows, cols, codes, scales, columnScales };
}

/** [rows, blocks, scales of a row] */
function scalesShape(layer: Pick<RefinedLayer, "rows" | "cols" | "groupSize" | "levels" | "columnGroups">) {
  const perRow = (layer.levels === "means" ? meansPerRow : productsPerRow)(shapeOf(layer));
  return [layer.rows, Math.ceil(layer.cols / layer.groupSize), perRow] as const;
}

function storedScales(
  values: Float32Array,
  { scales, together, exponent }: {
    readonly scales: "f16" | "f32";
    readonly together: number;
    readonly exponent: number | undefined;
  },
): { readonly values: Float32Array | Uint16Array; readonly units: Int32Array } {
  if (scales === "f32") return { values, units: new Int32Array(0) };
  if (exponent === undefined) return { values: toFloat16(values), units: new Int32Array(0) };
  const { half, units } = halfScales(values, { together, exponent });
  return { values: half, units };
}

/** @throws {RangeError} when a scale is not finite in its stored type */
function tensorOf(data: Float32Array | Uint16Array, shape: readonly number[], what: string): Tensor {
  const tensor: Tensor = { dtype: data instanceof Uint16Array ? "F16" : "F32", shape, data };
  const count = shape.reduce((product, length) => product * length, 1);
  if (data.length !== count) {
    throw new RangeError(`Cannot pack ${what}s: [${shape.join(", ")}] takes ${count}: current value is ${data.length}`);
  }
  const broken = toFloat32(tensor).findIndex((value) => !Number.isFinite(value));
  if (broken < 0) return tensor;
  throw new RangeError(
    `Cannot pack ${what} ${broken} as ${tensor.dtype}: it must be finite` +
      (tensor.dtype === "F16" ? "; pack.scales: f32 has more range" : ""),
  );
}

function unitsTensor(units: Int32Array): Tensor {
  return { dtype: "I32", shape: [units.length / 2, 2], data: units };
}

function expectScales(
  tensor: Tensor | undefined,
  { name, dtype, shape }: { readonly name: string; readonly dtype: "f16" | "f32"; readonly shape: readonly number[] },
): Tensor {
  const wanted = `${dtype.toUpperCase()} [${shape.join(", ")}]`;
  const found = tensor === undefined ? "nothing" : `${tensor.dtype} [${tensor.shape.join(", ")}]`;
  if (tensor !== undefined && found === wanted) return tensor;
  throw new RangeError(`Cannot unpack ${name}: ${wanted} was expected: current value is ${found}`);
}

function inUnits(
  values: Float32Array,
  units: Tensor | undefined,
  { name, together, exponent }: {
    readonly name: string;
    readonly together: number;
    readonly exponent: number | undefined;
  },
): Float32Array {
  if (exponent === undefined && units === undefined) return values;
  const listed = units === undefined ? new Int32Array(0) : units.data;
  if (exponent === undefined || !(listed instanceof Int32Array)) {
    throw new RangeError(`Cannot unpack ${name}: the header must say exponent, their dtype be I32`);
  }
  return realScales(values, listed, { together, exponent });
}
