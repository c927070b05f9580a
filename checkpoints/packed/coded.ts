/**
 * The format `coded`: whole numbers on a trellis (`kernels/trellis/`), entropy-coded in strips of rows (`kernels/coding/`), a step for
 * each column, and the sizes of rows and columns that say what numbers to expect.
 */
import * as z from "zod";
import type { Tensor, TensorData } from "../../files/safetensors.ts";
import {
  bitsOf,
  type CodedLayer,
  decodeCodes,
  decodeWeights,
  encodeCodes,
  entropyBits,
  histogram,
  type LayerCodes,
  SHAPE_FIELDS,
} from "../../kernels/coding/ops.ts";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import { logOfStep, stepOf, trellisOf } from "../../kernels/trellis/ops.ts";
import type { EncodedLayer, LayerContent, LayerFormat } from "./format.ts";
import { layerShape, size } from "./header_fields.ts";

const Facts = z.strictObject({
  /** Of the trellis; 1 is none. */
  states: z.literal([1, 4, 8]),
  /** Rows of a strip, in each of which the trellis starts anew. */
  strip: size(MAX_LAYER_WEIGHTS),
});

const Header = z.strictObject({ ...layerShape, ...Facts.shape });

/** What the tensors of a coded layer do not say themselves; untrusted when it comes from a file. */
export type CodedHeader = z.infer<typeof Header>;

const NAME = "coded";

/**
 * The format; see the file's head. Its content is codes (I16, [rows, cols]), steps (F32, [cols]), each 2^(i/32) for a whole i, rowSizes
 * (I8, [rows]) and columnSizes (I8, [cols]), logarithms in eighths of an octave.
 *
 * On disk `codes` (U16) are the strips one after the other, `starts` (U32) where they begin but the first, `shapes` (I8) what tables
 * are made of, `explicit` (U8) those that are not; `rows`, `columns` and `steps` (U16) are streams of their own.
 */
export const coded: LayerFormat<CodedHeader> = {
  name: NAME,
  header: Header,
  planes: ["codes", "starts", "shapes", "explicit", "rows", "columns", "steps"],
  required: ["codes", "shapes", "rows", "columns", "steps"],
  components: [
    { name: "codes", planes: ["codes", "starts"], label: "codes" },
    { name: "tables", planes: ["shapes", "explicit"], label: "tables", title: "what the tables of codes are made of" },
    { name: "sizes", planes: ["rows", "columns"], label: "sizes", title: "sizes of rows and columns" },
    { name: "steps", planes: ["steps"], label: "steps", title: "steps of columns" },
  ],
  // As WaterSIC (arXiv 2603.04956) and others that code integers count.
  formulas: { nominal: "entropy of the codes in their contexts" },
  async pack(content) {
    return await Promise.resolve(encode(content));
  },
  unpack: (encoded) => contentOf(decodeCodes(streamsOf(encoded))),
  async decode(encoded) {
    return await Promise.resolve(decodeWeights(streamsOf(encoded)));
  },
  async figures({ header, plane }) {
    const tensors: Record<string, Tensor> = {};
    for (const name of coded.planes) {
      const tensor = await plane(name);
      if (tensor !== undefined) tensors[name] = tensor;
    }
    const streams = streamsOf({ format: NAME, header, tensors }), { total } = bitsOf(streams);
    const entropy = entropyBits(histogram(decodeCodes(streams))), over = (100 * (total / entropy - 1)).toFixed(1);
    return {
      nominal: entropy / (header.rows * header.cols),
      cells: { states: `${header.states}`, "over entropy": entropy > 0 ? `${over} %` : "" },
      shares: {},
    };
  },
};

/**
 * A layer of codes as content.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { randomCodes } from "../../kernels/coding/coding_test_support.ts";
 * import { coded, contentOf } from "./coded.ts";
 *
 * const content = contentOf(randomCodes({ rows: 8, cols: 12, states: 8, strip: 4, size: 3, seed: 1 }));
 * assert.deepEqual(coded.unpack(await coded.pack(content, {})), content);
 * ```
 */
export function contentOf(
  { rows, cols, states, strip, codes, rowSizes, columnSizes, steps }: LayerCodes,
): LayerContent {
  return {
    format: NAME,
    rows,
    cols,
    facts: { states, strip },
    arrays: {
      codes: { dtype: "I16", shape: [rows, cols], data: codes },
      steps: { dtype: "F32", shape: [cols], data: Float32Array.from(steps, stepOf) },
      rowSizes: { dtype: "I8", shape: [rows], data: rowSizes },
      columnSizes: { dtype: "I8", shape: [cols], data: columnSizes },
    },
  };
}

/**
 * The layer of codes that content is of.
 *
 * @throws {RangeError} when the content is another format's, or a step is no power of 2^(1/32)
 */
export function codesOf({ format, rows, cols, facts, arrays }: LayerContent): LayerCodes {
  const data = (name: string) => arrays[name]?.data;
  const codes = data("codes"), steps = data("steps"), rowSizes = data("rowSizes"), columnSizes = data("columnSizes");
  const fits = format === NAME && codes instanceof Int16Array && steps instanceof Float32Array &&
    rowSizes instanceof Int8Array && columnSizes instanceof Int8Array;
  if (!fits) {
    throw new RangeError(
      `Cannot take a layer as ${NAME}: it must be of that format, with codes in I16, steps in F32, rowSizes and columnSizes in I8: ` +
        `current value is "${format}" with ${
          Object.entries(arrays).map(([name, { dtype }]) => `${name} in ${dtype}`).join(", ")
        }`,
    );
  }
  return { rows, cols, ...Facts.parse(facts), codes, rowSizes, columnSizes, steps: Int16Array.from(steps, logOfStep) };
}

function encode(content: LayerContent): EncodedLayer<CodedHeader> {
  const layer = codesOf(content), { rows, cols, states, strip } = layer, { coded: streams } = encodeCodes(layer);
  const words = (data: Uint16Array): Tensor => ({ dtype: "U16", shape: [data.length], data });
  const { starts, shapes, explicit } = streams;
  return {
    format: NAME,
    header: { rows, cols, states, strip },
    tensors: {
      codes: words(streams.codes),
      ...(starts.length > 0 ? { starts: { dtype: "U32", shape: [starts.length], data: starts } } : {}),
      shapes: { dtype: "I8", shape: [shapes.length / SHAPE_FIELDS, SHAPE_FIELDS], data: shapes },
      ...(explicit.length > 0 ? { explicit: { dtype: "U8", shape: [explicit.length], data: explicit } } : {}),
      rows: words(streams.rowSizes),
      columns: words(streams.columnSizes),
      steps: words(streams.steps),
    },
  };
}

/**
 * The streams of a stored layer.
 *
 * @throws {RangeError} when a tensor is not there, of another type or another shape
 */
function streamsOf({ header, tensors }: EncodedLayer<CodedHeader>): CodedLayer {
  const { rows, cols, states, strip } = header;
  const take = <T extends TensorData>(
    plane: string,
    kind: { new (length: number): T },
    shape?: readonly number[],
  ): T => {
    const tensor = tensors[plane], data = tensor?.data;
    const wanted = shape ?? [data?.length ?? 0];
    const alike = tensor?.shape.length === wanted.length && wanted.every((length, i) => length === tensor.shape[i]);
    if (data instanceof kind && alike && tensor?.dtype !== "F16" && tensor?.dtype !== "BF16") return data;
    throw new RangeError(
      `Cannot unpack a layer of codes: ${plane} must be [${shape ?? "words"}] of ${kind.name}: current value is ` +
        (tensor ? `[${tensor.shape}] of ${tensor.dtype}` : "nothing"),
    );
  };
  return {
    ...{ rows, cols, states, strip },
    codes: take("codes", Uint16Array),
    starts: tensors.starts ? take("starts", Uint32Array) : new Uint32Array(0),
    shapes: take("shapes", Int8Array, [trellisOf(states).count, SHAPE_FIELDS]),
    explicit: tensors.explicit ? take("explicit", Uint8Array) : new Uint8Array(0),
    rowSizes: take("rows", Uint16Array),
    columnSizes: take("columns", Uint16Array),
    steps: take("steps", Uint16Array),
  };
}
