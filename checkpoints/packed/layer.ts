/** One packed layer as tensors: bit planes and scales, and the header that says how to read them. */
import * as z from "zod";
import { toFloat16 } from "../../files/float16.ts";
import { MAX_LAYER_WEIGHTS, packCodes, PLANES, type Planes, unpackCodes } from "../../kernels/packing/ops.ts";
import { type QuantizedLayer, scalesPerBlock } from "../../kernels/binary/ops.ts";
import { type Tensor, toFloat32 } from "../../files/safetensors.ts";

const size = (most: number) => z.int().min(1).max(most);

/** What the tensors of a packed layer do not say themselves; untrusted when it comes from a file. */
export const LayerHeader = z.strictObject({
  rows: size(MAX_LAYER_WEIGHTS),
  cols: size(MAX_LAYER_WEIGHTS),
  groupSize: size(MAX_LAYER_WEIGHTS),
  keep: size(256),
  of: size(256),
  type: z.enum(["semi-structured", "unstructured", "structured", "none"]),
  segments: size(4),
  salient: z.boolean(),
  mask: z.enum(["enumerative", "bitmask"]),
  scales: z.enum(["f16", "f32"]),
});
export type LayerHeader = z.infer<typeof LayerHeader>;

/** Everything that is stored of a layer, by component: the bit planes (U32) and `scales` (F16 or F32, [rows, blocks, scales]). */
export const COMPONENTS = [...PLANES, "scales"] as const;
export type Component = typeof COMPONENTS[number];

/** A layer as it is stored; a component that needs no bits is absent. */
export interface EncodedLayer {
  readonly header: LayerHeader;
  readonly tensors: Readonly<Partial<Record<Component, Tensor>>>;
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
  { mask, scales }: Pick<LayerHeader, "mask" | "scales">,
  planes: Planes = packCodes(layer, mask),
): EncodedLayer {
  const { rows, cols, groupSize, keep, of, type, segments, salient } = layer;
  const header: LayerHeader = { rows, cols, groupSize, keep, of, type, segments, salient, mask, scales };
  const shape = scalesShape(header);
  const count = shape.reduce((product, length) => product * length, 1);
  if (layer.scales.length !== count) {
    throw new RangeError(
      `Cannot pack scales: [${shape.join(", ")}] takes ${count}: current value is ${layer.scales.length}`,
    );
  }
  const stored: Tensor = scales === "f16"
    ? { dtype: "F16", shape, data: toFloat16(layer.scales) }
    : { dtype: "F32", shape, data: layer.scales };
  const broken = toFloat32(stored).findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new RangeError(
      `Cannot pack scale ${broken} as ${scales}: it must be finite: current value is ${layer.scales[broken]}` +
        (scales === "f16" ? "; pack.scales: f32 has more range" : ""),
    );
  }
  const tensors: Partial<Record<Component, Tensor>> = {};
  for (const plane of PLANES) {
    if (planes[plane].length > 0) tensors[plane] = { dtype: "U32", shape: [planes[plane].length], data: planes[plane] };
  }
  tensors.scales = stored;
  return { header, tensors };
}

/**
 * Unpacks a layer: codes exactly (pruned weights are 0), scales as rounded.
 *
 * @throws {RangeError} when the tensors are not what packing a layer of this header writes
 */
export function restoreLayer(encoded: EncodedLayer): QuantizedLayer {
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
export function storedParts(
  { header, tensors }: EncodedLayer,
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
  return { planes, scales: toFloat32(stored) };
}

/** [rows, blocks, scales per block] */
function scalesShape(header: LayerHeader): readonly number[] {
  return [header.rows, Math.ceil(header.cols / header.groupSize), scalesPerBlock(header)];
}
