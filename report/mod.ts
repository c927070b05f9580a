/**
 * Results: metrics.json and the terminal's table. The page is `report.ts`, imported by itself where it is written, as its charts'
 * library takes longer to load than a cached run.
 */
export { readEnvironment } from "./environment.ts";
export { type Evidence, makeEvidence, readEvidence, recordOfRun, renderEvidence } from "./evidence.ts";
export { meets } from "./expectation.ts";
export { buildMetrics, Metrics, renderMetrics } from "./metrics.ts";
export { renderResultTable } from "./result_table.ts";
