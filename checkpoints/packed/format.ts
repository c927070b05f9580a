/**
 * What a format of packed layers is: how a quantized layer becomes tensors of a file and weights again, and what of it people count.
 *
 * The file around the layers (`open.ts`, `write.ts`) and the counter (`bits.ts`) know formats only by this; `formats.ts` lists them.
 */
import type * as z from "zod";
import type { JsonRecord } from "../../files/json.ts";
import type { Tensor } from "../../files/safetensors.ts";
import type { Device } from "../../kernels/device.ts";

/**
 * A quantized layer before it is packed: what a method leaves.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { LayerContent } from "./format.ts";
 * import { signFormat } from "./sign_format_test_support.ts";
 *
 * const signs = { dtype: "U8", shape: [1, 2], data: Uint8Array.of(1, 0) } as const;
 * const scales = { dtype: "F32", shape: [1], data: Float32Array.of(0.5) } as const;
 * const content: LayerContent = { format: "sign", rows: 1, cols: 2, facts: {}, arrays: { signs, scales } };
 * assert.deepEqual(signFormat.unpack(await signFormat.pack(content, {})), content);
 * ```
 */
export interface LayerContent {
  /** Name of the format that packs it. */
  readonly format: string;
  readonly rows: number;
  readonly cols: number;
  /** Everything but arrays. */
  readonly facts: JsonRecord;
  /** By name, e.g. codes, scales. */
  readonly arrays: Readonly<Record<string, Tensor>>;
}

/** What the tensors of a packed layer do not say themselves. `format` is not a key of it: that is where the file names the format. */
export type LayerHeader = JsonRecord & { readonly rows: number; readonly cols: number };

/**
 * A layer as it is stored.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { EncodedLayer } from "./format.ts";
 * import { signFormat } from "./sign_format_test_support.ts";
 *
 * const encoded: EncodedLayer<{ rows: number; cols: number }> = {
 *   format: "sign",
 *   header: { rows: 1, cols: 2 },
 *   tensors: {
 *     signs: { dtype: "U32", shape: [1], data: Uint32Array.of(0b01) },
 *     scales: { dtype: "F16", shape: [1], data: Uint16Array.of(0x3800) },
 *   },
 * };
 * assert.deepEqual([...await signFormat.decode(encoded)], [0.5, -0.5]);
 * ```
 */
export interface EncodedLayer<H extends LayerHeader = LayerHeader> {
  readonly format: string;
  readonly header: H;
  /** By plane; one that needs no bits is absent. */
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/** A layer in a file, of which only the planes are read that are asked for. */
export interface StoredLayer<H extends LayerHeader = LayerHeader> {
  readonly header: H;
  /** A plane; undefined where the layer needs none. */
  plane(name: string): Promise<Tensor | undefined>;
}

/** Planes that are counted together, for people. */
export interface Component {
  /** In metrics.json and in the terminal; any word but `total`. */
  readonly name: string;
  readonly planes: readonly string[];
  /** In a list, e.g. `segment and salient marks`. */
  readonly label: string;
  /** In the report, where there is room for more; default: the label. */
  readonly title?: string;
}

/** How nominal numbers are made, in words. */
export interface Formulas {
  readonly nominal: string;
  /** `group` stands for the columns of a group. */
  readonly storing?: string;
}

/** What people want to know of a layer besides its bytes. */
export interface LayerFigures {
  /** Bits a weight as the method's paper counts. */
  readonly nominal: number;
  /** What the paper prints beside it for storing. */
  readonly storing?: number;
  /** M of N:M. */
  readonly of?: number;
  /** Columns that share scales. */
  readonly groupSize?: number;
  /** Cells of a list of layers by column, e.g. `{ "N:M": "4:8" }`. */
  readonly cells: Readonly<Record<string, string>>;
  /** Shares of the layer, 0 to 1, e.g. of its salient columns. */
  readonly shares: Readonly<Record<string, number>>;
}

/** How a format codes the planes of another one. */
export interface Coding<H extends LayerHeader = LayerHeader> {
  /** Name of the other format. */
  readonly of: string;
  /**
   * Codes a layer of the other format.
   *
   * @param encoded as that format packs it
   */
  code(encoded: EncodedLayer): EncodedLayer<H>;
  /** Bytes of the coded planes as they are without coding. */
  uncoded(header: H): Readonly<Record<string, number>>;
}

/** The recipe's settings of packing; a format takes those it has. */
export type PackOptions = JsonRecord;

/**
 * A format of packed layers. Its results do not depend on the device.
 *
 * A list holds formats of different headers: each is given those only that its own `header` has parsed, or its own `pack` has made.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 * import type { LayerFormat, LayerHeader } from "./format.ts";
 *
 * const size = z.int().min(1).max(4096);
 * const float32: LayerFormat = {
 *   name: "float32", header: z.strictObject({ rows: size, cols: size }), planes: ["values"], required: ["values"],
 *   components: [{ name: "values", planes: ["values"], label: "values" }], formulas: { nominal: "32" },
 *   pack: ({ format, rows, cols, arrays }) => Promise.resolve({ format, header: { rows, cols }, tensors: arrays }),
 *   unpack: ({ format, header: { rows, cols }, tensors }) => ({ format, rows, cols, facts: {}, arrays: tensors }),
 *   decode: ({ tensors: { values } }) => Promise.resolve(Float32Array.from(values.data, Number)),
 *   figures: () => Promise.resolve({ nominal: 32, cells: {}, shares: {} }),
 * };
 * const values = { dtype: "F32", shape: [1, 2], data: Float32Array.of(1, 2) } as const;
 * const header: LayerHeader = float32.header.parse({ rows: 1, cols: 2 });
 * assert.deepEqual([...await float32.decode({ format: "float32", header, tensors: { values } })], [1, 2]);
 * ```
 */
export interface LayerFormat<H extends LayerHeader = LayerHeader> {
  /** As files name it. */
  readonly name: string;
  /** Of untrusted headers: it bounds what may be allocated. */
  readonly header: z.ZodType<H>;
  /** Ends of its tensors' names (`<layer>.<plane>`), in the file's order. */
  readonly planes: readonly string[];
  /** Those that every layer has. */
  readonly required: readonly string[];
  /** In the order in which people read them; together all planes, each once. */
  readonly components: readonly Component[];
  readonly formulas: Formulas;
  /** Of a format that is another's with coded planes. */
  readonly coding?: Coding<H>;
  /**
   * Packs a layer.
   *
   * @param content its arrays are handed over: they must not be used any more
   * @param device what to compute on; default: this thread
   * @throws {Error} when the arrays break what the facts promise
   */
  pack(content: LayerContent, options: PackOptions, device?: Device): Promise<EncodedLayer<H>>;
  /**
   * Unpacks a layer.
   *
   * @throws {RangeError} when the tensors are not what packing a layer of this header writes
   */
  unpack(encoded: EncodedLayer<H>): LayerContent;
  /**
   * Weights of a packed layer.
   *
   * @param device what to compute on; default: this thread
   * @returns rows × cols
   * @throws {RangeError} when the tensors are not what packing a layer of this header writes
   */
  decode(encoded: EncodedLayer<H>, device?: Device): Promise<Float32Array>;
  /** What people want to know of a layer besides its bytes. */
  figures(layer: StoredLayer<H>): Promise<LayerFigures>;
}
