/**
 * Formats whose planes are entropy-coded: a layer is that of another format, of which those planes are streams (U16, `kernels/coding`) that
 * take fewer bytes so; the header says which, and what they are. Nothing is lost: unpacked they are the other format's planes, to the bit.
 */
import * as z from "zod";
import { ELEMENT_BYTES } from "../../files/safetensors_header.ts";
import { type Tensor, tensorOf } from "../../files/safetensors.ts";
import { compactPlane, decodePlane } from "../../kernels/coding/ops.ts";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import type { EncodedLayer, LayerFormat, LayerHeader } from "./format.ts";

/** Types of planes that may be coded. */
const TYPES = ["U8", "U16", "F16", "U32", "I32", "F32"] as const;

/** A coded plane as it is without coding: its type and its shape. */
type Uncoded = readonly [typeof TYPES[number], ...number[]];

/** The other format's header, and the planes that are coded; untrusted when it comes from a file. */
export type EntropyHeader<H extends LayerHeader = LayerHeader> = H & {
  readonly coded: Readonly<Record<string, Uncoded>>;
};

const Coded = z.record(
  z.string(),
  z.tuple([z.enum(TYPES)]).rest(z.int().min(0).max(MAX_LAYER_WEIGHTS)).check(({ value, issues }) => {
    if (value.length > MOST_AXES + 1) issues.push({ code: "custom", input: value, message: "its shape is too long" });
  }),
);

const MOST_AXES = 4;

/** Bytes of a plane that a weight of the layer may have: more than any format has. */
const MOST_PER_WEIGHT = 64;

/**
 * The format of a format's layers with coded planes.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { entropyOf } from "./entropy.ts";
 * import { signFormat } from "./sign_format_test_support.ts";
 *
 * const signs = { dtype: "U8", shape: [16, 256], data: new Uint8Array(4096).fill(1, 4000) } as const;
 * const scales = { dtype: "F32", shape: [16], data: new Float32Array(16).fill(0.5) } as const;
 * const content = { format: "sign", rows: 16, cols: 256, facts: {}, arrays: { signs, scales } };
 * const format = entropyOf(signFormat), layer = await format.pack(content, {});
 * assert.deepEqual([format.name, layer.header.coded], ["sign-entropy", { signs: ["U32", 128] }]);
 * assert.ok(layer.tensors.signs.data.byteLength < 40);
 * assert.deepEqual(format.unpack(layer), content);
 * ```
 */
export function entropyOf<H extends LayerHeader>(inner: LayerFormat<H>): LayerFormat<EntropyHeader<H>> {
  const name = `${inner.name}-entropy`;
  const code = ({ header, tensors }: EncodedLayer<H>): EncodedLayer<EntropyHeader<H>> => {
    const coded: Record<string, Uncoded> = {}, stored: Record<string, Tensor> = {};
    for (const [plane, tensor] of Object.entries(tensors)) {
      const type = TYPES.find((each) => each === tensor.dtype), words = type && codeTensor(tensor);
      if (type && words) coded[plane] = [type, ...tensor.shape];
      stored[plane] = words ?? tensor;
    }
    return { format: name, header: { ...header, coded }, tensors: stored };
  };
  const decoded = ({ header, tensors }: EncodedLayer<EntropyHeader<H>>): EncodedLayer<H> => ({
    format: inner.name,
    header: innerHeader(header),
    tensors: Object.fromEntries(
      Object.entries(tensors).map(([plane, tensor]) => [plane, restored(tensor, plane, header)]),
    ),
  });
  return {
    name,
    header: headerOf(inner),
    planes: inner.planes,
    required: inner.required,
    components: inner.components,
    formulas: inner.formulas,
    coding: {
      of: inner.name,
      code,
      uncoded: ({ coded }) => Object.fromEntries(Object.entries(coded).map(([plane, each]) => [plane, bytesOf(each)])),
    },
    pack: async (content, options, device) => code(await inner.pack(content, options, device)),
    unpack: (encoded) => inner.unpack(decoded(encoded)),
    decode: async (encoded, device) => await inner.decode(decoded(encoded), device),
    figures: ({ header, plane }) =>
      inner.figures({
        header: innerHeader(header),
        async plane(name) {
          const tensor = await plane(name);
          return tensor && restored(tensor, name, header);
        },
      }),
  };
}

/** A plane as a stream; undefined where that takes no fewer bytes. */
function codeTensor({ dtype, shape, data }: Tensor): Tensor | undefined {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const floats = dtype === "F16" ? 16 : dtype === "F32" ? 32 : undefined;
  const words = compactPlane(bytes, {
    ...(floats ? { floats } : {}),
    // Scales of a set stand one after the other.
    ...(shape.length > 1 ? { period: shape[shape.length - 1] } : {}),
  });
  return words && { dtype: "U16", shape: [words.length], data: words };
}

/**
 * A plane as it is without coding.
 *
 * @throws {RangeError} when the header says that it is coded, and it is not what coding writes
 */
function restored(tensor: Tensor, plane: string, { coded }: Pick<EntropyHeader, "coded">): Tensor {
  if (!Object.hasOwn(coded, plane)) return tensor;
  const [type, ...shape] = coded[plane], { dtype, data } = tensor;
  if (dtype !== "U16" || !(data instanceof Uint16Array)) {
    throw new RangeError(`Cannot decode plane ${plane}: dtype must be U16 as it is coded: current value is ${dtype}`);
  }
  return tensorOf(type, shape, decodePlane(data, bytesOf(coded[plane])));
}

function bytesOf([type, ...shape]: Uncoded): number {
  return shape.reduce((product, length) => product * length, ELEMENT_BYTES[type]);
}

/** The header that the other format made. */
function innerHeader<H extends LayerHeader>({ coded: _coded, ...header }: EntropyHeader<H>): H {
  // What a type parameter leaves when a key is taken away has no name.
  return header as unknown as H;
}

/** Bounds what may be allocated: planes are of the other format, and none has more bytes than a layer of that shape bears out. */
function headerOf<H extends LayerHeader>(inner: LayerFormat<H>): z.ZodType<EntropyHeader<H>> {
  return z.looseObject({ coded: Coded }).transform(({ coded, ...rest }, context): EntropyHeader<H> => {
    const header = inner.header.safeParse(rest);
    if (!header.success) {
      for (const { path, message } of header.error.issues) context.addIssue({ code: "custom", path, message });
      return z.NEVER;
    }
    const { rows, cols } = header.data, most = Math.max(FEW, MOST_PER_WEIGHT * rows * cols);
    for (const [plane, uncoded] of Object.entries(coded)) {
      if (inner.planes.includes(plane) && bytesOf(uncoded) <= most) continue;
      const message = inner.planes.includes(plane)
        ? `plane ${plane} of [${rows}, ${cols}] weights cannot have ${bytesOf(uncoded)} bytes`
        : `a plane is coded that is none of ${inner.planes.join(", ")}`;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    }
    return { ...header.data, coded };
  });
}

/** Bytes that a plane of any layer may have. */
const FEW = 4096;
