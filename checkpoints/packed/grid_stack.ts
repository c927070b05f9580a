/** The format `grid-stack`: a layer of many rows, strips of which are layers of `grid`. */
import { grid, type GridHeader } from "./grid.ts";
import type { LayerFormat } from "./format.ts";
import { type StackHeader, stackOf } from "./stack.ts";

/** The format; see the file's head. */
export const gridStack: LayerFormat<StackHeader<GridHeader>> = stackOf(grid);
