/**
 * The steps of calibrate at one block: the original block on the original model's hidden states, or the block's own weights on what the
 * compressed blocks before it put out; beside that, for a target in the original model, the original model's hidden states.
 *
 * Where the inputs are not the original model's, an artifact `hidden` holds what enters the block as stream "current", and what leaves it
 * in the original model, where a target asks for that, as `ORIGINAL_STREAM`.
 */
import { ADDED } from "../models/block_graph.ts";
import { embeddingShapes, linearInputs } from "../models/tensors.ts";
import type { OutputRef, Step, StepContext } from "../runner/stage.ts";
import { from, type StreamRef } from "./artifacts.ts";
import { finiteSimilarity, passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, hiddenBytes } from "./costs.ts";
import {
  batches,
  CURRENT_STREAM,
  embeddedHidden,
  finiteHidden,
  type HiddenSource,
  ORIGINAL_STREAM,
  storedHidden,
  storedWindows,
  storeHidden,
  type Windows,
} from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import { prunedFirst } from "./pruned_first.ts";
import { storeStatistics } from "./statistics.ts";
import type { Tools } from "./tools/mod.ts";

/** What the steps depend on besides the block. */
export interface CalibrateBlockOptions {
  /** The stage. */
  readonly name: string;
  readonly windows: OutputRef;
  readonly inputs: "sequential" | "original" | "renewed";
  readonly target: "layer" | "original";
  /** Whether moments are kept of the first half of the windows, too: how far layers move is chosen by them. */
  readonly halves: boolean;
  /** Whether it is looked at how far the residual stream is from the original model's. */
  readonly residual: boolean;
  /** Windows behind the samples, of which moments are kept apart. */
  readonly heldOut: number;
  /** The recipe's path of a setting. */
  path(key: "inputs" | "target"): string;
}

/** The step of one block. */
export function calibrateBlock(planning: Planning, block: number, options: CalibrateBlockOptions): Step {
  return (options.inputs === "original" ? originalBlock : currentBlock)(planning, block, options);
}

/** Hidden states that enter a block, where inputs are not the original model's. */
export function enteringBlock(name: string, block: number): StreamRef {
  return { from: from(`${name}[${block}]`, "hidden"), stream: CURRENT_STREAM };
}

/** Hidden states that enter a block, where inputs are the original model's; into the first the embedding goes. */
export function enteringOriginal(name: string, block: number): StreamRef | undefined {
  return block === 0 ? undefined : { from: from(`${name}[${block - 1}]`, "hidden"), stream: CURRENT_STREAM };
}

/** Hidden states that enter a block in the original model: at the first block they are the same. */
export function originalEntering(name: string, block: number): StreamRef {
  if (block === 0) return enteringBlock(name, block);
  return { from: from(`${name}[${block - 1}]`, "hidden"), stream: ORIGINAL_STREAM };
}

/** The block's own weights on what the compressed blocks before it put out. */
function currentBlock(planning: Planning, block: number, options: CalibrateBlockOptions): Step {
  const { spec, identities, roles } = planning, { name, windows, target, heldOut } = options;
  const size = withHeldOut(planning.text(name), heldOut);
  const { tools, code } = planning.use(
    import.meta.url,
    block === 0 ? ["forward", "weights"] : ["forward", "weights", "packing"],
  );
  const before: Step["inputs"] = block === 0 || roles.packed === undefined ? {} : {
    previous: enteringBlock(name, block - 1).from,
    compressed: roles.packed.block(block - 1),
  };
  const pruning = prunedFirst(planning, block);
  const towards = target === "original", last = block === spec.blocks - 1;
  // At the first block both models' inputs are one stream, C is H, and nothing is to be moved, unless the weights differ.
  const same = block === 0 && !pruning.active, halves = options.halves && !same;
  const residual = options.residual && !same;
  // What the layers before an input leave of it is not known yet: the method's step gathers the others.
  const inputs = options.inputs === "renewed" ? [...linearInputs(spec).keys()].slice(0, 1) : undefined;
  const common = commonOf(planning, block, options);
  return {
    ...common,
    code,
    reads: [...common.reads, ...(towards ? [options.path("target")] : []), ...pruning.reads],
    facts: {
      ...common.facts,
      ...(block === 0 ? { embedding: identities.embedding } : { before: identities.blocks[block - 1] }),
      ...(halves ? { halves } : {}),
      ...(residual ? { residual } : {}),
    },
    inputs: { windows, ...before, ...pruning.inputs },
    outputs: {
      statistics: statisticsOutput(planning, { inputs, cross: towards && !same, residual, halves, heldOut }),
      hidden: { retain: "transient", bytes: (towards && !last ? 2 : 1) * hiddenBytes(spec, size) },
    },
    estimate: {
      seconds: (towards ? 2 : 1) * forwardSeconds(spec, size, true) +
        (block === 0 ? 0 : forwardSeconds(spec, size, false)),
      memory: (towards ? 2 : 1) * forwardMemory(spec, true),
    },
    async run(context) {
      const text = await storedWindows(await context.input("windows"), { heldOut });
      const hidden = context.output("hidden");
      const source = block === 0 ? await embed(planning, tools, text) : await propagate(planning, tools, {
        context,
        text,
        block,
      });
      const keep: HiddenSource = async (batch) => {
        const values = finiteHidden(batch, await source(batch), text);
        await storeHidden(hidden, batch, values, { length: text.length });
        return values;
      };
      const weights = await pruning.prune(await tools.weights.block(block), context);
      const forward = await tools.forward();
      const pass = { forward, spec, text, source: keep, block, weights, gather: "full" as const, inputs, halves };
      const stored = last ? {} : { output: hidden };
      const second = !towards ? {} : same ? { ...stored, stream: ORIGINAL_STREAM } : {
        original: {
          source: block === 0
            ? await embed(planning, tools, text)
            : storedHidden(await context.input("previous"), originalEntering(name, block).stream),
          residual,
          ...(pruning.active ? { weights: await tools.weights.block(block) } : {}),
          ...stored,
        },
      };
      const { gathered } = await passBlock({ ...pass, ...second }, context);
      await storeStatistics(context.output("statistics"), { gathered, sequences: text.windows, block });
    },
  };
}

/** The original block on the original blocks' outputs; hidden states are the block's *outputs*. */
function originalBlock(planning: Planning, block: number, options: CalibrateBlockOptions): Step {
  const { spec, identities } = planning, { name, windows, heldOut } = options;
  const size = withHeldOut(planning.text(name), heldOut);
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights"]);
  const last = block === spec.blocks - 1, common = commonOf(planning, block, options);
  return {
    ...common,
    code,
    facts: { ...common.facts, ...(block === 0 ? { embedding: identities.embedding } : {}) },
    inputs: block === 0 ? { windows } : { windows, previous: from(`${name}[${block - 1}]`, "hidden") },
    outputs: {
      statistics: statisticsOutput(planning, { heldOut }),
      ...(last ? {} : { hidden: { retain: "transient", bytes: hiddenBytes(spec, size) } }),
    },
    estimate: { seconds: forwardSeconds(spec, size, true), memory: forwardMemory(spec, true) },
    async run(context) {
      const text = await storedWindows(await context.input("windows"), { heldOut });
      const source = block === 0 ? await embed(planning, tools, text) : storedHidden(await context.input("previous"));
      const weights = await tools.weights.block(block);
      const forward = await tools.forward();
      const { gathered, similarity } = await passBlock(
        {
          forward,
          spec,
          text,
          source,
          block,
          weights,
          gather: "full",
          similarity: true,
          ...(last ? { each: () => Promise.resolve() } : { output: context.output("hidden") }),
        },
        context,
      );
      await storeStatistics(context.output("statistics"), { gathered, sequences: text.windows, block });
      const measured = finiteSimilarity(similarity, { stage: name, block });
      context.output("statistics").value({ sequences: text.windows, similarity: { ...measured } });
    },
  };
}

/** A text with the windows that are held out. */
function withHeldOut<T extends { readonly windows: number }>(text: T, heldOut: number): T {
  return { ...text, windows: text.windows + heldOut };
}

function commonOf(
  { architecture, identities, forward }: Planning,
  block: number,
  { name, path }: CalibrateBlockOptions,
) {
  return {
    id: `${name}[${block}]`,
    stage: name,
    block,
    reads: [path("inputs")],
    facts: { architecture, weights: identities.blocks[block], provider: forward.provider },
  };
}

function statisticsOutput(
  { spec }: Planning,
  { inputs = [...linearInputs(spec).keys()], cross = false, residual = false, halves = false, heldOut }: {
    readonly inputs?: readonly string[];
    readonly cross?: boolean;
    readonly residual?: boolean;
    readonly halves?: boolean;
    readonly heldOut: number;
  },
) {
  const triangles = 1 + Number(halves) + Number(heldOut > 0), others = 1 + Number(halves);
  const bytes = inputs.reduce((sum, input) => {
    const size = linearInputs(spec).get(input) ?? 0, added = residual && ADDED.includes(input) ? spec.hidden : 0;
    return sum + triangles * 2 * size * (size + 1) + others * 4 * size * ((cross ? size : 0) + added);
  }, 0);
  return { retain: "keep" as const, bytes };
}

/** First hidden states. */
async function embed(
  { spec }: Planning,
  tools: Pick<Tools, "forward" | "weights">,
  text: Windows,
): Promise<HiddenSource> {
  return embeddedHidden(await tools.forward(), await tools.weights.read(embeddingShapes(spec)), text);
}

/** Inputs of `block`: the compressed block before it, applied to that block's own inputs. */
async function propagate(
  { spec }: Planning,
  tools: Pick<Tools, "forward" | "weights" | "packing">,
  { context, text, block }: { readonly context: StepContext; readonly text: Windows; readonly block: number },
): Promise<HiddenSource> {
  const inputs = storedHidden(await context.input("previous"));
  const weights = await tools.packing.blockWeights(tools.weights, block - 1, await context.input("compressed"));
  const forward = await tools.forward();
  const run = await forward.openBlock(block - 1, weights, { gather: "none", output: true, move: true });
  const last = batches(spec, text).length - 1;
  return async (batch) => {
    const { hidden } = await run.run(await inputs(batch), { windows: batch.windows, length: text.length });
    if (batch.index === last) await run.finish();
    if (!hidden) throw new Error(`Cannot propagate block ${block - 1} as it gave no output`);
    return hidden;
  };
}
