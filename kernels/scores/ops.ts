/** Scores of weights, and ranks by them. The only door into this room. */
export { absoluteSums, importance } from "./importance_ops.ts";
export { rank } from "./select_op.ts";

export { type ImportanceMetric, importanceOf } from "./importance.ts";
export { gpuColumnSums } from "./importance_webgpu.ts";
export { orderStatistics } from "./order_statistics.ts";
export { gpuOrderStatistics, percentilePlaces, withOrderKeys } from "./order_statistics_webgpu.ts";
export { type PruningType, rankNM } from "./select.ts";
