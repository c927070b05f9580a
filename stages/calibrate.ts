/**
 * calibrate: token windows, and per transformer block S = XᵀX of every distinct input.
 *
 * With `inputs: sequential` block i sees what the compressed blocks before it put out; with `original` what the original ones do.
 */
import { embeddingShapes } from "../models/tensors.ts";
import type { InputSums } from "../models/forward.ts";
import type { ArtifactWriter, OutputRef, Step, StepContext } from "../runner/stage.ts";
import { passBlock } from "./block_pass.ts";
import {
  batches,
  embeddedHidden,
  type HiddenSource,
  storedHidden,
  storedWindows,
  storeHidden,
  storeWindows,
  type Windows,
} from "./hidden_states.ts";
import { forwardMemory, forwardSeconds, from, gramSizes, hiddenBytes, type Planning, type Stage } from "./planning.ts";

/** The stage; see the file's head. */
export const calibrate: Stage = { name: "calibrate", version: 1, plan };

/** The windows all blocks are calibrated on. */
export const CALIBRATION_WINDOWS: OutputRef = from("calibrate.windows", "windows");

/** S of one block. */
export function statistics(block: number): OutputRef {
  return from(`calibrate[${block}]`, "statistics");
}

function plan(planning: Planning): Step[] {
  const { spec, recipe } = planning;
  const blocks = Array.from({ length: spec.blocks }, (_, block) => block);
  const one = recipe.stages.calibrate.inputs === "original" ? originalBlock : sequentialBlock;
  return [windowsStep(planning), ...blocks.map((block) => one(planning, block))];
}

function windowsStep({ calibration, tools, recipe }: Planning): Step {
  const { dataset } = recipe.stages.calibrate;
  // Stored windows are taken in order: nothing is drawn.
  const drawn = typeof dataset === "string" || "text" in dataset;
  return {
    id: "calibrate.windows",
    stage: "calibrate",
    version: calibrate.version,
    reads: ["samples", "length", ...(drawn ? ["seed"] : [])].map((key) => `stages.calibrate.${key}`),
    facts: { text: calibration.identity },
    inputs: {},
    outputs: { windows: { retain: "keep", bytes: 4 * calibration.windows * calibration.length } },
    estimate: { seconds: 0.5, memory: 2e8 },
    async run(context) {
      const windows = await tools.calibrationWindows(context);
      await storeWindows(context.output("windows"), windows);
      context.output("windows").value(windows.facts);
    },
  };
}

/** The block's own weights on what the compressed blocks before it put out; hidden states are the block's *inputs*. */
function sequentialBlock(planning: Planning, block: number): Step {
  const { spec, tools, calibration, identities } = planning;
  const before: Step["inputs"] = block === 0 ? {} : {
    previous: from(`calibrate[${block - 1}]`, "hidden"),
    compressed: from(`pack[${block - 1}]`, "layers"),
  };
  return {
    ...common(planning, block),
    facts: {
      ...common(planning, block).facts,
      ...(block === 0 ? { embedding: identities.embedding } : { before: identities.blocks[block - 1] }),
    },
    inputs: { windows: CALIBRATION_WINDOWS, ...before },
    outputs: {
      statistics: statisticsOutput(planning),
      hidden: { retain: "transient", bytes: hiddenBytes(spec, calibration) },
    },
    estimate: {
      seconds: forwardSeconds(spec, calibration, true) + (block === 0 ? 0 : forwardSeconds(spec, calibration, false)),
      memory: forwardMemory(spec, true),
    },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
      const hidden = context.output("hidden");
      const source = block === 0 ? await embed(planning, text) : await propagate(planning, { context, text, block });
      const keep: HiddenSource = async (batch) => {
        const values = await source(batch);
        await storeHidden(hidden, batch, values, { length: text.length });
        return values;
      };
      const weights = await tools.blockWeights(block);
      const forward = await tools.forward();
      const { gathered } = await passBlock(
        { forward, spec, text, source: keep, block, weights, gather: "full" },
        context,
      );
      await storeStatistics(context.output("statistics"), gathered, text.windows);
    },
  };
}

/** The original block on the original blocks' outputs; hidden states are the block's *outputs*. */
function originalBlock(planning: Planning, block: number): Step {
  const { spec, tools, calibration, identities } = planning;
  const last = block === spec.blocks - 1;
  return {
    ...common(planning, block),
    facts: { ...common(planning, block).facts, ...(block === 0 ? { embedding: identities.embedding } : {}) },
    inputs: block === 0
      ? { windows: CALIBRATION_WINDOWS }
      : { windows: CALIBRATION_WINDOWS, previous: from(`calibrate[${block - 1}]`, "hidden") },
    outputs: {
      statistics: statisticsOutput(planning),
      ...(last ? {} : { hidden: { retain: "transient", bytes: hiddenBytes(spec, calibration) } }),
    },
    estimate: { seconds: forwardSeconds(spec, calibration, true), memory: forwardMemory(spec, true) },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
      const source = block === 0 ? await embed(planning, text) : storedHidden(await context.input("previous"));
      const weights = await tools.blockWeights(block);
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
          ...(last ? { each: () => Promise.resolve() } : { output: context.output("hidden") }),
        },
        context,
      );
      await storeStatistics(context.output("statistics"), gathered, text.windows);
      context.output("statistics").value({ sequences: text.windows, similarity: { ...similarity } });
    },
  };
}

function common({ architecture, identities, forward, tools }: Planning, block: number) {
  return {
    id: `calibrate[${block}]`,
    stage: "calibrate",
    block,
    version: calibrate.version,
    reads: ["stages.calibrate.inputs"],
    facts: { architecture, weights: identities.blocks[block], provider: forward.provider, code: tools.sources.forward },
  };
}

function statisticsOutput({ spec }: Planning) {
  const bytes = gramSizes(spec).reduce((sum, size) => sum + 2 * size * (size + 1), 0);
  return { retain: "keep" as const, bytes };
}

/** First hidden states. */
async function embed({ spec, tools }: Planning, text: Windows): Promise<HiddenSource> {
  return embeddedHidden(await tools.forward(), await tools.weights(embeddingShapes(spec)), text);
}

/** Inputs of `block`: the compressed block before it, applied to that block's own inputs. */
async function propagate(
  { tools, spec }: Planning,
  { context, text, block }: { readonly context: StepContext; readonly text: Windows; readonly block: number },
): Promise<HiddenSource> {
  const inputs = storedHidden(await context.input("previous"));
  const weights = await tools.compressedWeights(block - 1, await context.input("compressed"));
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

async function storeStatistics(
  writer: ArtifactWriter,
  gathered: Readonly<Record<string, InputSums>>,
  sequences: number,
): Promise<void> {
  for (const [input, sums] of Object.entries(gathered)) {
    const { upper } = sums;
    if (upper === undefined) throw new Error(`Cannot store S of "${input}" as it was not gathered`);
    await writer.write(`${input}.safetensors`, { upper: { dtype: "F32", shape: [upper.length], data: upper } });
  }
  writer.value({ sequences });
}
