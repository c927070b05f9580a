/**
 * compensate: each column block's error is fed back into the columns that are still to come.
 *
 * It has no step of its own: it works between the column blocks of one layer (`layer.ts`), inside the step of `spbo`, which
 * reads its parameters and credits it with its seconds.
 */
import type { Stage } from "./planning.ts";

/** The stage; see the file's head. */
export const compensate: Stage = { name: "compensate", version: 1, plan: () => [] };
