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
  ...METHODS.map((method) => methodStage(method)),
  compensate,
  pack,
  evaluate,
];

/** All stages with more methods than this project's, which stand behind its own. */
export function stagesWith(methods: readonly Stage[]): Stage[] {
  const behind = stages.indexOf(compensate);
  return [...stages.slice(0, behind), ...methods, ...stages.slice(behind)];
}
