/**
 * The recipe: one zod schema is the source of validation, defaults, documentation and the editors' JSON Schema.
 *
 * Not the reading of files (`recipe.ts`), nor rules between keys (`rules.ts`), nor the printing of what is wrong
 * (`diagnostics.ts`).
 */
import * as z from "zod";

const count = (least: number, most: number) => z.int().min(least).max(most);

/** A choice of words; a word that a later version will know gets a sentence of its own. */
function words<const T extends readonly [string, ...string[]]>(
  values: T,
  later: Readonly<Record<string, string>> = {},
) {
  return z.enum(values, { error: ({ input }) => typeof input === "string" ? later[input] : undefined });
}

const texts = ["wikitext2", "ptb", "c4"] as const;

/** Where weights come from: a folder or file beside the recipe, or the Hugging Face Hub. */
export const Model = z.union([
  z.strictObject({
    path: z.string().min(1).describe("Folder with safetensors files, or a .gguf file; relative to the recipe"),
    config: z.string().min(1).optional().describe(
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

/** Text or token windows. */
export const Dataset = z.union([
  z.enum(texts),
  z.strictObject({ text: z.string().min(1).describe("A UTF-8 text file, relative to the recipe") }),
  z.strictObject({
    windows: z.string().min(1).describe("A safetensors file with token ids [windows, length], relative to the recipe"),
    tensor: z.string().min(1).describe("Name of the tensor in it"),
  }),
]);

/** Text to measure perplexity on. */
export const Evaluation = z.union([
  z.enum(texts),
  z.strictObject({
    name: z.string().regex(/^[a-z0-9-]+$/, "small letters, digits and hyphens only").describe("Name in metrics.json"),
    dataset: Dataset.describe("Text or token windows to measure on"),
    samples: count(1, 1_000_000).optional().describe("At most so many windows; default: all the protocol has"),
    length: count(2, 1_048_576).optional().describe("Tokens per window; default 2048 or the model's maximum"),
  }),
]);

const target = z.enum(["weights", "weighted", "scores"]);

const Calibrate = z.strictObject({
  dataset: Dataset.default("c4").describe("Text whose activations weigh the errors (PBS²P: C4)"),
  samples: count(1, 1_000_000).default(128).describe("Sequences (GPTQ and its lineage: 128)"),
  length: count(2, 1_048_576).default(2048).describe("Tokens per sequence; at most the model's maximum"),
  seed: count(0, 4_294_967_295).default(0).describe("Of the drawing of sequences from text"),
  inputs: words(["sequential", "original"], {
    renewed: "`renewed` is not available in this version; `sequential` is the nearest",
  }).default("sequential").describe(
    "Whose outputs a block sees: those of the compressed blocks before it (the lineage), or the original model's " +
      "(every calibration is then shared by all settings)",
  ),
  target: words(["layer"], {
    original: "`original` is not available in this version; `layer`, the lineage's, is the only one",
  }).default("layer").describe("What a layer is to match: its own output on the inputs that it now sees"),
});

const CoarseSearch = z.strictObject({
  metric: z.enum(["lr", "ri", "none"]).default("lr").describe(
    "Importance of a block: lr = cosine of its input and output (PBS²P), ri = relative importance (STBLLM), " +
      "none = every block alike",
  ),
  similarity: z.enum(["token", "flattened"]).default("token").describe(
    "lr only: mean of the tokens' cosines, or one cosine of all",
  ),
  keep: count(1, 256).default(4).describe("N of N:M, weights kept of every `of`: the mean over blocks"),
  of: count(1, 256).default(8).describe("M of N:M, consecutive inputs; must divide group_size and each layer's inputs"),
  spread: count(0, 255).default(1).describe(
    "Weights: N is keep + spread in the most important block, keep − spread in the least, clamped to 1..of",
  ),
});

const FineSearch = z.strictObject({
  metric: z.enum(["hessian", "hessian-squared", "magnitude", "wanda", "ria", "si", "random"]).default("hessian")
    .describe(
      "Score of a weight: hessian w²/U² (BiLLM, SparseGPT), hessian-squared w²/[H⁻¹]² (PBS²P as printed), " +
        "magnitude |w|, wanda |w|·‖X‖, ria, si (STBLLM), random",
    ),
  mask_from: z.enum(["updated", "original"]).default("updated").describe(
    "Score weights after the compensation of earlier column blocks, or all of them beforehand",
  ),
  type: z.enum(["semi-structured", "unstructured", "structured", "none"]).default("semi-structured").describe(
    "N of every M inputs; the same share anywhere in a row; whole inputs; or nothing pruned",
  ),
  seed: count(0, 4_294_967_295).default(0).describe("Of metric random"),
});

const Spbo = z.strictObject({
  group_size: count(8, 65_536).default(128).describe("Consecutive inputs (columns) that share scales (PBS²P: 128)"),
  salient: z.boolean().default(true).describe("Binarize the most salient columns twice (BiLLM)"),
  salient_max: count(1, 4096).default(49).describe("Columns: at most so many are salient; clamped to group width − 1"),
  split_points: count(0, 3).default(2).describe("Thresholds of |w| that make segments of their own scales"),
  split_search: z.enum(["free", "doubled"]).default("free").describe(
    "Thresholds chosen freely, or the second twice the first (STBLLM)",
  ),
  split_on: z.enum(["kept", "all"]).default("kept").describe("Weights that the searches look at"),
  candidates: count(3, 400).default(40).describe("Percentiles tried as thresholds, from 10 % to 90 %"),
  search_grid: z.enum(["full", "coarse"]).default("full").describe(
    "Every number of salient columns and every choice of thresholds is tried; or, coarse, every sixth number and then " +
      "around the best, and every second percentile in turn for each of several thresholds",
  ),
  search_target: z.union([
    target,
    z.strictObject({
      salient: target.describe("For the choice of salient columns"),
      segments: target.describe("For the choice of thresholds"),
    }),
  ]).default("weights").describe(
    "What the searches binarize to judge a choice: weights, weights weighted by 1/U² per column, or scores " +
      "(the official BiLLM, ARB-LLM and STBLLM)",
  ),
  solver: z.enum(["alternate", "joint", "none"]).default("alternate").describe(
    "Scales: PBS²P's alternating rounds, one least-squares solve over all groups, or none = prune, then binarize",
  ),
  schedule: z.enum(["stepwise", "oneshot"]).default("stepwise").describe(
    "Prune one weight of every M at a time with rounds between (PBS²P), or all at once",
  ),
  iterations: count(0, 10_000).default(15).describe("Rounds per step, T in PBS²P (solver alternate)"),
  resign: count(0, 100).default(0).describe("Sweeps that choose signs again, each followed by a solve"),
});

const Compensate = z.strictObject({
  mode: z.enum(["diagonal", "exact", "columnwise", "none"]).default("diagonal").describe(
    "How a column block's error is fed to later ones: diagonal (BiLLM and PBS²P), exact (the optimum for a block), " +
      "columnwise (GPTQ's order), none",
  ),
  damping: z.number().min(0).max(1).default(0.01).describe("Times the mean of diag(H), added to the diagonal"),
});

const Pack = z.strictObject({
  scales: z.enum(["f16", "f32"]).default("f16").describe("Type of the stored scales"),
  mask: z.enum(["enumerative", "bitmask"]).default("enumerative").describe(
    "Keep masks as the index of the pattern (log2 C(M,N) bits), or one bit a weight",
  ),
});

const Evaluate = z.strictObject({
  perplexity: z.array(Evaluation).default(["wikitext2"]).describe("Texts to measure, on the packed model"),
  tasks: z.array(z.string()).max(0, "tasks are not available in this version").default([])
    .describe("Zero-shot tasks; none in this version"),
});

/** Settings of every stage, by the stage's name. */
export const Stages = z.strictObject({
  calibrate: Calibrate.prefault({}).describe(
    "Runs text through the model and gathers, per block, the second moments S of each linear layer's inputs",
  ),
  "coarse-search": CoarseSearch.prefault({}).describe("Chooses how many weights each block keeps"),
  "fine-search": FineSearch.prefault({}).describe("Chooses which weights are kept"),
  spbo: Spbo.prefault({}).describe(
    "Stepwise pruning with binarization optimisation, on one group of columns at a time",
  ),
  compensate: Compensate.prefault({}).describe("Feeds the error of each column block to the columns after it"),
  pack: Pack.prefault({}).describe("Writes the compressed model; its bytes are the claim"),
  evaluate: Evaluate.prefault({}).describe("Measures the original and the packed model"),
});

/** The whole recipe. */
export const RecipeSchema = z.strictObject({
  extends: z.string().min(1).optional().describe(
    "Another recipe, relative to this one, whose values this one overrides",
  ),
  name: z.string().min(1).optional().describe("For people and run folders; default: the file's name"),
  description: z.string().optional().describe("For people"),
  model: Model,
  stages: Stages.prefault({}).describe("What is done, in this order"),
  expect: z.record(
    z.string(),
    z.strictObject({
      value: z.number().describe("Perplexity"),
      within: z.number().positive().describe("Relative tolerance, 0.03 = 3 %"),
    }),
  ).optional().describe("Perplexities a run must meet, by evaluation name"),
});

/** A complete recipe: every default filled in. */
export type Recipe = z.infer<typeof RecipeSchema>;
