/** What steps of coarse-search that quantize layers for a trial have in common: on a few windows, towards their own outputs. */
import type { BlockRun } from "../models/forward.ts";
import { blockLinears, embeddingShapes, linearWeights } from "../models/tensors.ts";
import type { ArtifactWriter, StepContext } from "../runner/stage.ts";
import type { Roles } from "./artifacts.ts";
import { layerDecoding } from "./decode_layers.ts";
import {
  batches,
  embeddedHidden,
  finiteHidden,
  type HiddenSource,
  storedHidden,
  storeHidden,
  type Windows,
} from "./hidden_states.ts";
import { layerJobs } from "./layer_jobs.ts";
import type { Planning } from "./planning.ts";
import type { Tools } from "./tools/mod.ts";
import { trialCount } from "./trial_windows.ts";

/** Jobs of layers that are quantized for a trial: towards their own outputs in the original model, by no statistics of the recipe. */
function trialJobs({ quantized, feedback, packed, allocation }: Partial<Roles>): ReturnType<typeof layerJobs> {
  return layerJobs({ quantized, feedback, packed, allocation }, "quantize");
}

/** What is known of a trial's step when it is planned: what it works on, and what its result depends on. */
export function planTrial(planning: Planning, block: number, { statistics }: Pick<Roles, "statistics">) {
  const { spec, identities, architecture, device, forward: { provider }, roles } = planning;
  const { packed } = roles, planned = trialJobs(roles), decoding = layerDecoding({ packed });
  const last = block === spec.blocks - 1, all = planning.text(statistics.text);
  return {
    ...{ planned, decoding, last, linears: blockLinears(spec, block), weights: linearWeights(spec) },
    text: { length: all.length, windows: trialCount(all) },
    reads: [...planned.reads, ...decoding.reads],
    facts: {
      ...{ architecture, weights: identities.blocks[block], provider, device },
      ...(block === 0 ? { embedding: identities.embedding } : {}),
      ...(last ? { head: identities.head } : {}),
    },
  };
}

/** Quantizes a block's layers and decodes them. */
export async function quantizeTrial(
  tools: Pick<Tools, "layers" | "packing">,
  context: StepContext,
  { planned, decoding, bitsOf, ...sources }: Parameters<ReturnType<typeof layerJobs>["make"]>[0] & {
    readonly planned: ReturnType<typeof layerJobs>;
    readonly decoding: ReturnType<typeof layerDecoding>;
    readonly bitsOf: (layer: string) => number;
  },
): Promise<Map<string, Float32Array>> {
  const jobs = (await planned.make(sources, context)).map((job) => ({ ...job, keep: 1, bits: bitsOf(job.name) }));
  let done = 0;
  const results = await tools.layers().quantize(jobs, {
    signal: context.signal,
    onLayer: ({ name }) => context.progress(++done, jobs.length, name),
  });
  return await decoding.decode(tools.packing, results, context);
}

/** Outputs of an opened block, by batch. */
export async function outputsOf(
  run: BlockRun,
  { spec }: Pick<Planning, "spec">,
  { text, source, context: { signal } }: {
    readonly text: Windows;
    readonly source: HiddenSource;
    readonly context: Pick<StepContext, "signal">;
  },
): Promise<Float32Array[]> {
  const outputs: Float32Array[] = [];
  for (const batch of batches(spec, text)) {
    signal.throwIfAborted();
    const { hidden } = await run.run(await source(batch), { windows: batch.windows, length: text.length });
    if (!hidden) throw new Error("Cannot measure layers as their block gave no output");
    outputs.push(finiteHidden(batch, hidden, text));
  }
  return outputs;
}

/** Hidden states that enter a block, by text and stream: those of the block before, or the embedding's, which are the same in all streams. */
export async function entering(
  { spec }: Pick<Planning, "spec">,
  tools: Pick<Tools, "forward" | "weights">,
  { context, block }: { readonly context: Pick<StepContext, "input">; readonly block: number },
): Promise<(text: Windows, stream: string) => HiddenSource> {
  if (block > 0) {
    const previous = await context.input("previous");
    return (_, stream) => storedHidden(previous, stream);
  }
  const forward = await tools.forward(), weights = await tools.weights.read(embeddingShapes(spec));
  return (text) => embeddedHidden(forward, weights, text);
}

/** Batches one after another. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) all.set(part, at), at += part.length;
  return all;
}

/** Writes the hidden states of a whole stream. @param outputs by batch */
export async function storeStream(
  writer: ArtifactWriter,
  outputs: readonly Float32Array[],
  { spec, text, stream }: Pick<Planning, "spec"> & { readonly text: Windows; readonly stream: string },
): Promise<void> {
  for (const batch of batches(spec, text)) {
    await storeHidden(writer, batch, outputs[batch.index], { length: text.length, stream });
  }
}
