/** Uniform grids: fitted to rows, rounded to, decoded. The only door into this room. */
export { columnwiseGrid, decodeGrid, fitGrid, gridZeros, roundGrid } from "./grid_ops.ts";

export { type GridKind, MAX_BITS } from "./grid_row.ts";
export { decodeRows, type GridCodes } from "./round.ts";
