/**
 * The recipe: one zod schema is the source of validation, defaults, documentation and the editors' JSON Schema.
 *
 * Not the reading of files (`recipe.ts`) nor the printing of what is wrong (`diagnostics.ts`).
 */
import * as z from "zod";

const count = (least: number, most: number) => z.int().min(least).max(most);

/** Where weights come from: a folder or file beside the recipe, or the Hugging Face Hub. */
export const Model = z.union([
  z.strictObject({
    path: z.string().min(1).describe("Folder with safetensors, or a .gguf file; relative to the recipe"),
    config: z.string().min(1).optional().describe(
      "Folder with config.json and tokenizer.json, where they do not lie beside the weights",
    ),
  }),
  z.strictObject({
    hub: z.string().regex(/^[\w.-]+\/[\w.-]+$/).describe("Hugging Face id, owner/name"),
    revision: z.string().min(1).default("main").describe(
      "Commit, tag or branch; a commit makes the recipe reproducible",
    ),
    file: z.string().min(1).optional().describe("One file of the repository, such as a .gguf"),
  }),
]);

/** Text or token windows. */
export const Dataset = z.union([
  z.enum(["wikitext2", "ptb", "c4"]),
  z.strictObject({ text: z.string().min(1).describe("A UTF-8 text file, relative to the recipe") }),
  z.strictObject({
    windows: z.string().min(1).describe("A safetensors file with token ids [windows, length], relative to the recipe"),
    tensor: z.string().min(1).describe("Name of the tensor in it"),
  }),
]);

/** Text to measure perplexity on. */
export const Evaluation = z.union([
  z.enum(["wikitext2", "ptb", "c4"]),
  z.strictObject({
    name: z.string().regex(/^[a-z0-9-]+$/).describe("Name in metrics.json"),
    dataset: Dataset,
    samples: count(1, 1_000_000).optional().describe("At most so many windows"),
    length: count(2, 1_048_576).optional().describe("Tokens per window; default 2048 or the model's maximum"),
  }),
]);

const target = z.enum(["weights", "weighted", "scores"]);

export const Stages = z.strictObject({
  calibrate: z.strictObject({
    dataset: Dataset.default("c4"),
    samples: count(1, 1_000_000).default(128).describe("Sequences"),
    length: count(2, 1_048_576).default(2048).describe("Tokens per sequence"),
    seed: count(0, 4_294_967_295).default(0),
    inputs: z.enum(["sequential", "original"]).default("sequential").describe(
      "Whose outputs a block sees: the compressed blocks' before it, or the original model's",
    ),
  }).prefault({}),
  "coarse-search": z.strictObject({
    metric: z.enum(["lr", "ri", "none"]).default("lr"),
    similarity: z.enum(["token", "flattened"]).default("token").describe(
      "lr: mean of the tokens' cosines, or one cosine of all",
    ),
    keep: count(1, 256).default(4).describe("N of N:M, the mean over blocks"),
    of: count(1, 256).default(8).describe("M of N:M"),
    spread: count(0, 255).default(1).describe("N_high = N + spread, N_low = N − spread"),
  }).prefault({}),
  "fine-search": z.strictObject({
    metric: z.enum(["hessian", "hessian-squared", "magnitude", "wanda", "ria", "si", "random"]).default("hessian"),
    mask_from: z.enum(["updated", "original"]).default("updated"),
    type: z.enum(["semi-structured", "unstructured", "structured", "none"]).default("semi-structured"),
    seed: count(0, 4_294_967_295).default(0).describe("Of metric random"),
  }).prefault({}),
  spbo: z.strictObject({
    group_size: count(8, 65_536).default(128),
    salient: z.boolean().default(true).describe("Binarize the most salient columns twice"),
    salient_max: count(1, 4096).default(49).describe("Most salient columns tried"),
    split_points: count(0, 3).default(2),
    split_search: z.enum(["free", "doubled"]).default("free"),
    split_on: z.enum(["kept", "all"]).default("kept"),
    candidates: count(3, 400).default(40).describe("Percentiles tried as thresholds, from 10 % to 90 %"),
    search_target: z.union([target, z.strictObject({ salient: target, segments: target })]).default("weights"),
    solver: z.enum(["alternate", "joint", "none"]).default("alternate").describe("none: prune, then binarize"),
    schedule: z.enum(["stepwise", "oneshot"]).default("stepwise"),
    iterations: count(0, 10_000).default(15),
    resign: count(0, 100).default(0).describe("Sweeps that choose signs again"),
  }).prefault({}),
  compensate: z.strictObject({
    mode: z.enum(["diagonal", "exact", "columnwise", "none"]).default("diagonal"),
    damping: z.number().min(0).max(1).default(0.01).describe("Times the mean of diag(H)"),
  }).prefault({}),
  pack: z.strictObject({
    scales: z.enum(["f16", "f32"]).default("f16"),
    mask: z.enum(["enumerative", "bitmask"]).default("enumerative"),
  }).prefault({}),
  evaluate: z.strictObject({
    perplexity: z.array(Evaluation).default(["wikitext2"]),
    tasks: z.array(z.never()).default([]),
  }).prefault({}),
});

export const RecipeSchema = z.strictObject({
  extends: z.string().min(1).optional().describe(
    "Another recipe, relative to this one, whose values this one overrides",
  ),
  name: z.string().min(1).optional(),
  description: z.string().optional(),
  model: Model,
  stages: Stages.prefault({}),
  expect: z.record(
    z.string(),
    z.strictObject({ value: z.number(), within: z.number().positive().describe("Relative tolerance") }),
  ).optional()
    .describe("Perplexities a run must meet, by evaluation name"),
});

/** A complete recipe: every default filled in. */
export type Recipe = z.infer<typeof RecipeSchema>;
