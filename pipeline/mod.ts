/** From a recipe's file to a run's result: what the runner plans and executes, on this machine. */
import { type LoadedRecipe, type LoadOptions, readRecipe, renderRecipe as render } from "../recipes/recipe.ts";
import type { Pipeline } from "../runner/stage.ts";
import { language, type Recipe } from "../stages/schema.ts";
import { stagesOf, withUsed } from "./plugins.ts";
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
