/** The search for ARB-X's cut: its candidates, what each of them leaves, and the choice. */
import { dense } from "../cpu_buffer.ts";
import { expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import {
  type ChoiceOperands,
  cutByBest,
  type ResidualOperands,
  splitCandidatesOf,
  type SplitOperands,
  splitResidualsOf,
} from "./weighted_split.ts";
import { gpuChooseSplit, gpuSplitCandidates, gpuSplitResiduals } from "./weighted_split_webgpu.ts";

/** out (1 × candidates) := percentiles of |values|; see `splitCandidatesOf`. */
export const splitCandidates: Op<[out: Matrix, options: SplitOperands]> = {
  name: "splitCandidates",
  check: (_, { values, salient }) => expectShape("splitCandidates", salient, 1, values.cols),
  cpu: (_, out, { values, salient }) => splitCandidatesOf(dense(out), cpuSplit({ values, salient })),
  gpu: gpuSplitCandidates,
};

/** out (some candidates · rows × cols) := what these candidates leave; see `splitResidualsOf`. */
export const splitResiduals: Op<[out: Matrix, options: ResidualOperands]> = {
  name: "splitResiduals",
  check(out, { values, salient, rest, candidates, first }) {
    const { rows, cols } = values, count = out.rows / rows;
    expectShape("splitResiduals", salient, 1, cols);
    expectShape("splitResiduals", rest, rows, cols);
    if (out.cols === cols && Number.isInteger(count) && first + count <= candidates.cols) return;
    throw new RangeError(
      `Cannot enqueue "splitResiduals" as ${candidates.cols - first} candidates of ${rows}×${cols} are left: ` +
        `current value is ${out.rows}×${out.cols}`,
    );
  },
  cpu(_, out, { values, salient, rest, candidates, first }) {
    const judged = dense(candidates).subarray(first, first + out.rows / values.rows);
    splitResidualsOf(dense(out), { ...cpuSplit({ values, salient }), rest: dense(rest), candidates: judged });
  },
  gpu: gpuSplitResiduals,
};

/** codes := group 0 in salient columns, else the side of the best candidate; see `cutByBest`. */
export const chooseSplit: Op<[codes: Matrix<"u8">, options: ChoiceOperands]> = {
  name: "chooseSplit",
  check: (codes, { values }) => expectShape("chooseSplit", codes, values.rows, values.cols),
  cpu(_, codes, { values, salient, candidates, errors, firstGroup }) {
    const found = { candidates: dense(candidates), errors: dense(errors), firstGroup };
    cutByBest(dense(codes), { ...cpuSplit({ values, salient }), ...found });
  },
  gpu: gpuChooseSplit,
};

function cpuSplit({ values, salient }: SplitOperands) {
  return { values: dense(values), salient: dense(salient), rows: values.rows, cols: values.cols };
}
