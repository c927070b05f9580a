/** Fields that headers of several formats have; untrusted where they come from files, so that they bound what may be allocated. */
import * as z from "zod";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import { MAX_EXPONENT } from "./half_scales.ts";

/** A count, from 1. */
export const size = (most: number) => z.int().min(1).max(most);

/** Shape of a layer. */
export const layerShape = { rows: size(MAX_LAYER_WEIGHTS), cols: size(MAX_LAYER_WEIGHTS) };

/** The unit of values that float16 would lose; see `half_scales.ts`. */
export const exponent = z.int().min(-MAX_EXPONENT).max(MAX_EXPONENT).optional();

/** N:M, and how it is meant. */
export const pruning = {
  keep: size(256),
  of: size(256),
  type: z.enum(["semi-structured", "unstructured", "structured", "none"]),
};
