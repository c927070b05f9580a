/**
 * Steps of coarse-search that measure, block by block, how much worse the model becomes when each layer is quantized (metric sensitivity).
 *
 * Moments are gathered on a few windows in the original model; every linear is quantized by them, alone. d_l is what the block's output
 * moves by with one of them quantized. With all of a block quantized its output goes on through the later original blocks, as a stream
 * beside those of the blocks before: where all have arrived the divergence of their logits is measured, and each layer's part is KL_b·d_l/Σd.
 * Windows that nothing is measured on go through the original blocks and through quantized ones, for `bits_check.ts` to compare with.
 */
import { headShapes } from "../models/tensors.ts";
import type { ArtifactReader, OutputRef, Step, StepContext } from "../runner/stage.ts";
import { from, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, gramSizes, hiddenBytes } from "./costs.ts";
import { divergences } from "./divergence.ts";
import { finiteHidden, type HiddenSource, storedWindows, type Windows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import { gatheredStatistics, storeStatistics } from "./statistics.ts";
import type { Tools } from "./tools/mod.ts";
import { someTokens, type TrialWindows, trialWindows } from "./trial_windows.ts";
import { entering, joined, outputsOf, planTrial, quantizeTrial, storeStream } from "./trials.ts";

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
  const { spec } = planning, { name, statistics } = options;
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights", "layers", "packing"]);
  const { planned, decoding, linears, weights, last, text, reads, facts } = planTrial(planning, block, { statistics });
  const grams = gramSizes(spec).reduce((sum, size) => sum + 2 * size * (size + 1), 0);
  return {
    id: changesOf(name, block).changes.step,
    stage: name,
    block,
    code,
    reads: [...new Set([...reads, options.bits])].sort(),
    facts,
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
      const text = trialWindows(await storedWindows(await context.input("windows")));
      const enter = await entering(planning, tools, { context, block });
      const streams = outgoing(planning, { context, text, last });
      const wanted: Float32Array[] = [];
      const { gathered } = await passBlock({
        ...{ forward: await tools.forward(), spec, text: text.measured, source: enter(text.measured, ORIGINAL), block },
        ...{ weights: await tools.weights.block(block), gather: "full" },
        each: (batch, hidden) => Promise.resolve(void wanted.push(finiteHidden(batch, hidden, text.measured))),
      }, { signal: context.signal, progress: () => {} });
      await streams.leave(ORIGINAL, wanted);
      const sequences = text.measured.windows, bits = context.param<number>(options.bits);
      await storeStatistics(context.output("moments"), { gathered, sequences, block });
      const quantized = await quantizeTrial(tools, context, {
        ...{ planned, decoding, linears, tensors: await tools.weights.block(block), bitsOf: () => bits },
        statistics: gatheredStatistics(gathered, { sequences, block }),
      });
      const changes = await runVariants(planning, tools, { context, block, text, enter, streams, wanted, quantized });
      context.output("changes").value(changes);
      context.measure(changes);
      if (last) await compare(planning, tools, { context, states: streams.kept });
      else context.output("hidden").value(null);
    },
  };
}

/** What leaves a block: all of each stream on its way, and of the last block's what is looked at in the end. */
interface Outgoing {
  /** @param outputs by batch */
  leave(stream: string, outputs: readonly Float32Array[]): Promise<void>;
  /** Of the last block, tokens × hidden by stream: some tokens, and of windows held out all. */
  readonly kept: ReadonlyMap<string, Float32Array>;
}

function outgoing(
  { spec }: Pick<Planning, "spec">,
  { context, text: { measured, heldOut }, last }: {
    readonly context: StepContext;
    readonly text: TrialWindows;
    readonly last: boolean;
  },
): Outgoing {
  const kept = new Map<string, Float32Array>();
  return {
    kept,
    async leave(stream, outputs) {
      const whole = stream === HELD_OUT || stream === UNIFORM, text = whole ? heldOut : measured;
      if (!last) return await storeStream(context.output("hidden"), outputs, { spec, text, stream });
      kept.set(stream, whole ? joined(outputs) : someTokens(joined(outputs), spec.hidden));
    },
  };
}

/** Runs the block as it is for what comes from those before, and with layers quantized, each alone and all. */
async function runVariants(
  planning: Planning,
  tools: Pick<Tools, "forward" | "weights">,
  { context, block, text: { measured, heldOut }, enter, streams, wanted, quantized }: {
    readonly context: StepContext;
    readonly block: number;
    readonly text: TrialWindows;
    readonly enter: (text: Windows, stream: string) => HiddenSource;
    readonly streams: Outgoing;
    /** Outputs of the original block on the windows that are measured on, by batch. */
    readonly wanted: readonly Float32Array[];
    /** Weights by layer. */
    readonly quantized: ReadonlyMap<string, Float32Array>;
  },
): Promise<BlockChanges> {
  const original = await tools.weights.block(block), forward = await tools.forward();
  const weights = (replaced: Iterable<readonly [string, Float32Array]>) => ({
    ...Object.fromEntries(Object.entries(original).map(([tensor, values]) => [tensor, values.slice()])),
    ...Object.fromEntries([...replaced].map(([layer, values]) => [`${layer}.weight`, values.slice()])),
  });
  const run = await forward.openBlock(block, weights([]), { gather: "none", output: true, move: true });
  const through = (text: Windows, stream: string) =>
    outputsOf(run, planning, { text, source: enter(text, stream), context });
  for (let before = 0; before < block; before++) {
    await streams.leave(streamOf(before), await through(measured, streamOf(before)));
  }
  await streams.leave(HELD_OUT, await through(heldOut, HELD_OUT));
  const layers: Record<string, number> = {};
  for (const [layer, values] of quantized) {
    await run.setWeights(weights([[layer, values]]));
    layers[layer] = distance(await through(measured, ORIGINAL), wanted);
    context.progress(Object.keys(layers).length, quantized.size, `effect of ${layer}`);
  }
  await run.setWeights(weights(quantized));
  const changed = await through(measured, ORIGINAL);
  await streams.leave(streamOf(block), changed);
  await streams.leave(UNIFORM, await through(heldOut, UNIFORM));
  await run.finish();
  return { layers, all: distance(changed, wanted) };
}

/** Measures what has become of the next tokens' probabilities, and keeps the original's states of the windows held out. */
async function compare(
  { spec }: Planning,
  tools: Pick<Tools, "forward" | "weights">,
  { context, states }: { readonly context: StepContext; readonly states: Outgoing["kept"] },
): Promise<void> {
  const head = await (await tools.forward()).openHead(await tools.weights.read(headShapes(spec)));
  const { hidden, vocab } = spec,
    { signal } = context,
    of = (stream: string) => states.get(stream) ?? new Float32Array();
  const streams = Array.from({ length: spec.blocks }, (_, index) => of(streamOf(index))), end = of(HELD_OUT);
  const blocks = await divergences(head, of(ORIGINAL), { streams, hidden, vocab, signal });
  const [uniform] = await divergences(head, end, { streams: [of(UNIFORM)], hidden, vocab, signal });
  await head.close();
  const writer = context.output("divergences"), found: Divergences = { blocks, uniform };
  await writer.write(`${HELD_OUT}.safetensors`, {
    hidden: { dtype: "F32", shape: [end.length / hidden, hidden], data: end },
  });
  writer.value(found);
  context.measure(found);
}

function distance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let sum = 0;
  a.forEach((values, i) => values.forEach((value, j) => sum += (value - b[i][j]) ** 2));
  return sum;
}
