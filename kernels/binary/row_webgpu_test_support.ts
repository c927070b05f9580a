/** Column blocks on which the row kernels of WebGPU are compared with the CPU's. */
import { binarizeRows } from "./binarize.ts";
import { type ElementArrays, type ElementType, type Matrix, matrix } from "../device.ts";
import { importanceOf, rankNM } from "../scores/ops.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { gram, groupCodes, type Kind, weights } from "./row_kernels_test_support.ts";
import type { WebGpuContext } from "../gpu/context.ts";

/** Shape of a block and what is pruned of it. */
export interface BlockShape {
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
  readonly of: number;
  readonly pruned: number;
  /** Tokens of S: fewer than columns make it singular. */
  readonly tokens?: number;
}

/** Sizes: 1, primes, one past a workgroup, several groups of lanes, nothing pruned, a singular S. */
export const BLOCK_SHAPES: readonly BlockShape[] = [
  { rows: 1, cols: 1, segments: 1, salient: false, of: 1, pruned: 0 },
  { rows: 7, cols: 8, segments: 4, salient: true, of: 8, pruned: 7 },
  { rows: 67, cols: 40, segments: 3, salient: true, of: 8, pruned: 4 },
  { rows: 5, cols: 65, segments: 2, salient: false, of: 5, pruned: 2 },
  { rows: 13, cols: 128, segments: 3, salient: true, of: 8, pruned: 4 },
  { rows: 3, cols: 128, segments: 3, salient: true, of: 8, pruned: 0, tokens: 20 },
  { rows: 2, cols: 192, segments: 1, salient: true, of: 32, pruned: 20 },
];

/** One block binarized, as it is before anything is pruned. */
export function binarizedBlock(kind: Kind, shape: BlockShape) {
  const { rows, cols, segments, salient, of, tokens } = shape;
  const w = weights(kind, rows, cols, cols + rows), score = new Float32Array(w.length);
  const rank = new Uint8Array(w.length), scales = new Float32Array(rows * scalesPerBlock(shape));
  importanceOf(score, w, { rows, cols, metric: "magnitude" });
  rankNM(rank, score, { rows, cols, of, type: "semi-structured" });
  const codes = groupCodes(w, cols, salient ? Math.min(5, cols) : 0, segments);
  binarizeRows(codes, scales, { ...shape, w, rank, pruned: 0, salientPruned: 0 });
  return { ...shape, w, gram: gram(cols, 7, tokens), rank, codes, scales };
}

/** A block's arrays, or others of its size. */
export interface BlockArrays {
  readonly rows: number;
  readonly cols: number;
  readonly w: Float32Array;
  readonly gram: Float32Array;
  readonly rank: Uint8Array;
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
}

/** A block's arrays on the GPU. */
export function onGpu(context: WebGpuContext, block: BlockArrays) {
  const { rows, cols } = block;
  return {
    w: gpuMatrix(context, "f32", block.w, rows),
    gram: gpuMatrix(context, "f32", block.gram, cols),
    rank: gpuMatrix(context, "u8", block.rank, rows),
    codes: gpuMatrix(context, "u8", block.codes, rows),
    scales: gpuMatrix(context, "f32", block.scales, rows),
  };
}

/** An array on the GPU, three elements into its buffer. */
export function gpuMatrix<T extends ElementType>(
  context: WebGpuContext,
  type: T,
  data: ElementArrays[T],
  rows: number,
): Matrix<T> {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => Float32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? NaN : data[i - 3]),
    u8: () => Uint8Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
    u32: () => Uint32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
  };
  const cols = data.length / rows;
  return { ...matrix(context.upload(type, arrays[type]()), rows, cols), offset: 3 };
}

/** What `gpuMatrix` put on the GPU, out of its whole buffer. */
export function withoutOffset<A extends Float32Array | Uint8Array>(data: A): A {
  return data.subarray(3) as A;
}
