/** From codes and scales back to weights. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { decodeBlock, decodeLayer, type DecodeOperands } from "./decode.ts";
import { gpuDecode } from "./decode_webgpu.ts";

/** out := the weights of a column block; see `decodeBlock`, or with a size of groups `decodeLayer`. */
export const decode: Op<[out: Matrix, options: DecodeOperands]> = {
  name: "decode",
  cpu(_, out, { codes, scales, segments, salient, groupSize }) {
    const { rows, cols } = out;
    const block = { codes: dense(codes), scales: dense(scales), rows, cols, segments, salient };
    if (groupSize) decodeLayer({ ...block, groupSize }, dense(out));
    else decodeBlock(dense(out), block);
  },
  gpu: gpuDecode,
};
