/**
 * billm: binarization of weights with salient columns and bell-shaped splitting (BiLLM, arXiv 2402.04291), as its released code does it:
 * salient columns are binarized twice, the other weights in two segments. Nothing is pruned there; where a recipe prunes, what stays is
 * binarized.
 *
 * An element equal to the mean of its group is stored there as the mean, a third value; here it takes the sign +1.
 */
import * as z from "zod";
import { prune } from "../../kernels/binary/ops.ts";
import { count } from "../../recipes/words.ts";
import { PlanesRun } from "../planes_run.ts";
import { ScoredGroups } from "../scored_groups.ts";
import type { Method } from "./method.ts";

const Params = z.strictObject({
  group_size: count(8, 4096).default(128).describe("Consecutive inputs (columns) that share scales (BiLLM: 128)"),
  salient_max: count(1, 4095).default(49).describe("Columns: at most so many are salient; clamped to group width − 1"),
  candidates: count(3, 400).default(81).describe("Percentiles tried as thresholds, from 10 % to 90 % (BiLLM: 81)"),
  search_target: z.enum(["scores", "weights"]).default("scores").describe(
    "What the searches binarize to judge a choice, and what is cut: scores w²/U² (the released code), or weights, which is better",
  ),
});

/** Settings of the method. */
export type BillmParams = z.infer<typeof Params>;

/** The method; see the file's head. */
export const billm: Method<BillmParams> = {
  name: "billm",
  label: "billm",
  summary: "BiLLM: salient columns binarized twice, the other weights in two segments",
  params: Params,
  needs: ["statistics"],
  format: "planes",
  reads: () => Object.keys(Params.shape),
  groupKeys: ["group_size"],
  groupSize: ({ group_size }) => group_size,
  open(device, scope, open) {
    const { pruned, job: { keep, of, settings: { search: { type } } } } = open;
    const groups = new ScoredGroups(device, scope, open, 2);
    return new PlanesRun(device, scope, open, {
      shape: { segments: 2, salient: true },
      mask: { keep: type === "none" ? of : keep, of, type },
      binarize(block, planes) {
        groups.binarize(block, planes, pruned);
        if (pruned > 0) device.run(prune, planes.codes, { rank: block.rank, pruned });
      },
    });
  },
};
