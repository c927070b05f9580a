/** All scales of a row at once. */
import { dense } from "../cpu_buffer.ts";
import type { Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type JointOperands, jointSolution } from "./joint.ts";
import { gpuSolveJoint } from "./joint_webgpu.ts";

/** scales := those with the least error for fixed masks and signs; see `jointSolution`. */
export const solveJoint: Op<[scales: Matrix, options: JointOperands]> = {
  name: "solveJoint",
  cpu(_, scales, { target, gram, codes, segments, salient }) {
    const { rows, cols } = target, shape = { rows, cols, segments, salient };
    jointSolution(dense(scales), { ...shape, target: dense(target), gram: dense(gram), codes: dense(codes) });
  },
  gpu: gpuSolveJoint,
};
