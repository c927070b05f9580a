/** Codes to planes and back. */
import { dense, owned } from "../cpu_buffer.ts";
import type { DeviceBuffer, Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import type { PlaneShape } from "./pack.ts";
import { gpuPackPlanes } from "./pack_webgpu.ts";
import { packIntoBuffer, type PlacedPlanes, unpackFromBuffer } from "./plane_buffer.ts";
import { gpuUnpackPlanes } from "./unpack_webgpu.ts";

/**
 * out := the planes of a layer's codes and what was found, for `readPlaneBuffer`; of at least `planeBufferWords`. See
 * `packCodes`, and `packOn`.
 */
export const packPlanes: Op<[out: DeviceBuffer<"u32">, codes: Matrix<"u8">, shape: PlaneShape]> = {
  name: "packPlanes",
  cpu: (_, out, codes, shape) => packIntoBuffer(owned(out).array, dense(codes), shape),
  gpu: gpuPackPlanes,
};

/** codes := those of planes, and found := the header of those, for `checkUnpacked`. See `unpackCodes`, and `decodeOn`. */
export const unpackPlanes: Op<
  [codes: Matrix<"u8">, found: DeviceBuffer<"u32">, planes: DeviceBuffer<"u32">, placed: PlacedPlanes]
> = {
  name: "unpackPlanes",
  cpu: (_, codes, found, planes, placed) =>
    unpackFromBuffer(dense(codes), owned(found).array, owned(planes).array, placed),
  gpu: gpuUnpackPlanes,
};
