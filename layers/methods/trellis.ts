/**
 * trellis: steps by reverse waterfilling, codes along the cheapest path through a trellis, for as many stored bits as a layer may have.
 *
 * With error feedback the loss of a layer is Σ_j ‖e_j‖²/U_jj², e_j being the error of column j after the feedback of those before it. Equal
 * weighted distortion means steps c·U_jj with one c for the layer, and as many bits for each column as it then needs (WaterSIC, arXiv
 * 2603.04956). Codes are of dependent quantization along the rows of a column (`kernels/trellis/states.ts`), and entropy-coded.
 */
import * as z from "zod";
import { copy } from "../../kernels/matrix/ops.ts";
import { matrix } from "../../kernels/device.ts";
import { stepOf } from "../../kernels/trellis/ops.ts";
import { error, type Rule } from "../../recipes/language.ts";
import { count } from "../../recipes/words.ts";
import { keepsAllRule, requireAll } from "../keeps_all.ts";
import { columnsOf, openFeedback } from "../trellis/pass.ts";
import { search } from "../trellis/search.ts";
import type { WholeMethod } from "./method.ts";

const Params = z.strictObject({
  bits: z.number().min(0.1).max(12).default(2.1).describe(
    "Stored bits a weight of each layer, all side information included",
  ),
  states: z.literal([1, 4, 8]).default(8).describe(
    "Of the trellis; 1 = integers, as WaterSIC has them",
  ),
  lambda: z.number().min(0).max(4).default(0.45).describe(
    "Squared steps that a bit is worth when codes are chosen; with one state 0 is best",
  ),
  group_size: count(8, 4096).default(64).describe(
    "Columns whose errors reach later ones by one product; results hardly depend on it",
  ),
});

/** Settings of the method. */
export type TrellisParams = z.infer<typeof Params>;

/** What compensation may be. */
const MODES: readonly string[] = ["columnwise", "none"];

/** Steps are chosen for errors that reach each later column at once. */
function columnwiseRule(path: (key: string) => string): Rule {
  const mode = "stages.compensate.mode", own = path("bits");
  return {
    reads: [mode, own],
    check({ value, blame }) {
      const found = value<string>(mode);
      if (found === undefined || MODES.includes(found)) return [];
      return [error(blame(mode, own), `trellis goes column by column: mode is ${found}`, {
        allowed: `${mode}: ${MODES.join(" or ")}`,
      })];
    },
  };
}

/** The method; see the file's head. */
export const trellis: WholeMethod<TrellisParams> = {
  name: "trellis",
  label: "trellis",
  labelOf: ({ states }) => states === 1 ? "watersic" : "trellis",
  summary: "Waterfilled steps, trellis codes, as many bits as asked for (WaterSIC with a trellis)",
  params: Params,
  rules: [keepsAllRule, columnwiseRule],
  needs: ["statistics", "feedback"],
  format: "coded",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }, cols) => Math.min(group_size, cols),
  reads: () => Object.keys(Params.shape),
  budget: "bits",
  async whole(device, scope, { params, layer, group, pruned, job }) {
    const { states, lambda } = params, { name, rows, cols, bits = params.bits, settings: { feedback: { mode } } } = job;
    requireAll({ job, pruned });
    if (!MODES.includes(mode)) {
      throw new RangeError(
        `Cannot compress layer "${name}" as trellis goes column by column: stages.compensate.mode must be ` +
          `${MODES.join(" or ")}: current value is ${mode}`,
      );
    }
    const ones = matrix(scope.upload("f32", new Float32Array(cols).fill(1)), 1, cols);
    const turned = device.alloc("f32", rows * cols), diagonal = scope.matrix("f32", 1, cols);
    device.run(copy, matrix(turned, cols, rows), layer.weight, { transposed: true });
    // Without feedback all columns count alike.
    device.run(copy, diagonal, mode === "none" ? ones : layer.diagonalU);
    const [weight, diagonalU] = await device.download([turned, diagonal.buffer]);
    const feeds = layer.factor !== undefined && mode === "columnwise";
    const feedback = feeds ? await openFeedback(device, layer.factor) : undefined;
    const columns = columnsOf(weight, rows);
    const found = await search(device, { name, columns, feedback, group, goal: { bits, states, lambda }, diagonalU });
    const { coded, codes, strip } = found, steps = Float32Array.from(coded.stepLogs, stepOf);
    const decoded = scope.matrix("f32", rows, cols);
    device.run(copy, decoded, matrix(scope.upload("f32", coded.decoded), cols, rows), { transposed: true });
    return {
      decoded,
      arrays: {
        codes: { dtype: "I16", shape: [rows, cols], data: codes },
        steps: { dtype: "F32", shape: [cols], data: steps },
        rowSizes: { dtype: "I8", shape: [rows], data: columns.rowSizes },
        columnSizes: { dtype: "I8", shape: [cols], data: coded.columnSizes },
      },
      facts: { states, strip },
      seconds: found.seconds,
    };
  },
};
