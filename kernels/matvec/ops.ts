/** Products with packed layers. The only door into this room. */
export { packedMatVec } from "./matvec_op.ts";

export { arrangedBytes, arrangeWeights, releasePacked, uploadPacked } from "./matvec_layout.ts";
