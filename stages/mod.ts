/** The stages, in the order in which data flows: each is a file and a line, and every method of `layers/methods` is one. */
import { METHODS } from "../layers/find_method.ts";
import { calibrate } from "./calibrate.ts";
import { coarseSearch } from "./coarse_search.ts";
import { compensate } from "./compensate.ts";
import { evaluate } from "./evaluate.ts";
import { fineSearch } from "./fine_search.ts";
import { pack } from "./pack.ts";
import type { Stage } from "./planning.ts";
import { methodStage } from "./quantize.ts";

/** Every stage, by the names of the YAML. */
export const stages: readonly Stage[] = [
  calibrate,
  coarseSearch,
  fineSearch,
  ...METHODS.map(methodStage),
  compensate,
  pack,
  evaluate,
];
