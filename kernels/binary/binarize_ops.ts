/** First signs and scales of a column block, and the pruning of its codes. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { binarizeRows, pruneCodes, type StartOperands } from "./binarize.ts";
import { gpuPrune, gpuStartScales } from "./binarize_webgpu.ts";
import type { SeenOptions } from "./quantized_layer.ts";

/** Signs into codes, and scales := means and mean deviations; see `binarizeRows`. */
export const startScales: Op<[codes: Matrix<"u8">, scales: Matrix, options: StartOperands]> = {
  name: "startScales",
  cpu(_, codes, scales, { w, rank, pruned, salientPruned, segments, salient }) {
    const { rows, cols } = w, shape = { rows, cols, segments, salient };
    binarizeRows(dense(codes), dense(scales), { ...shape, w: dense(w), rank: dense(rank), pruned, salientPruned });
  },
  gpu: gpuStartScales,
};

/** Takes weights that are not seen out of the codes; see `pruneCodes`. */
export const prune: Op<[codes: Matrix<"u8">, options: SeenOptions]> = {
  name: "prune",
  cpu: (_, codes, { rank, pruned }) => pruneCodes(dense(codes), dense(rank), pruned),
  gpu: gpuPrune,
};
