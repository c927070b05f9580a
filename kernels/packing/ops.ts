/** Codes to the planes of a packed layer, and back. The only door into this room. */
export { packPlanes, unpackPlanes } from "./plane_ops.ts";

export { MAX_RANKED_OF } from "./combinations.ts";
export {
  checkShape,
  type MaskCode,
  MAX_LAYER_WEIGHTS,
  packCodes,
  packMask,
  PLANES,
  type Planes,
  type PlaneShape,
  unpackCodes,
  unpackMask,
} from "./pack.ts";
export { makePlaneBuffer, PLANE_HEADER, planeBufferWords, planeStarts } from "./plane_buffer.ts";
export { decodeOn, packOn } from "./plane_device.ts";
export { type RadixCode, radixCode, readDigits, writeDigits } from "./radix.ts";
