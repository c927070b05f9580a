/**
 * The stage of a method of `layers/methods`: it bears the method's name and has its parameters, and quantizes every linear of a block.
 *
 * What comes between statistics and packing meets in each column block of a layer: fine-search scores weights that compensation has
 * already moved (`mask_from: updated`), the method quantizes them, compensate feeds the error on. So one step does the three, reads the
 * parameters of all and credits each with its seconds. With `mask_from: original` the masks are made by steps of fine-search.
 */
import type { LayerContent } from "../checkpoints/packed/format.ts";
import type { LayerJob, MethodSource } from "../layers/job.ts";
import type { Method } from "../layers/methods/method.ts";
import { blockLinears, linearWeights } from "../models/tensors.ts";
import type { Rule } from "../recipes/language.ts";
import type { Step } from "../runner/stage.ts";
import { type Allocation, from, type QuantizedBlock, type Roles } from "./artifacts.ts";
import { layerJobs } from "./layer_jobs.ts";
import type { Planning, Stage } from "./planning.ts";

/** The stage of a method. @param source the file that it comes from, where it is none of this project's */
export function methodStage<P>(method: Method<P>, source?: MethodSource): Stage<P> {
  const { name } = method, path = (key: string) => `stages.${name}.${key}`;
  const rules: readonly Rule[] = (method.rules ?? []).map((make) => make(path));
  return {
    name,
    summary: method.summary,
    params: method.params,
    rules,
    makes: ["quantized"],
    needs: method.needs,
    // An allocation counts only where ranks, which need it, say what to prune.
    uses: ["ranks", "feedback", "packed"],
    offer: (settings) => ({
      quantized: {
        stage: name,
        method: method.label,
        format: method.format,
        block: (block) => from(`${name}[${block}]`, "quantized"),
        reads: method.reads(settings).map(path),
        groupReads: (method.groupKeys ?? []).map(path),
        ...(source ? { source } : {}),
      },
    }),
    plan(planning) {
      const { spec, roles: { statistics } } = planning;
      if (statistics === undefined) return [];
      return Array.from({ length: spec.blocks }, (_, block) => blockStep(planning, { name, statistics, block }));
    },
  };
}

function blockStep(
  planning: Planning,
  { name, statistics, block }: {
    readonly name: string;
    readonly statistics: Roles["statistics"];
    readonly block: number;
  },
): Step {
  const { spec, identities, device, roles: { allocation, ranks, feedback } } = planning;
  const { tools, code } = planning.use(import.meta.url, ["weights", "layers"]);
  const planned = layerJobs(planning.roles, "quantize");
  const weights = linearWeights(spec), linears = blockLinears(spec, block);
  const prunes = allocation !== undefined && ranks !== undefined;
  // What layers do in the name of a stage that the recipe lacks, such as H's factor, is the method's own.
  const absent = [...(ranks ? [] : ["fine-search"]), ...(feedback ? [] : ["compensate"])];
  return {
    id: `${name}[${block}]`,
    stage: name,
    block,
    code,
    reads: planned.reads,
    facts: { weights: identities.blocks[block], device },
    inputs: {
      statistics: statistics.block(block),
      ...(prunes ? { keep: allocation.keep } : {}),
      ...(prunes && ranks.masks ? { masks: ranks.masks(block) } : {}),
    },
    outputs: { quantized: { retain: "transient", bytes: 1.4 * weights } },
    estimate: { seconds: weights / 2e6, memory: 14 * weights + 12 * Math.max(...linears.map(({ cols }) => cols)) ** 2 },
    async run(context) {
      const keep = prunes ? ((await context.input("keep")).value as Allocation).keep[block] : 1;
      const masks = prunes && ranks.masks ? await context.input("masks") : undefined;
      const found = await planned.make(
        { linears, tensors: await tools.weights.block(block), statistics: await context.input("statistics") },
        context,
      );
      const jobs: LayerJob[] = [];
      for (const job of found) {
        const given = masks && (await masks.read(`${job.name}.safetensors`)).ranks.data as Uint8Array;
        jobs.push({ ...job, keep, ...(given ? { ranks: given } : {}) });
      }
      let done = 0;
      const pool = tools.layers();
      const results = await pool.quantize(jobs, {
        signal: context.signal,
        onLayer: ({ name }) => context.progress(++done, jobs.length, name),
      });
      const writer = context.output("quantized");
      const layers: Record<string, Omit<LayerContent, "arrays">> = {};
      const errors: Record<string, number> = {};
      for (const { name: layer, layer: { arrays, ...rest }, error, seconds } of results) {
        await writer.write(`${layer}.safetensors`, arrays);
        layers[layer] = rest;
        errors[layer] = error;
        for (const [stage, spent] of Object.entries(seconds)) {
          context.spent(absent.includes(stage) ? name : stage, spent / pool.workers);
        }
      }
      writer.value({ layers, errors } satisfies QuantizedBlock);
      context.measure({ ...(prunes ? { keep } : {}), errors });
    },
  };
}
