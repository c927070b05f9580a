/** Packed layers by way of a device: codes to planes, and planes to weights. */
import { type DecodableLayer, decode, scalesPerBlock } from "../binary/ops.ts";
import { type Device, matrix } from "../device.ts";
import type { MaskCode, PackableLayer, Planes, PlaneShape } from "./pack.ts";
import {
  checkFixedPlanes,
  checkUnpacked,
  makePlaneBuffer,
  PLANE_HEADER,
  planeBufferWords,
  planeStarts,
  readPlaneBuffer,
} from "./plane_buffer.ts";
import { packPlanes, unpackPlanes } from "./plane_ops.ts";

/**
 * Packs a layer's codes on a device: the very planes of `packCodes`, and nothing else is downloaded.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../cpu.ts";
 * import { packOn } from "./plane_device.ts";
 * import { GROUP_SHIFT, KEPT, SIGN } from "../binary/ops.ts";
 * const device = openCpuDevice(), one = KEPT | 1 << GROUP_SHIFT;
 * const layer = { rows: 1, cols: 4, keep: 2, of: 4, type: "semi-structured", segments: 1, salient: false } as const;
 * const planes = await packOn(device, { ...layer, codes: Uint8Array.of(0, one | SIGN, one, 0) }, "bitmask");
 * assert.deepEqual([planes.mask[0], planes.signs[0]], [0b0110, 0b01]);
 * await device.destroy();
 * ```
 * @param layer its codes [rows, cols] are handed over: they must not be used any more
 * @param mask how a semi-structured mask is stored
 * @throws {Error} when the codes break what the layer's fields promise
 */
export async function packOn(device: Device, layer: PackableLayer, mask: MaskCode): Promise<Planes> {
  const { codes, ...rest } = layer, shape: PlaneShape = { ...rest, mask };
  const out = device.alloc("u32", planeBufferWords(shape)), from = device.upload("u8", codes);
  try {
    device.run(packPlanes, out, matrix(from, layer.rows, layer.cols), shape);
    const [words] = await device.download([out]);
    return readPlaneBuffer(words, shape);
  } finally {
    device.release(from);
    device.release(out);
  }
}

/**
 * Decodes a packed layer on a device: the very weights of `decodeLayer` of the unpacked one. Only planes and scales are uploaded.
 *
 * @param planes of the codes
 * @param layer what they are of; its scales [rows, blocks, scales of a block] are handed over
 * @returns rows × cols
 * @throws {Error} when planes have too few or too many words, or hold what packing cannot have written
 */
export async function decodeOn(
  device: Device,
  planes: Planes,
  layer: PlaneShape & Pick<DecodableLayer, "groupSize" | "scales">,
): Promise<Float32Array> {
  checkFixedPlanes(planes, layer);
  const { rows, cols, groupSize, segments, salient } = layer;
  const words = device.upload("u32", makePlaneBuffer(planes)), scales = device.upload("f32", layer.scales);
  const codes = device.alloc("u8", rows * cols), found = device.alloc("u32", PLANE_HEADER);
  const out = device.alloc("f32", rows * cols);
  try {
    const unpacked = matrix(codes, rows, cols), blocks = Math.ceil(cols / groupSize);
    device.run(unpackPlanes, unpacked, found, words, { ...layer, starts: planeStarts(planes) });
    device.run(decode, matrix(out, rows, cols), {
      codes: unpacked,
      scales: matrix(scales, rows, blocks * scalesPerBlock(layer)),
      groupSize,
      segments,
      salient,
    });
    const [header, weights] = await device.download([found, out]);
    checkUnpacked(header, planes, layer);
    return weights;
  } finally {
    for (const buffer of [words, scales, codes, found, out]) device.release(buffer);
  }
}
