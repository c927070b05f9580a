/** The format `grid-stack-entropy`: layers of `grid-stack` with entropy-coded planes. */
import { type EntropyHeader, entropyOf } from "./entropy.ts";
import type { LayerFormat } from "./format.ts";
import type { GridHeader } from "./grid.ts";
import { gridStack } from "./grid_stack.ts";
import type { StackHeader } from "./stack.ts";

/** The format; see the file's head. */
export const gridStackEntropy: LayerFormat<EntropyHeader<StackHeader<GridHeader>>> = entropyOf(gridStack);
