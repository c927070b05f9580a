/**
 * fine-search: which weights stay, of every M.
 *
 * With `mask_from: updated` (default) masks depend on compensation and are made inside the step of spbo; this stage plans steps of
 * its own only with `mask_from: original`, where all masks of a layer follow from its original weights and can be cached apart.
 */
import { blockLinears } from "../models/tensors.ts";
import type { OutputRef, Step } from "../runner/stage.ts";
import { statistics } from "./calibrate.ts";
import { layerJobs, searchReads } from "./layer_jobs.ts";
import { blockWeights, from, type Planning, type Stage } from "./planning.ts";

/** The stage; see the file's head. */
export const fineSearch: Stage = { name: "fine-search", version: 1, plan };

/** Importance ranks within every M of one block's layers, `<layer>.safetensors` each. */
export function searchedMasks(block: number): OutputRef {
  return from(`fine-search[${block}]`, "masks");
}

function plan(planning: Planning): Step[] {
  if (planning.recipe.stages["fine-search"].mask_from === "updated") return [];
  return Array.from({ length: planning.spec.blocks }, (_, block) => blockStep(planning, block));
}

function blockStep({ spec, tools, identities, recipe, device }: Planning, block: number): Step {
  const reads = searchReads(recipe);
  const weights = blockWeights(spec);
  const linears = blockLinears(spec, block);
  return {
    id: `fine-search[${block}]`,
    stage: "fine-search",
    block,
    version: fineSearch.version,
    reads,
    facts: { weights: identities.blocks[block], device: device.kind, code: tools.sources.quantize },
    inputs: { statistics: statistics(block) },
    outputs: { masks: { retain: "keep", bytes: weights } },
    estimate: { seconds: weights / 3e7, memory: 14 * weights },
    async run(context) {
      const jobs = await layerJobs(
        { linears, tensors: await tools.blockWeights(block), statistics: await context.input("statistics") },
        context,
        reads,
      );
      const results = await tools.pool().searchMasks(jobs, { signal: context.signal });
      for (const [index, { name, ranks }] of results.entries()) {
        const { rows, cols } = linears[index];
        await context.output("masks").write(`${name}.safetensors`, {
          ranks: { dtype: "U8", shape: [rows, cols], data: ranks },
        });
      }
    },
  };
}
