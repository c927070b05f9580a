/** Settings of stages in combinations that together use every value of every option. */
import { models } from "./small_models_test_support.ts";

/** Settings of the stages of a recipe, by stage. */
export type StageSettings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Few candidates and rounds: quick, and the same code. */
export const quick = { candidates: 6, iterations: 2, salient_max: 10 };

/** Together they use every value of every option. */
export const combinations: readonly { readonly on: keyof typeof models; readonly stages: StageSettings }[] = [
  // PBS²P as printed, on OPT.
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "sequential", target: "layer" },
      "coarse-search": { metric: "lr", similarity: "token" },
      "fine-search": { metric: "hessian", mask_from: "updated", type: "semi-structured" },
      spbo: {
        ...{ split_points: 2, split_search: "free", split_on: "all", search_grid: "full" },
        ...{ solver: "alternate", schedule: "stepwise", profile: "free" },
        ...{ search_target: { salient: "scores", segments: "weights" }, salient: true },
      },
      compensate: { mode: "diagonal" },
      pack: { scales: "f16", mask: "enumerative", coding: "planes", embedding: "original", head: "original" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { metric: "ri" },
      "fine-search": { metric: "hessian-squared", mask_from: "original" },
      spbo: {
        ...{ split_search: "doubled", search_target: "weighted", search_grid: "coarse" },
        ...{ solver: "joint", resign: 1, split_on: "kept" },
      },
      compensate: { mode: "exact" },
      pack: { coding: "entropy", scales: "f32", mask: "bitmask", embedding: "q8", head: "q8" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { metric: "none", keep: 6 },
      "fine-search": { metric: "magnitude", type: "unstructured" },
      spbo: { split_points: 0, solver: "none", search_target: "scores" },
      compensate: { mode: "columnwise" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { similarity: "flattened", keep: 6 },
      "fine-search": { metric: "wanda", type: "structured" },
      spbo: { split_points: 1, schedule: "oneshot", search_target: "weights" },
      compensate: { mode: "none" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "sequential" },
      "coarse-search": { metric: "ri", of: 4, keep: 3 },
      "fine-search": { metric: "ria", mask_from: "original", type: "unstructured" },
      spbo: { split_points: 3, salient: false, solver: "joint", group_size: 64 },
      compensate: { mode: "exact" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { metric: "none", of: 16, keep: 12 },
      "fine-search": { metric: "si" },
      spbo: { group_size: 96, search_target: { salient: "weighted", segments: "scores" } },
      compensate: { mode: "exact", damping: 0.1 },
      pack: { mask: "bitmask", embedding: "trellis-8", head: "trellis-8" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { keep: 7, spread: 0 },
      "fine-search": { metric: "random", seed: 3 },
      spbo: { split_points: 2, solver: "joint" },
      compensate: { mode: "columnwise" },
      pack: { embedding: "trellis-7", head: "trellis-7" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "original" },
      "fine-search": { type: "none" },
      spbo: { solver: "alternate", resign: 1, split_points: 1, salient: false },
      compensate: { mode: "diagonal" },
      pack: { embedding: "trellis-6", head: "trellis-6" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "fine-search": { type: "none" },
      spbo: { profile: "binary", salient: false, split_points: 0, group_size: 128, resign: 1 },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "sequential" },
      "coarse-search": { metric: "none", keep: 6 },
      spbo: { profile: "ternary", salient: false, split_points: 0, group_size: 64 },
      compensate: { mode: "columnwise" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "sequential" },
      "coarse-search": { metric: "none", keep: 6 },
      "fine-search": { metric: "ria", mask_from: "original", inputs: "original" },
      stbllm: { variant: "as-published", search_target: "weights", candidates: 20 },
      pack: { embedding: "trellis-5", head: "trellis-5" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "sequential" },
      "coarse-search": { metric: "ri", keep: 6 },
      "fine-search": { metric: "wanda", mask_from: "original", inputs: "original" },
      stbllm: { variant: "as-released", search_target: "scores" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { metric: "lr", keep: 6 },
      "fine-search": { metric: "hessian", mask_from: "original", inputs: "original" },
      stbllm: { variant: "masked-again", group_size: 64 },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "original" },
      "fine-search": { type: "none", inputs: "seen" },
      billm: { search_target: "scores" },
      compensate: { mode: "exact" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { keep: 6 },
      billm: { search_target: "weights" },
      compensate: { mode: "columnwise" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "renewed" },
      "fine-search": { type: "unstructured" },
      spbo: { solver: "joint", block_metric: "raw" },
      compensate: { mode: "columnwise" },
      pack: { embedding: "trellis-4", head: "trellis-4" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: {
        inputs: "renewed",
        target: "original",
        propagation: "auto",
        propagation_damping: "auto",
        residual: true,
        held_out: 2,
      },
      spbo: { solver: "joint", block_metric: "conditional" },
      compensate: { mode: "exact" },
      pack: { embedding: "trellis-3", head: "trellis-3" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "renewed", target: "original" },
      "coarse-search": { metric: "ri", keep: 6 },
      "fine-search": { metric: "ria", mask_from: "original", inputs: "original" },
      stbllm: { variant: "as-published" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "sequential", target: "original" },
      "arb-llm": { variant: "arb-rc", column_groups: true, search_target: "scores" },
    },
  },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "original" },
      "arb-llm": { variant: "arb-x", column_groups: false, search_target: "weights" },
    },
  },
  {
    on: "llama",
    stages: { calibrate: { inputs: "renewed" }, "arb-llm": { variant: "arb" }, compensate: { mode: "exact" } },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "renewed", target: "original" },
      gptq: { bits: 3, act_order: true, group_size: "row" },
      compensate: { mode: "columnwise" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "renewed", target: "original" },
      "coarse-search": { metric: "sensitivity", bits: 3 },
      trellis: { states: 4 },
      compensate: { mode: "columnwise" },
    },
  },
  { on: "llama", stages: { calibrate: { inputs: "original" }, rtn: { bits: 3, grid: "minmax" } } },
  { on: "opt", stages: { calibrate: { inputs: "sequential" }, rtn: { bits: 1, grid: "sign", group_size: "row" } } },
  {
    on: "llama",
    stages: {
      calibrate: { inputs: "sequential", target: "original" },
      "coarse-search": { keep: 6 },
      "fine-search": { metric: "hessian" },
      prune: { values: "f16" },
      compensate: { mode: "columnwise" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "original" },
      "coarse-search": { keep: 6 },
      "fine-search": { metric: "wanda" },
      prune: { values: "f32" },
    },
  },
  {
    on: "opt",
    stages: {
      calibrate: { inputs: "sequential", target: "original", propagation_skip: ["fc2"] },
      "fine-search": { mask_from: "original", metric: "wanda" },
      compensate: { mode: "none" },
    },
  },
];
