/** From a recipe's file to a run's result: what the runner plans and executes, on this machine. */
import { type LoadedRecipe, type LoadOptions, readRecipe } from "../recipes/recipe.ts";
import type { Pipeline } from "../runner/stage.ts";
import { stages } from "../stages/mod.ts";
import { language, type Recipe } from "../stages/schema.ts";
import { openSubject } from "./subject.ts";

/** What the runner plans and executes. */
export const pipeline: Pipeline<Recipe> = { open: (recipe, options) => openSubject(stages, recipe, options) };

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
  return readRecipe(language, path, options);
}
