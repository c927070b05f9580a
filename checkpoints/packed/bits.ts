/** What a packed model costs: bits per weight, counted on the bytes of its file, beside the number that papers print. */
import type { Component, Formulas, LayerFigures, LayerHeader } from "./format.ts";
import { InputError } from "../../files/input_error.ts";
import { requireShape, type TensorShapes } from "../read_tensors.ts";
import type { FormatOptions } from "./formats.ts";
import { openPacked, type PackedCheckpoint, type PackedLayer } from "./open.ts";

/** Stored bits per weight, by component of the format, and their sum. */
export type StoredBits = Readonly<Record<string, number>> & { readonly total: number };

/** Bits per weight of a layer or of all compressed layers. */
export interface Bits extends Pick<LayerFigures, "nominal" | "storing"> {
  readonly stored: StoredBits;
  /** The same as if no plane were entropy-coded; undefined where none is. */
  readonly uncoded?: StoredBits;
}

/** A tensor that is counted apart from the layers, compressed or not. */
export interface TensorBits {
  /** Of the tensor, with `.weight`. */
  readonly name: string;
  /** The format of its packed layer, or its type. */
  readonly format: string;
  readonly weights: number;
  readonly bytes: number;
  /** 8 × bytes ÷ weights. */
  readonly stored: number;
}

/** How a packed model is counted. */
export interface InspectOptions extends FormatOptions {
  /** Tensors to be counted apart from the layers, such as the embedding, by what they are; those that the file lacks are left out. */
  readonly apart?: Readonly<Record<string, string>>;
  /** Of all tensors that the model's config says there are: what a layer claims to be is held against them before it is decoded. */
  readonly shapes?: TensorShapes;
}

/** One compressed layer. */
export interface LayerBits extends Bits, LayerFigures {
  readonly name: string;
  readonly format: string;
  readonly header: LayerHeader;
  readonly weights: number;
  /** Stored bytes of all its components. */
  readonly bytes: number;
}

/**
 * A packed model, counted; what layers differ in, or not all of them have, is undefined.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { PackedInspection } from "./bits.ts";
 * import { inspectPacked } from "./bits.ts";
 * import { writePackedModel } from "./write.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const norm = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const others = [["norm.weight", norm] as const];
 * await writePackedModel(folder, { layers: [], others, config: {}, tokenizer: undefined, source: {} });
 * const { parameters, parts, bytes }: PackedInspection = await inspectPacked(folder);
 * assert.deepEqual([parameters, parts.layers, parts.others], [2, 0, 8]);
 * assert.equal(parts.header + parts.others, bytes);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface PackedInspection extends Bits, Pick<LayerFigures, "of" | "groupSize"> {
  /** All compressed layers but those counted apart. */
  readonly layers: readonly LayerBits[];
  /** Names of the layers' formats. */
  readonly formats: readonly string[];
  /** Of all these formats. */
  readonly components: readonly Component[];
  readonly formulas: Formulas;
  /** Tensors that are counted apart, by the names that were asked for. */
  readonly apart: Readonly<Record<string, TensorBits>>;
  /** Weights of all compressed layers. */
  readonly weights: number;
  /** Weights and other parameters of the whole model. */
  readonly parameters: number;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Of these, bytes of the compressed layers' components, of all other tensors, and of the header. */
  readonly parts: { readonly layers: number; readonly others: number; readonly header: number };
  /** 8 × bytes of the file ÷ parameters: embeddings, norms, head and header included. */
  readonly model: number;
}

/**
 * Counts a packed model; reads its header, and of the layers only what their nominal bits depend on.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { inspectPacked } from "./bits.ts";
 * import { signFormat } from "./sign_format_test_support.ts";
 * import { writePackedModel } from "./write.ts";
 *
 * const folder = await Deno.makeTempDir(), formats = [signFormat];
 * const signs = { dtype: "U8", shape: [2, 32], data: new Uint8Array(64).fill(1) } as const;
 * const scales = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const content = { format: "sign", rows: 2, cols: 32, facts: {}, arrays: { signs, scales } };
 * const layers = [["q_proj", await signFormat.pack(content, {})] as const];
 * await writePackedModel(folder, { layers, others: [], config: {}, tokenizer: undefined, source: {} }, { formats });
 *
 * const { weights, nominal, stored } = await inspectPacked(folder, { formats });
 * assert.deepEqual([weights, nominal], [64, 1]);
 * assert.deepEqual(stored, { signs: 1, scales: 0.5, total: 1.5 });
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param folder as `writePackedModel` left it
 * @param options `apart`: tensors that are no layers of blocks, such as the embedding, and so are none of those whose bits are averaged
 * @throws {InputError} when it is no packed model, or a layer is not of the shape that it has in the model
 */
export async function inspectPacked(
  folder: string,
  { apart = {}, shapes, ...options }: InspectOptions = {},
): Promise<PackedInspection> {
  const packed = await openPacked(folder, options);
  try {
    if (shapes) checkShapes(packed, shapes);
    const outside = new Set(Object.values(apart));
    const counted = [...packed.layers].filter(([name]) => !outside.has(`${name}.weight`));
    const layers: LayerBits[] = [];
    for (const [name, layer] of counted) layers.push(await inspectLayer(packed, name, layer));
    const weights = layers.reduce((sum, layer) => sum + layer.weights, 0);
    let parameters = 0;
    for (const { shape } of packed.tensors.values()) {
      parameters += shape.reduce((product, length) => product * length, 1);
    }
    const mean = (of: (layer: Bits) => number) =>
      layers.reduce((sum, layer) => sum + of(layer) * layer.weights, 0) / Math.max(weights, 1);
    const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
    const formats = [...new Set(counted.map(([, { format }]) => format))];
    const every = formats.flatMap(({ components }) => components);
    const components = every.filter(({ name }, at) => every.findIndex((other) => other.name === name) === at);
    const stored = components.map(({ name }) => [name, mean((layer) => layer.stored[name] ?? 0)] as const);
    const plain = (layer: Bits) => layer.uncoded ?? layer.stored;
    const uncoded = components.map(({ name }) => [name, mean((layer) => plain(layer)[name] ?? 0)] as const);
    const storing = layers.every((layer) => layer.storing !== undefined) && layers.length > 0;
    return {
      layers,
      formats: formats.map(({ name }) => name),
      components,
      formulas: formulasOf(formats),
      apart: Object.fromEntries(
        Object.entries(apart).flatMap(([part, name]) => {
          const bits = inspectTensor(packed, name);
          return bits === undefined ? [] : [[part, bits]];
        }),
      ),
      weights,
      parameters,
      bytes: packed.bytes,
      parts: { layers: bytes, others: packed.bytes - bytes - packed.headerBytes, header: packed.headerBytes },
      of: common(layers.map(({ of }) => of)),
      groupSize: common(layers.map(({ groupSize }) => groupSize)),
      nominal: mean((layer) => layer.nominal),
      storing: storing ? mean((layer) => layer.storing ?? 0) : undefined,
      stored: { ...Object.fromEntries(stored), total: mean((layer) => layer.stored.total) },
      ...(layers.some(({ uncoded }) => uncoded)
        ? { uncoded: { ...Object.fromEntries(uncoded), total: mean((layer) => plain(layer).total) } }
        : {}),
      model: 8 * packed.bytes / Math.max(parameters, 1),
    };
  } finally {
    packed.close();
  }
}

/** @throws {InputError} when a layer is of another shape, or of another model */
function checkShapes(packed: PackedCheckpoint, shapes: TensorShapes): void {
  for (const layer of packed.layers.keys()) {
    const name = `${layer}.weight`, shape = shapes.get(name);
    if (shape === undefined) {
      throw new InputError(
        `Cannot count tensor "${name}" of "${packed.label}" as the model has none of that name; give the config.json that belongs to ` +
          "these weights",
      );
    }
    requireShape(packed, name, shape);
  }
}

async function inspectLayer(
  packed: PackedCheckpoint,
  name: string,
  { format, header }: PackedLayer,
): Promise<LayerBits> {
  const weights = header.rows * header.cols, uncoded = format.coding?.uncoded(header);
  const count = (bytesOf: (plane: string) => number): StoredBits => {
    const parts = format.components.map(({ name, planes }) =>
      [name, planes.reduce((sum, plane) => sum + bytesOf(plane), 0)] as const
    );
    const bits = Object.fromEntries(parts.map(([name, bytes]) => [name, 8 * bytes / weights]));
    return { ...bits, total: parts.reduce((sum, [, bytes]) => sum + 8 * bytes / weights, 0) };
  };
  const stored = count((plane) => packed.planeBytes(name, plane));
  return {
    name,
    format: format.name,
    header,
    weights,
    bytes: Math.round(stored.total * weights / 8),
    ...await format.figures({ header, plane: (plane) => packed.plane(name, plane) }),
    stored,
    ...(uncoded ? { uncoded: count((plane) => uncoded[plane] ?? packed.planeBytes(name, plane)) } : {}),
  };
}

function inspectTensor({ tensors, layers }: PackedCheckpoint, name: string): TensorBits | undefined {
  const tensor = tensors.get(name);
  if (tensor === undefined) return undefined;
  const format = layers.get(name.replace(/\.weight$/, ""))?.format.name ?? tensor.dtype;
  const { bytes } = tensor, weights = tensor.shape.reduce((product, length) => product * length, 1);
  return { name, format, weights, bytes, stored: 8 * bytes / Math.max(weights, 1) };
}

function formulasOf(formats: PackedLayer["format"][]): Formulas {
  const join = (texts: readonly (string | undefined)[]) =>
    [...new Set(texts.filter((text) => text !== undefined))].join("; ");
  const storing = join(formats.map(({ formulas }) => formulas.storing));
  return {
    nominal: join(formats.map(({ formulas }) => formulas.nominal)),
    ...(storing === "" ? {} : { storing }),
  };
}

function common(values: readonly (number | undefined)[]): number | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined;
}
