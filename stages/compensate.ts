/**
 * compensate: each column block's error is fed back into the columns that are still to come.
 *
 * It has no step of its own: it works between the column blocks of one layer (`layers/feedback.ts`), inside the step that
 * quantizes, which reads its parameters and credits it with its seconds.
 */
import * as z from "zod";
import type { Stage } from "./planning.ts";

const Params = z.strictObject({
  mode: z.enum(["diagonal", "exact", "columnwise", "none"]).default("diagonal").describe(
    "How a column block's error is fed to later ones: diagonal (BiLLM and PBS²P), exact (the optimum for a block), " +
      "columnwise (GPTQ's order), none",
  ),
  damping: z.number().min(0).max(1).default(0.01).describe("Times the mean of diag(H), added to the diagonal"),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type CompensateParams = Params;

const NAME = "compensate";

/** The stage; see the file's head. */
export const compensate: Stage<Params> = {
  name: NAME,
  summary: "Feeds the error of each column block to the columns after it",
  params: Params,
  makes: ["feedback"],
  needs: ["statistics"],
  offer: (settings) => ({
    feedback: { settings, reads: { mode: `stages.${NAME}.mode`, damping: `stages.${NAME}.damping` } },
  }),
  plan: () => [],
};
