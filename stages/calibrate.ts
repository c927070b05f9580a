/**
 * calibrate: token windows, and per transformer block S = XᵀX of every distinct input.
 *
 * With `inputs: sequential` block i sees what the compressed blocks before it put out; with `original` what the original ones do.
 */
import * as z from "zod";
import type { InputSums } from "../models/forward.ts";
import { embeddingShapes } from "../models/tensors.ts";
import { count, words } from "../recipes/words.ts";
import type { ArtifactWriter, Step, StepContext } from "../runner/stage.ts";
import { from } from "./artifacts.ts";
import { finiteSimilarity, passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, gramSizes, hiddenBytes } from "./costs.ts";
import { Dataset } from "./dataset_schema.ts";
import {
  batches,
  embeddedHidden,
  finiteHidden,
  type HiddenSource,
  storedHidden,
  storedWindows,
  storeHidden,
  storeWindows,
  type Windows,
} from "./hidden_states.ts";
import type { Planning, Stage } from "./planning.ts";
import { prunedFirst } from "./pruned_first.ts";
import type { TextRequest } from "./tools/text.ts";
import type { Tools } from "./tools/mod.ts";

const Params = z.strictObject({
  dataset: Dataset.default("c4").describe("Text whose activations weigh the errors (PBS²P: C4)"),
  samples: count(1, 1_000_000).default(128).describe("Sequences (GPTQ and its lineage: 128)"),
  length: count(2, 1_048_576).default(2048).describe("Tokens per sequence; at most the model's maximum"),
  seed: count(0, 4_294_967_295).default(0).describe("Of the drawing of sequences from text"),
  inputs: words(["sequential", "original"], {
    renewed: "`renewed` is not available in this version; `sequential` is the nearest",
  }).default("sequential").describe(
    "Whose outputs a block sees: those of the compressed blocks before it (the lineage), or the original model's " +
      "(every calibration is then shared by all settings)",
  ),
  target: words(["layer"], {
    original: "`original` is not available in this version; `layer`, the lineage's, is the only one",
  }).default("layer").describe("What a layer is to match: its own output on the inputs that it now sees"),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type CalibrateParams = Params;

const NAME = "calibrate";
const WINDOWS = from(`${NAME}.windows`, "windows");
const path = (key: keyof Params) => `stages.${NAME}.${key}`;

/** The stage; see the file's head. */
export const calibrate: Stage<Params> = {
  name: NAME,
  summary: "Runs text through the model and gathers, per block, the second moments S of each linear layer's inputs",
  params: Params,
  makes: ["statistics"],
  needs: [],
  uses: ["packed"],
  texts: (settings) => [requestOf(settings)],
  offer: ({ inputs }) => ({
    statistics: {
      text: NAME,
      windows: WINDOWS,
      block: (block) => from(`${NAME}[${block}]`, "statistics"),
      original: inputs === "original",
    },
  }),
  plan(planning, settings) {
    const one = settings.inputs === "original" ? originalBlock : sequentialBlock;
    const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => one(planning, block));
    return [windowsStep(planning, settings), ...blocks];
  },
};

function requestOf({ dataset, samples, length, seed }: Params): TextRequest {
  const expected = { windows: samples, length };
  return {
    id: NAME,
    name: "calibration",
    path: `stages.${NAME}`,
    dataset,
    split: "calibration",
    samples,
    length,
    seed,
    expected,
  };
}

function windowsStep(planning: Planning, settings: Params): Step {
  const request = requestOf(settings), { dataset } = settings;
  const { tools, code } = planning.use(import.meta.url, ["text"]);
  // Stored windows are taken in order: nothing is drawn.
  const drawn = typeof dataset === "string" || "text" in dataset;
  return {
    id: WINDOWS.step,
    stage: NAME,
    code,
    reads: [path("samples"), path("length"), ...(drawn ? [path("seed")] : [])],
    facts: { text: planning.text(NAME).identity },
    inputs: {},
    outputs: { windows: { retain: "keep", bytes: 4 * settings.samples * settings.length } },
    estimate: { seconds: 0.5, memory: 2e8 },
    early: true,
    async run(context) {
      const windows = await tools.text.windows(request, context.signal);
      warnOfEqualWindows(windows, planning.warn);
      await storeWindows(context.output("windows"), windows);
      context.output("windows").value(windows.facts);
    },
  };
}

/** The block's own weights on what the compressed blocks before it put out; hidden states are the block's *inputs*. */
function sequentialBlock(planning: Planning, block: number): Step {
  const { spec, identities, roles } = planning, size = planning.text(NAME);
  const { tools, code } = planning.use(
    import.meta.url,
    block === 0 ? ["forward", "weights"] : ["forward", "weights", "packing"],
  );
  const pruning = prunedFirst(planning, block);
  const before: Step["inputs"] = block === 0 || roles.packed === undefined ? {} : {
    previous: from(`${NAME}[${block - 1}]`, "hidden"),
    compressed: roles.packed.block(block - 1),
  };
  return {
    ...common(planning, block),
    code,
    facts: {
      ...common(planning, block).facts,
      ...(block === 0 ? { embedding: identities.embedding } : { before: identities.blocks[block - 1] }),
    },
    reads: [...common(planning, block).reads, ...pruning.reads],
    inputs: { windows: WINDOWS, ...before, ...pruning.inputs },
    outputs: {
      statistics: statisticsOutput(planning),
      hidden: { retain: "transient", bytes: hiddenBytes(spec, size) },
    },
    estimate: {
      seconds: forwardSeconds(spec, size, true) + (block === 0 ? 0 : forwardSeconds(spec, size, false)),
      memory: forwardMemory(spec, true),
    },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
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
      const { gathered } = await passBlock(
        { forward, spec, text, source: keep, block, weights, gather: "full" },
        context,
      );
      await storeStatistics(context.output("statistics"), { gathered, sequences: text.windows, block });
    },
  };
}

/** The original block on the original blocks' outputs; hidden states are the block's *outputs*. */
function originalBlock(planning: Planning, block: number): Step {
  const { spec, identities } = planning, size = planning.text(NAME);
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights"]);
  const last = block === spec.blocks - 1;
  return {
    ...common(planning, block),
    code,
    facts: { ...common(planning, block).facts, ...(block === 0 ? { embedding: identities.embedding } : {}) },
    inputs: block === 0
      ? { windows: WINDOWS }
      : { windows: WINDOWS, previous: from(`${NAME}[${block - 1}]`, "hidden") },
    outputs: {
      statistics: statisticsOutput(planning),
      ...(last ? {} : { hidden: { retain: "transient", bytes: hiddenBytes(spec, size) } }),
    },
    estimate: { seconds: forwardSeconds(spec, size, true), memory: forwardMemory(spec, true) },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
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
          ...(last ? { each: () => Promise.resolve() } : { output: context.output("hidden") }),
        },
        context,
      );
      await storeStatistics(context.output("statistics"), { gathered, sequences: text.windows, block });
      const measured = finiteSimilarity(similarity, { stage: NAME, block });
      context.output("statistics").value({ sequences: text.windows, similarity: { ...measured } });
    },
  };
}

function common({ architecture, identities, forward }: Planning, block: number) {
  return {
    id: `${NAME}[${block}]`,
    stage: NAME,
    block,
    reads: [path("inputs")],
    facts: { architecture, weights: identities.blocks[block], provider: forward.provider },
  };
}

function statisticsOutput({ spec }: Planning) {
  const bytes = gramSizes(spec).reduce((sum, size) => sum + 2 * size * (size + 1), 0);
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

/**
 * Writes S of every input of a block.
 *
 * @throws {Error} when an entry is not finite
 */
export async function storeStatistics(
  writer: ArtifactWriter,
  { gathered, sequences, block }: {
    readonly gathered: Readonly<Record<string, InputSums>>;
    readonly sequences: number;
    readonly block: number;
  },
): Promise<void> {
  for (const [input, { upper }] of Object.entries(gathered)) {
    if (upper === undefined) throw new Error(`Cannot store S of "${input}" as it was not gathered`);
    const broken = upper.find((value) => !Number.isFinite(value));
    if (broken !== undefined) {
      throw new Error(
        `Cannot calibrate block ${block} as the second moments of input "${input}" must be finite: one is ${broken}; ` +
          "activations overflow float32: look for extreme weights in this block and those before it",
      );
    }
    await writer.write(`${input}.safetensors`, { upper: { dtype: "F32", shape: [upper.length], data: upper } });
  }
  writer.value({ sequences });
}

/** Warns in one line where windows repeat others: they say no more than one of them. */
export function warnOfEqualWindows({ ids, windows, length }: Windows, warn: (message: string) => void): void {
  const different = new Set(
    Array.from({ length: windows }, (_, i) => ids.subarray(i * length, (i + 1) * length).join()),
  ).size;
  if (different === windows) return;
  warn(
    `${windows - different} of ${windows} calibration windows only repeat others: the text is short for ` +
      `${path("samples")} ${windows} of ${path("length")} ${length}`,
  );
}
