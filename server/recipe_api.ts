/** Recipes that are being written: their texts, what is wrong with them, and what runs of them would do. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { InputError } from "../files/input_error.ts";
import { RecipeError } from "../recipes/diagnostics.ts";
import { recipeJsonSchema } from "../recipes/json_schema.ts";
import { RecipeSchema } from "../stages/schema.ts";
import { redact } from "./redact.ts";
import { PlanningError, type RecipeDesk } from "./recipe_desk.ts";
import { RecipeCheck, RecipeList, RecipePlan, RecipeSource, RecipeText, SweepPlan } from "./recipe_schemas.ts";
import { Problem } from "./schemas.ts";

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const problem = (description: string) => json(Problem, description);
const refused = {
  400: problem("The question cannot be understood"),
  404: problem("There is no such recipe"),
  413: problem("The text is longer than a recipe is"),
};

/** Adds the routes of recipes to the API. */
export function addRecipeRoutes(api: OpenAPIHono, desk: RecipeDesk): void {
  const missing = { error: "Cannot find this recipe" };
  const body = { body: { required: true, content: { "application/json": { schema: RecipeText } } } };

  api.openapi(
    createRoute({
      ...{ method: "get", path: "/recipes", summary: "The recipes of configs/" },
      responses: { 200: json(RecipeList, "Recipes") },
    }),
    (c) => c.json(desk.list(), 200),
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/recipes/schema", summary: "JSON Schema of recipes" },
      responses: { 200: json(z.looseObject({}), "The schema") },
    }),
    (c) => c.json(JSON.parse(recipeJsonSchema(RecipeSchema)), 200),
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/recipes/text", summary: "The text of a shipped recipe, or of a run's" },
      request: { query: z.object({ file: z.string().max(400).optional(), run: z.string().max(400).optional() }) },
      responses: { 200: json(RecipeSource, "The text"), ...refused },
    }),
    async (c) => {
      const found = await desk.open(c.req.valid("query"));
      return found === undefined ? c.json(missing, 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{ method: "post", path: "/recipes/check", summary: "What is wrong with a text, as it is in memory" },
      request: body,
      responses: { 200: json(RecipeCheck, "Diagnostics, by file and place"), ...refused },
    }),
    async (c) => {
      const found = await desk.check(c.req.valid("json"));
      return found === undefined ? c.json(missing, 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{
        method: "post",
        path: "/recipes/plan",
        summary: "What a run or sweep of a text would do, why, and what it would cost",
      },
      request: body,
      responses: {
        200: json(z.union([RecipePlan, SweepPlan]), "The plan; of a sweep, its points with what they share"),
        ...refused,
        422: problem("Something is wrong with it, or with what it names"),
        429: problem("Another plan is being made"),
      },
    }),
    async (c) => {
      try {
        const found = await desk.plan(c.req.valid("json"));
        return found === undefined ? c.json(missing, 404) : c.json(found, 200);
      } catch (error) {
        if (error instanceof PlanningError) {
          c.header("Retry-After", "2");
          return c.json({ error: error.message }, 429);
        }
        if (error instanceof RecipeError) {
          const count = error.diagnostics.filter(({ severity }) => severity === "error").length;
          const what = `${count} ${count === 1 ? "error" : "errors"}`;
          return c.json({ error: `Cannot plan this recipe: there ${count === 1 ? "is" : "are"} ${what} in it` }, 422);
        }
        if (error instanceof Error && (error instanceof InputError || /^Cannot /.test(error.message))) {
          return c.json({ error: redact(error.message) }, 422);
        }
        throw error;
      }
    },
  );
}
