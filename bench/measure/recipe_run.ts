/** One recipe run to its end for a benchmark, with the seconds its steps took when they were made. */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { Metrics } from "../../report/mod.ts";
import { executeRun, makePlan, openCache, type RunEvent, type RunResult, type Subject } from "../../runner/mod.ts";
import type { LoadedRecipe } from "../../recipes/recipe.ts";
import { METHODS } from "../../layers/find_method.ts";
import { pipeline } from "../../pipeline/mod.ts";
import type { Recipe } from "../../stages/schema.ts";

/** How a recipe is run. */
export interface RecipeRunOptions {
  /** Folder of the cache; absolute. */
  readonly cache: string;
  /** Folder of the runs; absolute. */
  readonly runs: string;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void;
  readonly warn?: (message: string) => void;
  /** Changes what is run, such as the targets. */
  readonly adapt?: (subject: Subject) => Subject;
}

/** What is known of one step. */
export interface StepCost {
  readonly id: string;
  readonly stage: string;
  /** Wall seconds when it was made, in this run or an earlier one; undefined when it never ran. */
  readonly seconds?: number;
  readonly state: "cached" | "run" | "fetch" | "skip";
}

/** A finished run. */
export interface RecipeRun {
  readonly result: RunResult;
  readonly model: string;
  readonly device: Subject["device"];
  readonly steps: readonly StepCost[];
}

/** The stages whose seconds are compared with a quantiser's: all but forward passes and evaluation. */
export const QUANTIZING: ReadonlySet<string> = new Set([
  "fine-search",
  ...METHODS.map(({ name }) => name),
  "compensate",
  "pack",
]);

/**
 * Runs a recipe.
 *
 * @throws {Error} what ended the run, when it failed or was interrupted
 */
export async function runRecipe(
  { recipe, name, sources }: LoadedRecipe<Recipe>,
  options: RecipeRunOptions,
): Promise<RecipeRun> {
  const { adapt = (subject) => subject, warn, onEvent, signal } = options;
  const cache = await openCache(options.cache);
  try {
    const subject = await pipeline.open(recipe, {
      purpose: "run",
      device: "cpu",
      cache: cache.folder,
      hashes: cache.fileHashes,
      warn,
    });
    try {
      const adapted = adapt(subject);
      const plan = await makePlan(adapted, cache, { recipe, sources });
      const result = await executeRun(plan, adapted, { cache, recipe, name, runsDir: options.runs, onEvent, signal });
      if (result.error) throw result.error;
      const steps = plan.steps.map(({ id, stage, key, state }) => ({
        ...{ id, stage, state },
        seconds: cache.record(key)?.seconds,
      }));
      return { result, model: subject.model, device: subject.device, steps };
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
  }
}

/** metrics.json of a finished run. */
export async function readMetrics({ folder }: RunResult): Promise<Metrics> {
  return Metrics.parse(JSON.parse(await readFile(join(folder, "metrics.json"), "utf8")));
}
