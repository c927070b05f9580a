/**
 * The step of a method at one block whose inputs are renewed: the layers of one input are quantized, then the next input is seen as these
 * leave it. In LLaMA o sees compressed q, k and v, then gate and up compressed attention, then down compressed gate and up.
 *
 * Statistics of the first input come from calibrate; the others are gathered here, in passes over the hidden states that enter the block.
 * Compressed weights are those that packing will store.
 */
import { linearInputs } from "../models/tensors.ts";
import type { Step, StepContext } from "../runner/stage.ts";
import type { Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds } from "./costs.ts";
import { layerDecoding } from "./decode_layers.ts";
import { storedHidden, storedWindows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import { type QuantizedStep, quantizeFrame } from "./quantize_block.ts";
import { prunedFirst } from "./pruned_first.ts";
import { gatheredStatistics, type Statistics, storedStatistics } from "./statistics.ts";

/** Which step, and where the hidden states are. */
export interface RenewedStep extends QuantizedStep {
  readonly renewed: NonNullable<Roles["statistics"]["renewed"]>;
}

/** Weights of a block's compressed layers, by layer. */
type Compressed = Map<string, Float32Array>;

/** The step of one block. */
export function quantizeRenewed(planning: Planning, which: RenewedStep): Step {
  const { spec, architecture, forward: { provider } } = planning;
  const { statistics, renewed, block } = which;
  const { tools, code } = planning.use(import.meta.url, ["weights", "layers", "forward", "packing"]);
  const { step, linears, begin } = quantizeFrame(planning, which);
  const decoding = layerDecoding(planning.roles);
  const inputs = [...linearInputs(spec).keys()], passes = inputs.length - 1;
  const entering = renewed.hidden(block), original = renewed.original?.(block), { halves, residual } = renewed;
  const pruning = prunedFirst(planning, block);
  const text = planning.text(statistics.text), streams = original ? 2 : 1;
  return {
    ...step,
    code,
    reads: [...new Set([...step.reads, ...decoding.reads, ...pruning.reads])].sort(),
    facts: { ...step.facts, architecture, provider, ...(residual ? { residual } : {}) },
    inputs: {
      ...step.inputs,
      ...pruning.inputs,
      windows: statistics.windows,
      hidden: entering.from,
      ...(original ? { original: original.from } : {}),
    },
    estimate: {
      seconds: step.estimate.seconds + passes / 2 * streams * forwardSeconds(spec, text, true),
      memory: step.estimate.memory + streams * forwardMemory(spec, true),
    },
    async run(context) {
      const compressed: Compressed = new Map(), tensors = await tools.weights.block(block);
      const work = await begin(context);
      for (const [index, input] of inputs.entries()) {
        const found = index === 0
          ? storedStatistics(await context.input("statistics"))
          : await gather(context, input, { compressed, done: work.done() });
        const here = linears.filter((linear) => linear.input === input);
        const results = await work.quantize(tools.layers(), { linears: here, tensors, statistics: found });
        if (index === passes) break;
        for (const [name, values] of await decoding.decode(tools.packing, results, context)) {
          compressed.set(name, values);
        }
      }
      work.finish();
    },
  };

  /** Moments of one input, as the layers before it that are compressed now leave it. */
  async function gather(
    context: StepContext,
    input: string,
    { compressed, done }: { readonly compressed: Compressed; readonly done: number },
  ): Promise<Statistics> {
    const began = performance.now();
    const windows = await storedWindows(await context.input("windows"), { heldOut: renewed.heldOut });
    const weights = { ...await pruning.prune(await tools.weights.block(block), context) };
    for (const [name, values] of compressed) weights[`${name}.weight`] = values.slice();
    const second = original && {
      source: storedHidden(await context.input("original"), original.stream),
      weights: await tools.weights.block(block),
      residual,
    };
    const { gathered } = await passBlock({
      ...{ spec, block, weights, text: windows, gather: "full", inputs: [input], halves },
      forward: await tools.forward(),
      source: storedHidden(await context.input("hidden"), entering.stream),
      ...(second ? { original: second } : {}),
    }, {
      signal: context.signal,
      progress: (batch, of) => context.progress(done, linears.length, `${input} inputs, batch ${batch} of ${of}`),
    });
    context.spent(renewed.stage, (performance.now() - began) / 1000);
    return gatheredStatistics(gathered, { sequences: windows.windows, block });
  }
}
