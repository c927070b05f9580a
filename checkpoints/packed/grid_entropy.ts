/** The format `grid-entropy`: layers of `grid` with entropy-coded planes. */
import { type EntropyHeader, entropyOf } from "./entropy.ts";
import type { LayerFormat } from "./format.ts";
import { grid, type GridHeader } from "./grid.ts";

/** The format; see the file's head. */
export const gridEntropy: LayerFormat<EntropyHeader<GridHeader>> = entropyOf(grid);
