/** From a recipe's file to a run's result: what the runner plans and executes, on this machine. */
import { type LoadedRecipe, type LoadOptions, readRecipe, renderRecipe as render } from "../recipes/recipe.ts";
import { type LoadedSweep, readSweep, type SweepOptions } from "../recipes/sweep.ts";
import type { Pipeline } from "../runner/stage.ts";
import { language, type Recipe } from "../stages/schema.ts";
import { openToolShelves } from "../stages/tools/mod.ts";
import { stagesOf, withUsed } from "./plugins.ts";
import { sharedMachine } from "./shared_machine.ts";
import { openSubject } from "./subject.ts";

/**
 * What the runner plans and executes.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe, pipeline } from "./mod.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const { recipe } = await loadRecipe("configs/quickstart.yaml");
 * const subject = await pipeline.open(recipe, { purpose: "plan", device: "cpu", cache: folder });
 * assert.equal(subject.model, "tiny-llama");
 * assert.ok(subject.steps.some(({ id }) => id === "spbo[0]"));
 * await subject.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export const pipeline: Pipeline<Recipe> = {
  open: async (recipe, options) => openSubject(await stagesOf(recipe), recipe, options),
};

/** A pipeline that its user closes. */
export interface SharedPipeline extends Pipeline<Recipe>, AsyncDisposable {}

/**
 * As `pipeline`, for many recipes one after another: devices and providers are chosen once, and workers, onnxruntime's sessions and the
 * GPU stay open from one run to the next.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe, sharedPipeline } from "./mod.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const { recipe } = await loadRecipe("configs/quickstart.yaml");
 * {
 *   await using pipeline = sharedPipeline();
 *   const subject = await pipeline.open(recipe, { purpose: "plan", device: "cpu", cache: folder });
 *   assert.equal(subject.model, "tiny-llama");
 *   await subject.close();
 * }
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function sharedPipeline(): SharedPipeline {
  const shelves = openToolShelves(), machine = { ...sharedMachine(), shelves };
  return {
    open: async (recipe, options) => openSubject(await stagesOf(recipe), recipe, options, machine),
    [Symbol.asyncDispose]: () => shelves.close(),
  };
}

/**
 * Reads a recipe and everything it extends.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe } from "./mod.ts";
 *
 * const { recipe, name } = await loadRecipe("configs/quickstart.yaml", { set: ["stages.spbo.resign=2"] });
 * assert.equal(name, "quickstart");
 * assert.deepEqual(Object.keys(recipe.stages), [
 *   "calibrate", "coarse-search", "fine-search", "spbo", "compensate", "pack", "evaluate",
 * ]);
 * ```
 * @param path a YAML file
 * @returns the recipe with the defaults of all stages that it names, paths absolute, and where each value came from
 * @throws {RecipeError} with everything that is wrong at once
 */
export function loadRecipe(path: string, options: LoadOptions = {}): Promise<LoadedRecipe<Recipe>> {
  return readRecipe({ ...language, withUsed }, path, options);
}

/**
 * Reads a sweep and everything that it and its points extend.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadSweep } from "./mod.ts";
 *
 * const sweep = await loadSweep("configs/sweeps/keep.yaml");
 * assert.deepEqual(sweep?.points.map(({ label }) => label), ["keep 4", "keep 5", "keep 6"]);
 * assert.equal(await loadSweep("configs/quickstart.yaml"), undefined);
 * ```
 * @param path a YAML file
 * @returns undefined where the file is an ordinary recipe
 * @throws {RecipeError} with everything that is wrong at once, in the sweep or in any of its points
 */
export function loadSweep(path: string, options: SweepOptions = {}): Promise<LoadedSweep<Recipe> | undefined> {
  return readSweep({ ...language, withUsed }, path, options);
}

/**
 * A complete recipe as YAML, keys in the schema's order: what `recipe.lock.yaml` holds.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe, renderRecipe } from "./mod.ts";
 *
 * const { recipe } = await loadRecipe("configs/quickstart.yaml", { set: ["stages.spbo.resign=2"] });
 * const text = renderRecipe(recipe, { relativeTo: Deno.cwd() });
 * assert.match(text, /^model:\n {2}path: configs\/models\/tiny-llama$/m);
 * assert.match(text, /^ {4}resign: 2$/m);
 * ```
 * @param options `relativeTo`: folder that paths are written relative to; absolute by default
 */
export function renderRecipe(recipe: Recipe, options: { readonly relativeTo?: string } = {}): string {
  return render(language, recipe, options);
}
