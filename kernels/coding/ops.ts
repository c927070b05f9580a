/** Codes of a trellis, and planes of bits, as streams of few bits, and back. The only door into this room. */
export { bitsOf, type CodedBits, type CodedLayer } from "./coded_layer.ts";
export { decodeCodes, decodeStrip, decodeWeights, openCoded, type OpenLayer } from "./decode.ts";
export { codedBits, encodeCodes } from "./encode.ts";
export { costTable, entropyBits, type Histogram, histogram } from "./histogram.ts";
export { checkCodedShape, type CodedShape, type LayerCodes } from "./layer_codes.ts";
export { SHAPE_FIELDS } from "./shapes.ts";
export { decodePlane } from "./plane_code.ts";
export { compactPlane, type PlaneKind } from "./plane_choice.ts";
