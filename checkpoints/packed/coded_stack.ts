/** The format `coded-stack`: a layer of many rows, strips of which are layers of `coded`. */
import { coded } from "./coded.ts";
import type { LayerFormat } from "./format.ts";
import { stackOf } from "./stack.ts";

/** The format; see the file's head. */
export const codedStack: LayerFormat = stackOf(coded);
