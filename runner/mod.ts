/** Recipe → plan → run: the runner's public parts, in the order data flows. It knows stages only through `stage.ts`. */
export * from "./stage.ts";
export * from "./events.ts";
export { type ArtifactInfo, type CacheOptions, type Damage, DEFAULT_CACHE_SIZE, openCache } from "./cache/cache.ts";
export type { ArtifactCache } from "./cache/cache.ts";
export type { Collected } from "./cache/eviction.ts";
export type { Usage } from "./cache/usage.ts";
export { CorruptArtifactError } from "./cache/artifact.ts";
export { freeBytes, NoSpaceError } from "./cache/no_space.ts";
export { makePlan, type Plan, type PlannedStep, type PlanOptions, type StageSummary, summarizeStages } from "./plan.ts";
export { executeRun, type RunOptions, type RunResult } from "./run.ts";
export { exitCodeOf, StepError } from "./run_errors.ts";
export { compareRuns, listRuns, readRun, type RunComparison, type RunInfo, type RunRecord } from "./history.ts";
