/** One layer of refined groups: the exact content of what is packed, and the weights it stands for. */
import { decodeRefinedBlock, meansPerRow, productsPerRow, type RefinedShape } from "../../kernels/refinement/ops.ts";

/** A layer of ARB-LLM. */
export interface RefinedLayer {
  readonly rows: number;
  readonly cols: number;
  /** Consecutive columns that share scales; the last group may be shorter. */
  readonly groupSize: number;
  /** Mean ± scale (± second scale) of each row; or products of row and column scales. */
  readonly levels: "means" | "products";
  /** Whether the salient columns are in two groups. */
  readonly columnGroups: boolean;
  /** rows × cols: KEPT, signs, and groups: those of salient columns first. */
  readonly codes: Uint8Array;
  /** rows × blocks × scales of a row */
  readonly scales: Float32Array;
  /** cols × scales, of products; 0 for groups that a column has no part in. */
  readonly columnScales?: Float32Array;
  /** Set where float16 would lose scales: they are then stored in units of 2^exponent, and of others (`half_scales.ts`). */
  readonly exponent?: number;
}

/** Groups of a layer: salient ones, and two others. */
export function shapeOf({ columnGroups }: Pick<RefinedLayer, "columnGroups">): RefinedShape {
  return { doubled: columnGroups ? 2 : 1, single: 2 };
}

/**
 * The weights of a layer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "../../kernels/binary/ops.ts";
 * import { decodeRefinedLayer } from "./refined_layer.ts";
 *
 * const segment = 1 << GROUP_SHIFT | KEPT, codes = Uint8Array.of(segment, segment | SIGN);
 * const scales = Float32Array.of(0, 0, 0, 3, 2, 0, 0);
 * const layer = { rows: 1, cols: 2, groupSize: 2, levels: "means", columnGroups: false, codes, scales } as const;
 * assert.deepEqual([...decodeRefinedLayer(layer)], [1, 5]);
 * ```
 * @returns rows × cols
 */
export function decodeRefinedLayer(layer: RefinedLayer): Float32Array {
  const { rows, cols, groupSize, levels, codes, scales, columnScales } = layer, shape = shapeOf(layer);
  const perRow = (levels === "means" ? meansPerRow : productsPerRow)(shape), blocks = Math.ceil(cols / groupSize);
  const out = new Float32Array(rows * cols), own = new Float32Array(rows * perRow);
  for (let b = 0, col = 0; col < cols; b++, col += groupSize) {
    const width = Math.min(groupSize, cols - col), values = new Float32Array(rows * width);
    const block = new Uint8Array(rows * width);
    for (let r = 0; r < rows; r++) {
      block.set(codes.subarray(r * cols + col, r * cols + col + width), r * width);
      own.set(scales.subarray((r * blocks + b) * perRow, (r * blocks + b + 1) * perRow), r * perRow);
    }
    const columns = columnScales?.subarray(col * perRow, (col + width) * perRow);
    decodeRefinedBlock(values, { ...shape, rows, cols: width, codes: block, scales: own, columnScales: columns });
    for (let r = 0; r < rows; r++) out.set(values.subarray(r * width, (r + 1) * width), r * cols + col);
  }
  return out;
}
