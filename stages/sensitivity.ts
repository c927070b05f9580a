/**
 * Steps of coarse-search that measure, block by block, how much worse the model becomes when each layer is quantized (metric sensitivity).
 *
 * Moments are gathered on a few windows in the original model; every linear is quantized by them, alone. d_l is what the block's output
 * moves by with one of them quantized. With all of a block quantized its output goes on through the later original blocks, as a stream
 * beside those of the blocks before: where all have arrived the divergence of their logits is measured, and each layer's part is KL_b·d_l/Σd.
 * Windows that nothing is measured on go through the original blocks and through quantized ones, for `bits_check.ts` to compare with.
 */
import type { BlockRun } from "../models/forward.ts";
import { blockLinears, embeddingShapes, headShapes, linearWeights } from "../models/tensors.ts";
import type { ArtifactReader, OutputRef, Step, StepContext } from "../runner/stage.ts";
import { from, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, gramSizes, hiddenBytes } from "./costs.ts";
import { layerDecoding } from "./decode_layers.ts";
import { divergences } from "./divergence.ts";
import {
  batches,
  embeddedHidden,
  finiteHidden,
  type HiddenSource,
  storedHidden,
  storedWindows,
  storeHidden,
  type Windows,
} from "./hidden_states.ts";
import { layerJobs } from "./layer_jobs.ts";
import type { Planning } from "./planning.ts";
import { gatheredStatistics, storeStatistics } from "./statistics.ts";
import type { Tools } from "./tools/mod.ts";
import { someTokens, trialCount, trialWindows } from "./trial_windows.ts";

/** What the steps depend on besides the block. */
export interface SensitivityOptions {
  /** The stage. */
  readonly name: string;
  readonly statistics: Roles["statistics"];
  /** The recipe's path of the mean bits. */
  readonly bits: string;
}

/** What is measured at a block. */
export type BlockChanges = {
  /** d_l, ‖Δ output of the block‖² with one layer quantized, by layer name. */
  readonly layers: Readonly<Record<string, number>>;
  /** The same with all of them quantized. */
  readonly all: number;
};

/** What is measured at the end. */
export type Divergences = {
  /** KL divergence in nats a token with one block quantized, by block. */
  readonly blocks: readonly number[];
  /** Of the whole model, the same bits everywhere, on windows that nothing was measured on. */
  readonly uniform: number;
};

/** Streams of hidden states; that of the quantized block i is `block-i`. */
const ORIGINAL = "original", HELD_OUT = "held-out", UNIFORM = "uniform";
const streamOf = (block: number) => `block-${block}`;

/** Where a block's measurements are: d_l, and the moments that its layers were quantized by. */
export function changesOf(name: string, block: number): { readonly changes: OutputRef; readonly moments: OutputRef } {
  const step = `${name}.sensitivity[${block}]`;
  return { changes: from(step, "changes"), moments: from(step, "moments") };
}

/** Where the divergences are, and in the same artifact the original model's last hidden states of the windows held out. */
export function divergencesOf(name: string, blocks: number): OutputRef {
  return from(`${name}.sensitivity[${blocks - 1}]`, "divergences");
}

/** Last hidden states of the original model on the windows held out, tokens × hidden, from the artifact of `divergencesOf`. */
export async function heldOutStates(reader: ArtifactReader): Promise<Float32Array> {
  return (await reader.read(`${HELD_OUT}.safetensors`)).hidden.data as Float32Array;
}

/** The step of one block. */
export function sensitivityStep(planning: Planning, block: number, options: SensitivityOptions): Step {
  const { spec, identities, architecture, device, forward: { provider } } = planning, { name, statistics } = options;
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights", "layers", "packing"]);
  const planned = trialJobs(planning.roles), decoding = layerDecoding(planning.roles);
  const linears = blockLinears(spec, block), weights = linearWeights(spec), last = block === spec.blocks - 1;
  const all = planning.text(statistics.text), text = { length: all.length, windows: trialCount(all) };
  const grams = gramSizes(spec).reduce((sum, size) => sum + 2 * size * (size + 1), 0);
  return {
    id: changesOf(name, block).changes.step,
    stage: name,
    block,
    code,
    reads: [...new Set([...planned.reads, ...decoding.reads, options.bits])].sort(),
    facts: {
      ...{ architecture, weights: identities.blocks[block], provider, device },
      ...(block === 0 ? { embedding: identities.embedding } : {}),
      ...(last ? { head: identities.head } : {}),
    },
    inputs: {
      windows: statistics.windows,
      ...(block === 0 ? {} : { previous: from(`${name}.sensitivity[${block - 1}]`, "hidden") }),
    },
    outputs: {
      changes: { retain: "keep", bytes: 1000 },
      moments: { retain: "keep", bytes: grams },
      ...(last
        ? { divergences: { retain: "keep" as const, bytes: hiddenBytes(spec, text) } }
        : { hidden: { retain: "transient" as const, bytes: (block + 4) * hiddenBytes(spec, text) } }),
    },
    estimate: {
      seconds: weights / 1e6 + forwardSeconds(spec, text, true) +
        (block + linears.length + 3) * forwardSeconds(spec, text, false),
      memory: 14 * weights + forwardMemory(spec, true) + 5 * hiddenBytes(spec, text),
    },
    async run(context) {
      const windows = trialWindows(await storedWindows(await context.input("windows"))),
        { measured, heldOut } = windows;
      const forward = await tools.forward(), original = await tools.weights.block(block);
      const enter = await entering(planning, tools, { context, block });
      const kept = new Map<string, Float32Array>();
      const leave = async (stream: string, text: Windows, outputs: readonly Float32Array[]) => {
        // Of the last block's outputs, all are looked at of windows held out only.
        if (last) kept.set(stream, text === measured ? someTokens(joined(outputs), spec.hidden) : joined(outputs));
        else {
          for (const batch of batches(spec, text)) {
            await storeHidden(context.output("hidden"), batch, outputs[batch.index], { length: text.length, stream });
          }
        }
      };
      const copies = (replaced: ReadonlyMap<string, Float32Array> = new Map()) =>
        Object.fromEntries(
          Object.entries(original).map(([tensor, values]) => [tensor, values.slice()]).concat(
            [...replaced].map(([layer, values]) => [`${layer}.weight`, values.slice()]),
          ),
        );
      const total = linears.length;

      const wanted: Float32Array[] = [];
      const { gathered } = await passBlock({
        ...{
          forward,
          spec,
          text: measured,
          source: enter(measured, ORIGINAL),
          block,
          weights: copies(),
          gather: "full",
        },
        each: (batch, hidden) => Promise.resolve(void wanted.push(finiteHidden(batch, hidden, measured))),
      }, { signal: context.signal, progress: () => {} });
      await leave(ORIGINAL, measured, wanted);
      const sequences = measured.windows;
      await storeStatistics(context.output("moments"), { gathered, sequences, block });
      const bits = context.param<number>(options.bits);
      const quantized = await quantizeTrial(tools, context, {
        ...{ planned, decoding, linears, tensors: copies(), bitsOf: () => bits },
        statistics: gatheredStatistics(gathered, { sequences, block }),
      });

      const run = await forward.openBlock(block, copies(), { gather: "none", output: true, move: true });
      const through = (text: Windows, stream: string) =>
        outputsOf(run, planning, { text, source: enter(text, stream), context });
      for (let before = 0; before < block; before++) {
        await leave(streamOf(before), measured, await through(measured, streamOf(before)));
      }
      await leave(HELD_OUT, heldOut, await through(heldOut, HELD_OUT));
      const layers: Record<string, number> = {};
      for (const { name: layer } of linears) {
        await run.setWeights(copies(new Map([...quantized].filter(([each]) => each === layer))));
        layers[layer] = distance(await through(measured, ORIGINAL), wanted);
        context.progress(Object.keys(layers).length, total, `effect of ${layer}`);
      }
      await run.setWeights(copies(quantized));
      const changed = await through(measured, ORIGINAL);
      await leave(streamOf(block), measured, changed);
      await leave(UNIFORM, heldOut, await through(heldOut, UNIFORM));
      await run.finish();
      const changes: BlockChanges = { layers, all: distance(changed, wanted) };
      context.output("changes").value(changes);
      context.measure(changes);
      if (!last) return context.output("hidden").value(null);

      const states = (stream: string) => kept.get(stream) ?? new Float32Array();
      const head = await forward.openHead(await tools.weights.read(headShapes(spec)));
      const { hidden, vocab } = spec, { signal } = context, end = states(HELD_OUT);
      const streams = Array.from({ length: spec.blocks }, (_, index) => states(streamOf(index)));
      const blocks = await divergences(head, states(ORIGINAL), { streams, hidden, vocab, signal });
      const [uniform] = await divergences(head, end, { streams: [states(UNIFORM)], hidden, vocab, signal });
      await head.close();
      const writer = context.output("divergences"), found: Divergences = { blocks, uniform };
      await writer.write(`${HELD_OUT}.safetensors`, {
        hidden: { dtype: "F32", shape: [end.length / hidden, hidden], data: end },
      });
      writer.value(found);
      context.measure(found);
    },
  };
}

/** Jobs of layers that are quantized for a trial: towards their own outputs in the original model, by no statistics of the recipe. */
export function trialJobs({ quantized, feedback, packed, allocation }: Partial<Roles>): ReturnType<typeof layerJobs> {
  return layerJobs({ quantized, feedback, packed, allocation }, "quantize");
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

function distance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let sum = 0;
  a.forEach((values, i) => values.forEach((value, j) => sum += (value - b[i][j]) ** 2));
  return sum;
}
