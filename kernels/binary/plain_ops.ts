/** Signs and one scale a row, without a mean. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type PlainOperands, plainRows, type RescaleOperands, rescaleRows } from "./plain.ts";
import { gpuRescale, gpuStartPlain } from "./plain_webgpu.ts";

/** Signs into codes, and scales := 0 and mean magnitudes; see `plainRows`. */
export const startPlain: Op<[codes: Matrix<"u8">, scales: Matrix, options: PlainOperands]> = {
  name: "startPlain",
  cpu(_, codes, scales, { w, rank, pruned }) {
    const { rows, cols } = w;
    plainRows(dense(codes), dense(scales), { w: dense(w), rank: dense(rank), rows, cols, pruned });
  },
  gpu: gpuStartPlain,
};

/** Scales := those of the least error for these signs; see `rescaleRows`. */
export const rescale: Op<[scales: Matrix, options: RescaleOperands]> = {
  name: "rescale",
  cpu(_, scales, { decoded, target, product }) {
    const { rows, cols } = decoded, [q, y, p] = [decoded, target, product].map(dense);
    rescaleRows(dense(scales), { decoded: q, target: y, product: p, rows, cols });
  },
  gpu: gpuRescale,
};
