/**
 * pbs2p compresses language models below one nominal bit per weight (PBS²P, arXiv 2502.01705) and proves what it did.
 *
 * A recipe declares stages; the plan is a graph of steps with content keys; a run executes those whose artifacts are not in the
 * cache; what comes out is a packed model, its metrics and a report. This file is all of the public API, in the order data flows.
 *
 * @example Plan the quickstart: no weights are read, nothing is computed
 * ```ts
 * import assert from "node:assert/strict";
 * import { fileURLToPath } from "node:url";
 * import { loadRecipe, makePlan, openCache, pipeline } from "./mod.ts";
 *
 * const { recipe, sources } = await loadRecipe(fileURLToPath(import.meta.resolve("./configs/quickstart.yaml")), {
 *   set: ["stages.coarse-search.keep=5"],
 * });
 * const folder = await Deno.makeTempDir();
 * const cache = await openCache(folder);
 * const subject = await pipeline.open(recipe, { purpose: "plan", device: "auto", cache: folder });
 * const plan = await makePlan(subject, cache, { recipe, sources });
 * assert.equal(plan.totals.cached, 0);
 * assert.ok(plan.steps.some(({ id }) => id === "spbo[5]"));
 * await subject.close();
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @module
 */

// Recipes.
export { loadRecipe, loadSweep, renderRecipe } from "./pipeline/mod.ts";
export type { LoadedRecipe, LoadOptions, ValueSource } from "./recipes/recipe.ts";
export { RecipeError } from "./recipes/diagnostics.ts";
export { type Recipe, RecipeSchema } from "./stages/schema.ts";

// Weights and text.
export type { Checkpoint, TensorInfo, TokenizerSource } from "./checkpoints/checkpoint.ts";
export type { ModelSource } from "./checkpoints/open.ts";
export { openModel as openCheckpoint, type OpenModelOptions as OpenCheckpointOptions } from "./models/open_model.ts";
export { modelSpec } from "./models/config.ts";
export { fitModel, type FittedModel } from "./models/fit.ts";
export type { ModelSpec } from "./models/spec.ts";
export { InputError } from "./files/input_error.ts";
export { openTokenizer, type Tokenizer } from "./tokenizers/tokenizer.ts";
export { loadWindows, type WindowOptions, type Windows } from "./datasets/mod.ts";

// Plans and runs.
export { pipeline } from "./pipeline/mod.ts";
export { openMirrors } from "./pipeline/mirrors.ts";
export { exportMirror } from "./runner/mirror/export.ts";
export {
  type ArtifactCache,
  compareRuns,
  executeRun,
  exitCodeOf,
  listRuns,
  makePlan,
  openCache,
  type OpenOptions,
  type Pipeline,
  type Plan,
  readRun,
  type RunEvent,
  type RunOptions,
  type RunResult,
  type Step,
  type Subject,
} from "./runner/mod.ts";

// Results.
export { openPacked, type PackedCheckpoint } from "./checkpoints/packed/open.ts";
export { inspectPacked, type PackedInspection } from "./checkpoints/packed/bits.ts";
export { Metrics } from "./report/metrics.ts";
export { generate, type GenerateOptions } from "./inference/generate.ts";

// Sweeps, as their folders record them.
export type { SweepPoint, SweepRecord } from "./runner/sweep/record.ts";
export { renderLeaderboard } from "./report/sweep_report.ts";

// What a new method, format, family or operation is.
export type { Block, Method, MethodLayer, MethodRun, WholeLayer, WholeMethod } from "./layers/methods/method.ts";
export type { Scope } from "./layers/scope.ts";
export type { EncodedLayer, LayerContent, LayerFormat } from "./checkpoints/packed/format.ts";
export type { Family } from "./models/families/family.ts";
export type { Op } from "./kernels/op.ts";
export { type Device, type Matrix, matrix } from "./kernels/device.ts";
export { openCpuDevice } from "./kernels/cpu.ts";
