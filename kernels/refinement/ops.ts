/** Column blocks as groups of refined signs and scales. The only door into this room. */
export { decodeRefined, refineMeans, refineProducts, takeGroups } from "./refinement_ops.ts";

export { firstScale, meansPerRow, productsPerRow, type RefinedShape } from "./layout.ts";
export { decodeRefinedBlock } from "./levels.ts";
