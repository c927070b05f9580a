/** The stages, in the order in which data flows, and the pipeline they make. */
import { calibrate } from "./calibrate.ts";
import { coarseSearch } from "./coarse_search.ts";
import { compensate } from "./compensate.ts";
import { evaluate } from "./evaluate.ts";
import { fineSearch } from "./fine_search.ts";
import { pack } from "./pack.ts";
import type { Stage } from "./planning.ts";
import { spbo } from "./spbo.ts";
import { openSubject } from "../pipeline/subject.ts";
import type { Pipeline } from "../runner/stage.ts";

/** Every stage, by the names of the YAML. */
export const stages: readonly Stage[] = [calibrate, coarseSearch, fineSearch, spbo, compensate, pack, evaluate];

/** What the runner plans and executes. */
export const pipeline: Pipeline = { open: (recipe, options) => openSubject(stages, recipe, options) };
