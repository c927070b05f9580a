/** What is asked of recipes that are being written, and what is answered. */
import { z } from "@hono/zod-openapi";

const text = z.string(), tally = z.int().min(0);

/** Bytes of a recipe's text, at most. */
export const LONGEST_RECIPE = 256 * 1024;

/** A recipe that is being written. */
export const RecipeText = z.strictObject({
  file: z.string().max(400).optional().describe("The shipped recipe that it was: a path below configs/"),
  run: z.string().max(400).optional().describe("Or the run whose recipe it was"),
  text: z.string().max(LONGEST_RECIPE).describe("As it is now; paths in it are relative to the recipe that it was"),
}).refine(({ file, run }) => (file === undefined) !== (run === undefined), "one of file and run must be given")
  .openapi("RecipeText");
export type RecipeText = z.infer<typeof RecipeText>;

/** What is wrong. */
const Diagnostic = z.object({
  severity: z.enum(["error", "warning"]),
  message: text,
  file: text.optional().describe("Where it is in another file than this one"),
  line: z.int().min(1).optional(),
  column: z.int().min(1).optional().describe("In characters, as endColumn"),
  endColumn: z.int().min(1).optional(),
  found: text.optional(),
  allowed: text.optional(),
  suggestion: text.optional(),
  note: text.optional(),
}).openapi("Diagnostic");

export const RecipeCheck = z.object({
  name: text.optional(),
  points: tally.optional().describe("Of a sweep"),
  diagnostics: z.array(Diagnostic),
}).openapi("RecipeCheck");
export type RecipeCheck = z.infer<typeof RecipeCheck>;

export const RecipePlan = z.object({
  ...{ recipe: text, model: text, method: text, device: text },
  warnings: z.array(text),
  totals: z.object({
    ...{ run: tally, cached: tally, skip: tally },
    seconds: z.number().describe("Of the steps that run"),
    memory: z.number().describe("Bytes at the peak"),
    disk: z.number().describe("Bytes at the peak, beyond what is there"),
  }),
  groups: z.array(z.object({
    step: text.describe("With its blocks, where it has some: spbo[0-5]"),
    state: text,
    words: text.describe("The state in words"),
    why: text.optional().describe("The first reason, in words"),
    seconds: z.number(),
    steps: tally,
  })).describe("Steps of one name, state and reason"),
}).openapi("RecipePlan");
export type RecipePlan = z.infer<typeof RecipePlan>;

export const SweepPlan = z.object({
  ...{ recipe: text, model: text, device: text },
  warnings: z.array(text),
  words: text.describe("The totals in words"),
  totals: z.object({
    ...{ points: tally, calibrations: tally.describe("In how many ways points calibrate") },
    steps: z.object({ all: tally, different: tally }),
    ...{ run: tally.describe("Steps that will run"), seconds: z.number().describe("Of the steps that run") },
    failed: tally.describe("Points that cannot run"),
  }),
  points: z.array(z.object({
    label: text,
    state: z.enum(["cannot run", "cached", "nothing to run", "will run"]),
    ...{ run: tally, rest: tally.describe("Steps that are cached, shared with points before, or not needed") },
    seconds: z.number(),
    error: text.optional().describe("Why it cannot run"),
  })),
}).openapi("SweepPlan");
export type SweepPlan = z.infer<typeof SweepPlan>;

export const RecipeList = z.object({
  recipes: z.array(z.object({ file: text, description: text.optional(), sweep: z.boolean() })),
}).openapi("RecipeList");
export type RecipeList = z.infer<typeof RecipeList>;

export const RecipeSource = z.object({
  text,
  name: text.describe("How it is called: its path in the project, or its run"),
}).openapi("RecipeSource");
export type RecipeSource = z.infer<typeof RecipeSource>;
