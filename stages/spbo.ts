/**
 * spbo: stepwise pruning with binarization optimisation of every linear of a block.
 *
 * The three stages between statistics and packing meet in each column block of a layer: fine-search scores weights that compensation
 * has already moved (`mask_from: updated`), spbo binarizes them, compensate feeds the error on. So one step does the three, reads the
 * parameters of all and credits each with its seconds. With `mask_from: original` the masks are made by steps of fine-search.
 */
import { type QuantizedLayer, scalesPerBlock } from "../kernels/binary/ops.ts";
import { blockLinears } from "../models/tensors.ts";
import type { OutputRef, Step } from "../runner/stage.ts";
import { statistics } from "./calibrate.ts";
import { type Allocation, KEEP } from "./coarse_search.ts";
import { compensate } from "./compensate.ts";
import { fineSearch, searchedMasks } from "./fine_search.ts";
import type { LayerJob } from "../layers/layer.ts";
import { binarizeReads, layerJobs } from "./layer_jobs.ts";
import { blockWeights, from, type Planning, type Stage } from "./planning.ts";

/** The stage; see the file's head. */
export const spbo: Stage = { name: "spbo", version: 1, plan };

/** Codes and scales of one block's layers, `<layer>.safetensors` each. */
export function quantizedLayers(block: number): OutputRef {
  return from(`spbo[${block}]`, "quantized");
}

/** What a quantized block's manifest holds. */
export type QuantizedBlock = {
  /** By layer name, without `.weight`: everything but codes and scales. */
  readonly layers: Readonly<Record<string, Omit<QuantizedLayer, "codes" | "scales">>>;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) by layer name, on the undamped H. */
  readonly errors: Readonly<Record<string, number>>;
};

function plan(planning: Planning): Step[] {
  return Array.from({ length: planning.spec.blocks }, (_, block) => blockStep(planning, block));
}

function blockStep({ spec, tools, identities, recipe, device }: Planning, block: number): Step {
  const masked = recipe.stages["fine-search"].mask_from === "original";
  const reads = binarizeReads(recipe);
  const weights = blockWeights(spec);
  const linears = blockLinears(spec, block);
  return {
    id: `spbo[${block}]`,
    stage: "spbo",
    block,
    version: spbo.version,
    reads,
    facts: {
      weights: identities.blocks[block],
      device: device.kind,
      code: tools.sources.quantize,
      stages: { [fineSearch.name]: fineSearch.version, [compensate.name]: compensate.version },
    },
    inputs: { statistics: statistics(block), keep: KEEP, ...(masked ? { masks: searchedMasks(block) } : {}) },
    outputs: { quantized: { retain: "transient", bytes: 1.4 * weights } },
    estimate: { seconds: weights / 2e6, memory: 14 * weights + 12 * Math.max(...linears.map(({ cols }) => cols)) ** 2 },
    async run(context) {
      const { keep } = (await context.input("keep")).value as Allocation;
      const masks = masked ? await context.input("masks") : undefined;
      const found = await layerJobs(
        { linears, tensors: await tools.blockWeights(block), statistics: await context.input("statistics") },
        context,
        reads,
      );
      const jobs: LayerJob[] = [];
      for (const job of found) {
        const ranks = masks && (await masks.read(`${job.name}.safetensors`)).ranks.data as Uint8Array;
        jobs.push({ ...job, keep: keep[block], ...(ranks ? { ranks } : {}) });
      }
      let done = 0;
      const results = await tools.pool().quantize(jobs, {
        signal: context.signal,
        onLayer: ({ name }) => context.progress(++done, jobs.length, name),
      });
      const writer = context.output("quantized");
      const layers: Record<string, Omit<QuantizedLayer, "codes" | "scales">> = {};
      const errors: Record<string, number> = {};
      for (const { name, layer, error, seconds } of results) {
        const { codes, scales, ...rest } = layer;
        const blocks = Math.ceil(layer.cols / layer.groupSize);
        await writer.write(`${name}.safetensors`, {
          codes: { dtype: "U8", shape: [layer.rows, layer.cols], data: codes },
          scales: { dtype: "F32", shape: [layer.rows, blocks, scalesPerBlock(layer)], data: scales },
        });
        layers[name] = rest;
        errors[name] = error;
        for (const [stage, spent] of Object.entries(seconds)) context.spent(stage, spent / tools.pool().workers);
      }
      writer.value({ layers, errors });
      context.measure({ keep: keep[block], errors });
    },
  };
}
