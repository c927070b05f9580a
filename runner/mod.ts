/** Recipe → plan → run: the runner's public parts, in the order data flows. It knows stages only through `stage.ts`. */
export * from "./stage.ts";
export * from "./events.ts";
export { type ArtifactCache, openCache } from "./cache/cache.ts";
export { freeBytes } from "./cache/no_space.ts";
export { makePlan, type Plan, type PlannedStep, summarizeStages } from "./plan.ts";
export { executeRun, type RunOptions, type RunResult } from "./run.ts";
export { exitCodeOf } from "./run_errors.ts";
export { compareRuns, type RunComparison } from "./compare_runs.ts";
export { listRuns, readRun, type RunInfo, type RunRecord } from "./history.ts";
