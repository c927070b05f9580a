/** The format `coded-stack`: a layer of many rows, strips of which are layers of `coded`. */
import { coded, type CodedHeader } from "./coded.ts";
import type { LayerFormat } from "./format.ts";
import { type StackHeader, stackOf } from "./stack.ts";

/** The format; see the file's head. */
export const codedStack: LayerFormat<StackHeader<CodedHeader>> = stackOf(coded);
