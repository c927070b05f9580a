/** The format `planes`: a binarized layer as bit planes and scales. */
import * as z from "zod";
import { decodeLayer, type QuantizedLayer, scalesPerBlock } from "../../kernels/binary/ops.ts";
import {
  decodeOn,
  MAX_LAYER_WEIGHTS,
  packCodes,
  packOn,
  PLANES,
  type Planes,
  unpackCodes,
} from "../../kernels/packing/ops.ts";
import { toFloat16 } from "../../files/float16.ts";
import { type Tensor, toFloat32 } from "../../files/safetensors.ts";
import { halfScales, realScales } from "./half_scales.ts";
import type { EncodedLayer, LayerContent, LayerFormat, StoredLayer } from "./format.ts";
import { exponent, layerShape, pruning, size } from "./header_fields.ts";

const Facts = z.strictObject({
  groupSize: size(MAX_LAYER_WEIGHTS),
  ...pruning,
  segments: size(4),
  salient: z.boolean(),
  exponent,
});

const Options = z.object({ mask: z.enum(["enumerative", "bitmask"]), scales: z.enum(["f16", "f32"]) });

/** What the tensors of a packed layer do not say themselves; untrusted when it comes from a file. */
export const PlanesHeader = z.strictObject({
  ...layerShape,
  ...Facts.shape,
  ...Options.shape,
});
export type PlanesHeader = z.infer<typeof PlanesHeader>;

/**
 * A binarized layer as it is stored: the bit planes (U32) and `scales` (F16 or F32, [rows, blocks, scales]).
 *
 * Where F16 would lose scales they are in units of 2^exponent, which only such a header has (versions that do not know it refuse it), and
 * `units` (I32, [sets, 2]) lists the rows' blocks that have units of their own: see `half_scales.ts`.
 */
export type EncodedPlanes = EncodedLayer<PlanesHeader>;

const NAME = "planes";

/** The format; see the file's head, and `kernels/packing/pack.ts` for the planes. */
export const planes: LayerFormat<PlanesHeader> = {
  name: NAME,
  header: PlanesHeader,
  planes: [...PLANES, "scales", "units"],
  required: ["scales"],
  components: [
    { name: "mask", planes: ["mask"], label: "mask", title: "mask of kept weights" },
    { name: "signs", planes: ["signs", "second_signs"], label: "signs", title: "signs, first and second" },
    { name: "segments", planes: ["segments", "salient"], label: "segment and salient marks" },
    { name: "scales", planes: ["scales", "units"], label: "scales" },
  ],
  // PBS²P, arXiv 2502.01705: Eq. 11 with r, the share of salient columns; N_storing with b, the columns of a group.
  formulas: { nominal: "(1 + r)·N/M", storing: "2 + 1/group" },
  async pack(content, options, device) {
    const layer = layerOf(content), chosen = Options.parse(options);
    return encodeLayer(layer, chosen, device && await packOn(device, layer, chosen.mask));
  },
  unpack: (encoded) => contentOf(restoreLayer(encoded)),
  async decode(encoded, device) {
    if (device === undefined) return await Promise.resolve(decodeLayer(restoreLayer(encoded)));
    const { planes, scales } = storedParts(encoded);
    return await decodeOn(device, planes, { ...encoded.header, scales });
  },
  async figures({ header, plane }: StoredLayer<PlanesHeader>) {
    const { cols, groupSize, keep, of, type } = header;
    const marks = await plane("salient");
    const salient = marks === undefined ? 0 : ones(marks.data) / cols;
    return {
      // Papers count what was meant to be kept, also where pruned weights came back (type none and keep < of).
      nominal: (1 + salient) * keep / of,
      storing: 2 + 1 / groupSize,
      of,
      groupSize,
      cells: { "N:M": type === "none" && keep < of ? `none, of ${keep}:${of}` : `${keep}:${of}` },
      shares: { salient },
    };
  },
};

/** A binarized layer as content: codes (U8, [rows, cols]) and scales (F32, [rows, blocks, scales]). */
export function contentOf({ rows, cols, codes, scales, ...facts }: QuantizedLayer): LayerContent {
  return {
    format: NAME,
    rows,
    cols,
    facts,
    arrays: {
      codes: { dtype: "U8", shape: [rows, cols], data: codes },
      scales: { dtype: "F32", shape: scalesShape({ rows, cols, ...facts }), data: scales },
    },
  };
}

/**
 * The binarized layer that `contentOf` made content of.
 *
 * @throws {RangeError} when the content is another format's
 */
export function layerOf({ format, rows, cols, facts, arrays }: LayerContent): QuantizedLayer {
  const codes = arrays.codes?.data, scales = arrays.scales?.data;
  if (format !== NAME || !(codes instanceof Uint8Array && scales instanceof Float32Array)) {
    throw new RangeError(
      `Cannot take a layer as ${NAME}: it must be of that format, with codes in U8 and scales in F32: current value is ` +
        `"${format}" with ${Object.entries(arrays).map(([name, { dtype }]) => `${name} in ${dtype}`).join(", ")}`,
    );
  }
  return { rows, cols, ...Facts.parse(facts), codes, scales };
}

/**
 * Packs a layer. What `decodeLayer(restoreLayer(…))` makes of the result is the model; scales are rounded here.
 *
 * @param layer codes [rows, cols], scales [rows, blocks, scalesPerBlock]
 * @param options `mask` of semi-structured layers; type of the stored scales
 * @param planes what `packCodes` makes of the codes, where something else has done so
 * @throws {RangeError} when the codes break the layer's own promise, or a scale is not finite in the stored type
 */
export function encodeLayer(
  layer: QuantizedLayer,
  { mask, scales }: Pick<PlanesHeader, "mask" | "scales">,
  planes: Planes = packCodes(layer, mask),
): EncodedPlanes {
  const { rows, cols, groupSize, keep, of, type, segments, salient } = layer;
  const exponent = scales === "f16" ? layer.exponent : undefined;
  const header: PlanesHeader = {
    ...{ rows, cols, groupSize, keep, of, type, segments, salient, mask, scales },
    ...(exponent === undefined ? {} : { exponent }),
  };
  const shape = scalesShape(header);
  const count = shape.reduce((product, length) => product * length, 1);
  if (layer.scales.length !== count) {
    throw new RangeError(
      `Cannot pack scales: [${shape.join(", ")}] takes ${count}: current value is ${layer.scales.length}`,
    );
  }
  const inUnits = exponent === undefined ? undefined : halfScales(layer.scales, {
    together: scalesPerBlock(layer),
    exponent,
  });
  const stored: Tensor = scales === "f16"
    ? { dtype: "F16", shape, data: inUnits?.half ?? toFloat16(layer.scales) }
    : { dtype: "F32", shape, data: layer.scales };
  const broken = toFloat32(stored).findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new RangeError(
      `Cannot pack scale ${broken} as ${scales}: it must be finite: current value is ${layer.scales[broken]}` +
        (scales === "f16" ? "; pack.scales: f32 has more range" : ""),
    );
  }
  const tensors: Record<string, Tensor> = {};
  for (const plane of PLANES) {
    if (planes[plane].length > 0) tensors[plane] = { dtype: "U32", shape: [planes[plane].length], data: planes[plane] };
  }
  tensors.scales = stored;
  if (inUnits && inUnits.units.length > 0) {
    tensors.units = { dtype: "I32", shape: [inUnits.units.length / 2, 2], data: inUnits.units };
  }
  return { format: NAME, header, tensors };
}

/**
 * Unpacks a layer: codes exactly (pruned weights are 0), scales as rounded.
 *
 * @throws {RangeError} when the tensors are not what packing a layer of this header writes
 */
export function restoreLayer(encoded: EncodedPlanes): QuantizedLayer {
  const { mask: _mask, scales: _scales, ...layer } = encoded.header;
  const { planes, scales } = storedParts(encoded);
  return { ...layer, codes: unpackCodes(planes, encoded.header), scales };
}

/**
 * What is stored of a layer, before any bit is unpacked.
 *
 * @returns bit planes; scales [rows, blocks, scales of a block]
 * @throws {RangeError} when a tensor has another type, or the scales have another shape, than the header says
 */
function storedParts(
  { header, tensors }: EncodedPlanes,
): { readonly planes: Planes; readonly scales: Float32Array } {
  const plane = (name: typeof PLANES[number]) => {
    const data = tensors[name]?.data ?? new Uint32Array(0);
    if (!(data instanceof Uint32Array)) throw new RangeError(`Cannot unpack plane ${name}: dtype must be U32`);
    return data;
  };
  const shape = scalesShape(header);
  const stored = tensors.scales;
  const dtype = header.scales === "f16" ? "F16" : "F32";
  if (stored?.dtype !== dtype || stored.shape.join() !== shape.join()) {
    throw new RangeError(
      `Cannot unpack scales: ${dtype} [${shape.join(", ")}] was expected: ` +
        `current value is ${stored === undefined ? "nothing" : `${stored.dtype} [${stored.shape.join(", ")}]`}`,
    );
  }
  const planes: Planes = {
    mask: plane("mask"),
    signs: plane("signs"),
    second_signs: plane("second_signs"),
    segments: plane("segments"),
    salient: plane("salient"),
  };
  checkMask(header, planes.mask);
  const { exponent } = header, scales = toFloat32(stored), units = tensors.units;
  if (exponent === undefined && units === undefined) return { planes, scales };
  if (exponent === undefined || header.scales !== "f16" || !(units === undefined || units.dtype === "I32")) {
    throw new RangeError(
      "Cannot unpack units of scales: the header must say exponent and scales f16, their dtype be I32",
    );
  }
  const listed = units?.data instanceof Int32Array ? units.data : new Int32Array(0);
  return { planes, scales: realScales(scales, listed, { together: scalesPerBlock(header), exponent }) };
}

/**
 * The mask bears out the sizes that the header says, before anything of these sizes is made. Where it is not one bit a weight or a
 * column, the signs do, which unpacking looks at first.
 */
function checkMask({ rows, cols, type, mask }: PlanesHeader, words: Uint32Array): void {
  if (type === "none" || type === "semi-structured" && mask === "enumerative") return;
  const expected = Math.ceil((type === "structured" ? cols : rows * cols) / 32);
  if (words.length === expected) return;
  throw new RangeError(
    `Cannot unpack plane mask: ${expected} words were expected for [${rows}, ${cols}]: current value is ${words.length}`,
  );
}

/** [rows, blocks, scales per block] */
function scalesShape(
  layer: Pick<QuantizedLayer, "rows" | "cols" | "groupSize" | "segments" | "salient">,
): readonly number[] {
  return [layer.rows, Math.ceil(layer.cols / layer.groupSize), scalesPerBlock(layer)];
}

/** Bits that are set. @param words of at most 53 bits, not negative */
function ones(words: ArrayLike<number | bigint>): number {
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    for (let word = Number(words[i]); word > 0; word = Math.floor(word / 2)) count += word % 2;
  }
  return count;
}
