/** Results: metrics.json, the terminal's table and report.html. */
export { readEnvironment } from "./environment.ts";
export { buildMetrics, Metrics, metricsJsonSchema, type ResultFacts } from "./metrics.ts";
export { renderReport, type ReportContent } from "./report.ts";
export { renderResultTable } from "./result_table.ts";
