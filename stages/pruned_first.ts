/** The weights that calibrate gathers with, where the method prunes before anything else (`Method.prunesFirst`). */
import { pruneWeights } from "../layers/prune_first.ts";
import { blockLinears } from "../models/tensors.ts";
import type { Weights } from "../models/forward.ts";
import type { Step, StepContext } from "../runner/stage.ts";
import { type Allocation, keepAllocation } from "./artifacts.ts";
import type { Planning } from "./planning.ts";

/** What a step that gathers statistics needs for it. */
export interface PrunedFirst {
  /** Whether anything is pruned. */
  readonly active: boolean;
  readonly inputs: Step["inputs"];
  /** Recipe paths. */
  readonly reads: readonly string[];
  /** Sets a block's pruned weights to 0, in place. */
  prune(weights: Weights, context: Pick<StepContext, "input" | "param">): Promise<Weights>;
}

/** Plans it: nothing where the method does not ask for it, or its masks come from these very statistics. */
export function prunedFirst({ spec, roles }: Pick<Planning, "spec" | "roles">, block: number): PrunedFirst {
  const { quantized, ranks, statistics } = roles, allocation = keepAllocation(roles);
  const wanted = quantized?.prunesFirst && ranks?.inputs === "original" && ranks.search.type !== "none";
  if (!wanted || statistics?.original || ranks.masks === undefined || allocation === undefined) {
    return { active: false, inputs: {}, reads: [], prune: (weights) => Promise.resolve(weights) };
  }
  return {
    active: true,
    inputs: { masks: ranks.masks(block), keep: allocation.keep },
    reads: [allocation.reads.of, ...ranks.typeReads],
    async prune(weights, context) {
      const { keep } = (await context.input("keep")).value as Allocation;
      const masks = await context.input("masks"), pruned = context.param<number>(allocation.reads.of) - keep[block];
      for (const { name } of blockLinears(spec, block)) {
        const ranks = (await masks.read(`${name}.safetensors`)).ranks.data as Uint8Array;
        pruneWeights({ weight: weights[`${name}.weight`], ranks }, pruned);
      }
      return weights;
    },
  };
}
