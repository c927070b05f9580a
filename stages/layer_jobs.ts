/** The jobs of one block's layers, and which of the recipe's values their results depend on. */
import type { LinearSpec } from "../models/spec.ts";
import { type Recipe, Stages } from "./schema.ts";
import type { ArtifactReader, StepContext } from "../runner/stage.ts";
import type { LayerStages, MaskJob } from "../layers/layer.ts";

/** Where a block's layers are taken from. */
export interface BlockSources {
  readonly linears: readonly LinearSpec[];
  /** The block's tensors by canonical name; handed over. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
  /** S by `LinearSpec.input`, as calibrate stores it. */
  readonly statistics: ArtifactReader;
}

/** Recipe paths that the choice of masks reads. */
export function searchReads({ stages }: Recipe): string[] {
  const { metric, type } = stages["fine-search"];
  return [
    "stages.coarse-search.of",
    "stages.fine-search.metric",
    "stages.fine-search.type",
    "stages.spbo.group_size",
    "stages.compensate.damping",
    ...(metric === "random" && type !== "none" ? ["stages.fine-search.seed"] : []),
  ];
}

/**
 * Recipe paths that the binarization of a block reads: only those that matter for its other choices, so that, say, a change of
 * `iterations` re-runs nothing where the joint solver needs none.
 */
export function binarizeReads(recipe: Recipe): string[] {
  const { spbo, "fine-search": fine } = recipe.stages;
  const chosen: Record<string, boolean> = {
    salient_max: spbo.salient,
    split_search: spbo.split_points === 2,
    split_on: spbo.salient || spbo.split_points > 0,
    candidates: spbo.split_points > 0,
    search_grid: spbo.salient || (spbo.split_points > 1 && spbo.split_search === "free"),
    search_target: spbo.salient || spbo.split_points > 0,
    schedule: spbo.solver === "alternate",
    iterations: spbo.solver === "alternate",
  };
  const keys = Object.keys(spbo).filter((key) => chosen[key] ?? true);
  const search = fine.mask_from === "updated"
    ? searchReads(recipe)
    : ["stages.coarse-search.of", "stages.fine-search.type", "stages.compensate.damping"];
  return [
    ...new Set([...search, ...keys.map((key) => `stages.spbo.${key}`), "stages.compensate.mode", "stages.pack.scales"]),
  ].sort();
}

/**
 * The jobs of a block. What was not declared to be read stays at its default, so that it cannot matter unseen.
 *
 * @param reads recipe paths that the step declares
 */
export async function layerJobs(
  { linears, tensors, statistics }: BlockSources,
  context: Pick<StepContext, "param">,
  reads: readonly string[],
): Promise<MaskJob[]> {
  const stages = readStages(context, reads);
  const of = context.param<number>("stages.coarse-search.of");
  const { sequences } = statistics.value as { readonly sequences: number };
  const hessians = new Map<string, Float32Array>();
  const jobs: MaskJob[] = [];
  for (const { name, rows, cols, input } of linears) {
    const upper = hessians.get(input) ?? await readHessian(statistics, input, sequences);
    hessians.set(input, upper);
    jobs.push({ name, rows, cols, of, weight: tensors[`${name}.weight`], upper, stages });
  }
  return jobs;
}

/** H = (2/sequences)·XᵀX, as the lineage scales it. */
async function readHessian(statistics: ArtifactReader, input: string, sequences: number): Promise<Float32Array> {
  const { upper } = await statistics.read(`${input}.safetensors`);
  const hessian = upper.data as Float32Array;
  const factor = 2 / sequences;
  for (let i = 0; i < hessian.length; i++) hessian[i] *= factor;
  return hessian;
}

function readStages(context: Pick<StepContext, "param">, reads: readonly string[]): LayerStages {
  const stages: Record<string, Record<string, unknown>> = structuredClone(Stages.parse({}));
  for (const path of reads) {
    const [, stage, key] = path.split(".");
    stages[stage][key] = context.param(path);
  }
  return Stages.parse(stages);
}
