/** Column blocks as signs and scales. The only door into this room. */
export { alternate } from "./alternate_op.ts";
export { prune, startScales } from "./binarize_ops.ts";
export { columnwise } from "./columnwise_op.ts";
export { decode } from "./decode_op.ts";
export { solveJoint } from "./joint_op.ts";
export { rescale, startPlain } from "./plain_ops.ts";
export { resign } from "./resign_op.ts";
export { searchSalient } from "./salient_op.ts";
export { searchSegments } from "./segments_op.ts";
export { searchThresholds } from "./thresholds_op.ts";
export { chooseSplit, splitCandidates, splitResiduals } from "./weighted_split_ops.ts";

export { alternateRounds } from "./alternate.ts";
export { binarizeRows, pruneCodes } from "./binarize.ts";
export { type DecodableLayer, decodeBlock, decodeLayer } from "./decode.ts";
export { jointSolution } from "./joint.ts";
export {
  type BlockShape,
  GROUP_SHIFT,
  KEPT,
  type QuantizedLayer,
  scalesPerBlock,
  SECOND_SIGN,
  SIGN,
} from "./quantized_layer.ts";
export { resignSweep } from "./resign.ts";
export { salientSearch } from "./salient.ts";
export { segmentSearch } from "./segments.ts";
export { type ThresholdSettings } from "./thresholds.ts";
