/** The language of recipes with one method: what is said of stages then does not change with every method there is. */
import * as z from "zod";
import type { Recipe, RecipeLanguage } from "./language.ts";
import { METHODS } from "../layers/find_method.ts";
import { groupRule } from "../stages/group_rule.ts";
import { stages } from "../stages/mod.ts";
import { rolesRule } from "../stages/roles.ts";
import { RecipeSchema } from "../stages/schema.ts";

const kept = stages.filter(({ name }) => name === "spbo" || METHODS.every((method) => method.name !== name));

/** All stages, but of the methods only spbo. */
export const oneMethod: RecipeLanguage<Recipe> = {
  schema: RecipeSchema.extend({
    stages: z.strictObject(
      Object.fromEntries(kept.map(({ name, params, summary }) => [name, params.optional().describe(summary)])),
    ).prefault({}),
  }),
  rules: [...kept.flatMap(({ rules = [] }) => rules), groupRule(kept), rolesRule(kept)],
};
