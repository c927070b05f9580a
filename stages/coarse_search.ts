/**
 * coarse-search: how many weights each transformer block keeps of every M, from how redundant the block is in the original model.
 *
 * With `calibrate.inputs: original` the similarities come with the statistics; otherwise one pass of the original model makes them.
 */
import { importanceOf } from "../kernels/scores/ops.ts";
import { blockLinears, embeddingShapes } from "../models/tensors.ts";
import type { InputSums } from "../models/forward.ts";
import type { OutputRef, Step } from "../runner/stage.ts";
import { allocateByOutliers, allocateByRedundancy } from "./allocation.ts";
import { passBlock } from "./block_pass.ts";
import { CALIBRATION_WINDOWS, statistics } from "./calibrate.ts";
import { embeddedHidden, storedHidden, storedWindows } from "./hidden_states.ts";
import { forwardMemory, forwardSeconds, from, hiddenBytes, type Planning, type Stage } from "./planning.ts";
import { redundancy, type Similarity } from "./similarity.ts";

/** The stage; see the file's head. */
export const coarseSearch: Stage = { name: "coarse-search", version: 1, plan };

/** N of every block. */
export const KEEP: OutputRef = from("coarse-search", "keep");

/** What is measured of a block: its similarity, and for `ri` its share of outlying scores. */
type Measured = {
  readonly similarity: Pick<Similarity, keyof Similarity>;
  readonly outliers?: number;
};

/** What `KEEP` holds. */
export type Allocation = {
  /** N per block. */
  readonly keep: readonly number[];
  /** Mean of `keep`. */
  readonly mean: number;
  /** What the blocks were ranked by; empty for metric none. */
  readonly measured: readonly number[];
};

/** Scores above this many times their mean count as outlying (STBLLM's Hyper_m). */
const OUTLYING = 6;

function plan(planning: Planning): Step[] {
  const { metric } = planning.recipe.stages["coarse-search"];
  if (metric === "none") return [allocationStep(planning, {})];
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  const shared = metric === "lr" && planning.recipe.stages.calibrate.inputs === "original";
  const measured = (block: number) => shared ? statistics(block) : from(`coarse-search[${block}]`, "measured");
  const inputs = Object.fromEntries(blocks.map((block) => [`block ${block}`, measured(block)]));
  const passes = shared ? [] : blocks.map((block) => blockStep(planning, block));
  return [...passes, allocationStep(planning, inputs)];
}

/** One block of the original model, over the calibration windows. */
function blockStep(
  { spec, tools, calibration, identities, architecture, forward: { provider }, recipe }: Planning,
  block: number,
): Step {
  const outliers = recipe.stages["coarse-search"].metric === "ri";
  const last = block === spec.blocks - 1;
  return {
    id: `coarse-search[${block}]`,
    stage: "coarse-search",
    block,
    version: coarseSearch.version,
    reads: [],
    facts: {
      architecture,
      outliers,
      weights: identities.blocks[block],
      provider,
      code: tools.sources.forward,
      ...(block === 0 ? { embedding: identities.embedding } : {}),
    },
    inputs: block === 0
      ? { windows: CALIBRATION_WINDOWS }
      : { windows: CALIBRATION_WINDOWS, previous: from(`coarse-search[${block - 1}]`, "hidden") },
    outputs: {
      measured: { retain: "keep", bytes: 500 },
      ...(last ? {} : { hidden: { retain: "transient", bytes: hiddenBytes(spec, calibration) } }),
    },
    estimate: { seconds: forwardSeconds(spec, calibration, false), memory: forwardMemory(spec, false) },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
      const forward = await tools.forward();
      const source = block === 0
        ? embeddedHidden(forward, await tools.weights(embeddingShapes(spec)), text)
        : storedHidden(await context.input("previous"));
      const weights = await tools.blockWeights(block);
      const { similarity, gathered } = await passBlock(
        {
          forward,
          spec,
          text,
          source,
          block,
          weights,
          gather: outliers ? "diagonal" : "none",
          ...(last ? { each: () => Promise.resolve() } : { output: context.output("hidden") }),
        },
        context,
      );
      const share: { readonly [key: string]: number } = outliers
        ? { outliers: outlierShare(blockLinears(spec, block), await tools.blockWeights(block), gathered) }
        : {};
      context.output("measured").value({ similarity: { ...similarity }, ...share });
    },
  };
}

function allocationStep({ spec, recipe }: Planning, inputs: Step["inputs"]): Step {
  const { metric } = recipe.stages["coarse-search"];
  const path = (key: string) => `stages.coarse-search.${key}`;
  const reads = [
    "metric",
    "keep",
    ...(metric === "none" ? [] : ["of", "spread"]),
    ...(metric === "lr" ? ["similarity"] : []),
  ];
  return {
    id: KEEP.step,
    stage: "coarse-search",
    version: coarseSearch.version,
    reads: reads.map(path),
    facts: { blocks: spec.blocks },
    inputs,
    outputs: { keep: { retain: "keep", bytes: 500 } },
    estimate: { seconds: 0.01, memory: 1e6 },
    async run(context) {
      const keep = context.param<number>(path("keep"));
      const measured: number[] = [];
      for (const name of Object.keys(inputs)) {
        const { similarity, outliers } = (await context.input(name)).value as Measured;
        measured.push(outliers ?? redundancy(similarity, context.param(path("similarity"))));
      }
      const budget = () => ({
        keep,
        of: context.param<number>(path("of")),
        spread: context.param<number>(path("spread")),
      });
      const kept = metric === "none"
        ? new Array<number>(spec.blocks).fill(keep)
        : (metric === "ri" ? allocateByOutliers : allocateByRedundancy)(measured, budget());
      const mean = kept.reduce((sum, n) => sum + n, 0) / kept.length;
      context.output("keep").value({ keep: kept, mean, measured });
      context.measure({ keep: kept, mean, measured });
    },
  };
}

/** Share of a block's scores (STBLLM's SI before standardising) above six times their mean. */
function outlierShare(
  linears: ReturnType<typeof blockLinears>,
  weights: Readonly<Record<string, Float32Array>>,
  gathered: Readonly<Record<string, InputSums>>,
): number {
  const scores = linears.map(({ name, rows, cols, input }) => {
    const { diagonal } = gathered[input];
    if (diagonal === undefined) throw new Error(`Cannot score ${name} as the diagonal of its S was not gathered`);
    const out = new Float32Array(rows * cols);
    const w = weights[`${name}.weight`];
    const rowSums = new Float32Array(rows), columnSums = new Float32Array(cols);
    for (let r = 0, at = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++, at++) {
        rowSums[r] += Math.abs(w[at]);
        columnSums[c] += Math.abs(w[at]);
      }
    }
    const inputNorm = Float32Array.from(diagonal, Math.sqrt);
    importanceOf(out, w, { rows, cols, metric: "ria", inputNorm, rowSums, columnSums });
    return out;
  });
  let sum = 0, count = 0, above = 0;
  for (const score of scores) for (const value of score) sum += value, count++;
  for (const score of scores) for (const value of score) if (value > OUTLYING * sum / count) above++;
  return above / count;
}
