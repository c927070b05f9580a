/**
 * stbllm: a model pruned to N:M and then binarized (STBLLM, arXiv 2408.01803): groups as BiLLM's, but three segments whose second
 * threshold is twice the first.
 *
 * Weights are pruned before anything else, by masks from the original model, and what the layer is then to meet are the weights that
 * stayed. `as-published` binarizes these, and N:M holds. `as-released` does what the released code does: there pruned weights are no
 * more than weights of 0, which compensation moves and binarization sets to the levels of their group, so that nothing of N:M is left.
 * `masked-again` does the same and then leaves them out, before errors are formed.
 */
import * as z from "zod";
import { prune } from "../../kernels/binary/ops.ts";
import { error, type Rule } from "../../recipes/language.ts";
import { count } from "../../recipes/words.ts";
import { PlanesRun } from "../planes_run.ts";
import { ScoredGroups } from "../scored_groups.ts";
import type { Method } from "./method.ts";

const Params = z.strictObject({
  variant: z.enum(["as-published", "as-released", "masked-again"]).default("as-published").describe(
    "N:M holds; or pruned weights are binarized again, as the released code does, and N:M does not hold; or they then go once more",
  ),
  group_size: count(8, 4096).default(128).describe("Consecutive inputs (columns) that share scales (STBLLM: 128)"),
  salient_max: count(1, 4095).default(49).describe("Columns: at most so many are salient; clamped to group width − 1"),
  candidates: count(3, 400).default(160).describe("Percentiles tried as thresholds, from 10 % to 90 % (STBLLM: 160)"),
  search_target: z.enum(["scores", "weights"]).default("scores").describe(
    "What the searches binarize to judge a choice, and what is cut: scores w²/U² (the released code), or weights",
  ),
});

/** Settings of the method. */
export type StbllmParams = z.infer<typeof Params>;

const FROM = "stages.fine-search.mask_from", INPUTS = "stages.fine-search.inputs";

/** Masks must be there before anything is binarized. */
const masksRule = (path: (key: string) => string): Rule => ({
  reads: [path("variant"), FROM, INPUTS],
  check({ value, blame }) {
    return [FROM, INPUTS].filter((from) => value(from) !== "original").map((from) =>
      error(blame(from), `stbllm needs ${from.split(".").at(-1)} \`original\`: it is \`${value(from)}\``, {
        allowed: `${from}: original`,
        note: "the model is pruned before anything is binarized, by what its weights and inputs originally are",
      })
    );
  },
});

/** The method; see the file's head. */
export const stbllm: Method<StbllmParams> = {
  name: "stbllm",
  label: "stbllm",
  labelOf: ({ variant }) => variant === "as-released" ? "stbllm (as released)" : "stbllm",
  warningOf: ({ variant }) =>
    variant === "as-released"
      ? "stages.stbllm.variant as-released binarizes pruned weights again: N:M does not hold in its output, and its nominal bits are " +
        "those that the paper prints"
      : undefined,
  summary: "STBLLM: a model pruned to N:M, then binarized with salient columns and three segments",
  params: Params,
  rules: [masksRule],
  needs: ["statistics", "allocation", "ranks"],
  format: "planes",
  prunesFirst: true,
  reads: () => Object.keys(Params.shape),
  groupKeys: ["group_size"],
  groupSize: ({ group_size }) => group_size,
  open(device, scope, open) {
    const { params: { variant }, pruned, job: { keep, of, settings: { search } } } = open;
    const holds = variant !== "as-released", groups = new ScoredGroups(device, scope, open, 3);
    return new PlanesRun(device, scope, open, {
      shape: { segments: 3, salient: true },
      mask: { keep: search.type === "none" ? of : keep, of, type: holds ? search.type : "none" },
      binarize(block, planes) {
        groups.binarize(block, planes, variant === "as-published" ? pruned : 0);
        if (holds) device.run(prune, planes.codes, { rank: block.rank, pruned });
      },
    });
  },
};
