/** What recipes may say: the model, the stages there are, and what a run must meet. The stages have their own parameters. */
import * as z from "zod";
import type { Recipe as AnyRecipe, RecipeLanguage, Rule } from "../recipes/language.ts";
import { SweepKeys } from "../recipes/sweep_keys.ts";
import type { SpboParams } from "../layers/methods/spbo.ts";
import { budgetRule } from "./budget_rule.ts";
import type { CalibrateParams } from "./calibrate.ts";
import type { CoarseSearchParams } from "./coarse_search.ts";
import type { CompensateParams } from "./compensate.ts";
import type { EvaluateParams } from "./evaluate.ts";
import type { FineSearchParams } from "./fine_search.ts";
import { groupRule } from "./group_rule.ts";
import { stages } from "./mod.ts";
import type { PackParams } from "./pack.ts";
import type { Stage } from "./planning.ts";
import { rolesRule } from "./roles.ts";

const path = () => z.string().min(1).meta({ path: true });

/** Where weights come from: a folder or file beside the recipe, or the Hugging Face Hub. */
export const Model = z.union([
  z.strictObject({
    path: path().describe("Folder with safetensors files, or a .gguf file; relative to the recipe"),
    config: path().optional().describe(
      "Folder with config.json and tokenizer.json, where they do not lie beside the weights; relative to the recipe",
    ),
  }),
  z.strictObject({
    hub: z.string().regex(/^[\w.-]+\/[\w.-]+$/, "a hub id is written owner/name").describe(
      "Hugging Face id, owner/name",
    ),
    revision: z.string().min(1).default("main").describe(
      "Commit, tag or branch; a commit makes the recipe reproducible, and a run's lock always names one",
    ),
    file: z.string().min(1).optional().describe("One file of the repository, such as a .gguf; default: safetensors"),
  }),
]).describe("Where the original weights come from");

/** Settings of the stages that a recipe names. */
export const Stages: StagesSchema = stagesSchema(stages);

/**
 * The whole recipe.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { RecipeSchema } from "./schema.ts";
 *
 * const recipe = RecipeSchema.parse({ model: { path: "/models/tiny" }, stages: { pack: {} } });
 * assert.deepEqual(Object.keys(recipe.stages), ["pack"]);
 * assert.equal(RecipeSchema.safeParse({ model: {} }).success, false);
 * ```
 */
export const RecipeSchema = z.strictObject({
  extends: z.union([z.string().min(1), z.array(z.string().min(1))]).optional().describe(
    "Another recipe, relative to this one, whose values this one overrides; of several, later ones override earlier ones",
  ),
  use: z.array(path()).optional().describe(
    "TypeScript files, relative to this one, with methods of one's own: each is a stage under its name; those of extended recipes are " +
      "used too",
  ),
  name: z.string().min(1).optional().describe("For people and run folders; default: the file's name"),
  description: z.string().optional().describe("For people"),
  model: Model,
  stages: Stages.prefault({}).describe("What is done, in this order; what is not named is not done"),
  expect: z.record(
    z.string(),
    z.strictObject({
      value: z.number().describe("Perplexity"),
      within: z.number().positive().describe("Relative tolerance, 0.03 = 3 %"),
    }),
  ).optional().describe("Perplexities a run must meet, by evaluation name"),
  ...SweepKeys,
});

/** Settings of the stages that a recipe names, every default filled in. */
export type StageSettings = AnyRecipe["stages"] & {
  readonly calibrate?: CalibrateParams;
  readonly "coarse-search"?: CoarseSearchParams;
  readonly "fine-search"?: FineSearchParams;
  readonly spbo?: SpboParams;
  readonly compensate?: CompensateParams;
  readonly pack?: PackParams;
  readonly evaluate?: EvaluateParams;
};

/**
 * A complete recipe.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { Recipe } from "./schema.ts";
 * import { RecipeSchema } from "./schema.ts";
 *
 * const recipe: Recipe = RecipeSchema.parse({ model: { path: "/models/tiny" }, stages: { spbo: { resign: 1 } } });
 * assert.equal(recipe.stages.spbo?.resign, 1);
 * assert.equal(recipe.stages.spbo?.group_size, 128);
 * assert.equal(recipe.stages.evaluate, undefined);
 * ```
 */
export type Recipe = AnyRecipe & { readonly model: z.infer<typeof Model>; readonly stages: StageSettings };

/** Schema and rules of recipes. */
export const language: RecipeLanguage<Recipe> = { schema: RecipeSchema, rules: rulesOf(stages) };

/**
 * Schema and rules of recipes that have other stages too.
 *
 * @param all the stages there are, in order
 * @param options `open`: whether there may be stages that are not known, as the file that brings them cannot be used
 */
export function languageWith(
  all: readonly Stage[],
  { open = false }: { readonly open?: boolean } = {},
): RecipeLanguage<Recipe> {
  const known = stagesSchema(all);
  const schema = RecipeSchema.extend({ stages: (open ? known.loose() : known).prefault({}) });
  return { schema: schema as typeof RecipeSchema, rules: rulesOf(all) };
}

type StagesSchema = z.ZodObject<Record<string, z.ZodOptional<z.ZodType>>> & z.ZodType<StageSettings>;

function stagesSchema(all: readonly Stage[]): StagesSchema {
  return z.strictObject(
    Object.fromEntries(all.map(({ name, params, summary }) => [name, params.optional().describe(summary)])),
  );
}

function rulesOf(all: readonly Stage[]): Rule[] {
  return [...all.flatMap(({ rules = [] }) => rules), groupRule(all), budgetRule(all), rolesRule(all)];
}
