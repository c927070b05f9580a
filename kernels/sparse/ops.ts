/** Column blocks of which some weights stay and the others become 0. The only door into this room. */
export { pruneColumns, pruneWeights } from "./prune_ops.ts";

export { pruneColumnsSweep } from "./prune_columns.ts";
export { HALF_MOST } from "./stored_value.ts";
