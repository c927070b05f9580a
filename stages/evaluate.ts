/**
 * evaluate: perplexity of the original model and of the decoded packed file, block by block over all windows.
 *
 * Perplexity is exp of the mean over windows of the mean next-token loss inside a window.
 */
import { dirname } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import { readTensors, type TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import type { OutputRef, Step, StepContext } from "../runner/stage.ts";
import { passBlock } from "./block_pass.ts";
import { embeddedHidden, storedHidden, storedWindows, storeWindows } from "./hidden_states.ts";
import { PACKED_MODEL, PACKED_WEIGHTS } from "./pack.ts";
import {
  forwardMemory,
  forwardSeconds,
  from,
  hiddenBytes,
  type Planning,
  type Stage,
  type TextFacts,
} from "./planning.ts";

/** The stage; see the file's head. */
export const evaluate: Stage = { name: "evaluate", version: 1, plan };

/** The two models that are compared. */
export type Variant = "original" | "compressed";

/** Perplexity of one model on one text. */
export type Perplexity = {
  readonly perplexity: number;
  /** Predicted tokens. */
  readonly tokens: number;
};

/** Where the perplexity of a model on a text is, as the artifact's value. */
export function perplexityOf(name: string, variant: Variant, spec: Planning["spec"]): OutputRef {
  return from(`evaluate.${name}.${variant}[${spec.blocks - 1}]`, "loss");
}

function plan(planning: Planning): Step[] {
  return [...planning.evaluations].flatMap(([name, text]) => [
    windowsStep(planning, name, text),
    ...(["original", "compressed"] as const).flatMap((variant) =>
      Array.from({ length: planning.spec.blocks }, (_, block) => blockStep(planning, { name, text, variant, block }))
    ),
  ]);
}

function windowsStep({ tools }: Planning, name: string, text: TextFacts): Step {
  return {
    id: `evaluate.${name}.windows`,
    stage: "evaluate",
    version: evaluate.version,
    reads: [],
    facts: { text: text.identity },
    inputs: {},
    outputs: { windows: { retain: "keep", bytes: 4 * text.windows * text.length } },
    estimate: { seconds: 0.5, memory: 2e8 },
    async run(context) {
      const windows = await tools.evaluationWindows(name, context);
      await storeWindows(context.output("windows"), windows);
      context.output("windows").value(windows.facts);
    },
  };
}

function blockStep(
  planning: Planning,
  { name, text, variant, block }: {
    readonly name: string;
    readonly text: TextFacts;
    readonly variant: Variant;
    readonly block: number;
  },
): Step {
  const { spec, identities, architecture, forward, tools } = planning;
  const id = (at: number) => `evaluate.${name}.${variant}[${at}]`;
  const last = block === spec.blocks - 1;
  const weights = variant === "compressed" ? {} : {
    weights: identities.blocks[block],
    ...(block === 0 ? { embedding: identities.embedding } : {}),
    ...(last ? { head: identities.head } : {}),
  };
  return {
    id: id(block),
    stage: "evaluate",
    block,
    version: evaluate.version,
    reads: [],
    facts: { architecture, provider: forward.provider, code: tools.sources.forward, ...weights },
    inputs: {
      windows: from(`evaluate.${name}.windows`, "windows"),
      ...(block === 0 ? {} : { previous: from(id(block - 1), "hidden") }),
      ...(variant === "compressed" ? { model: PACKED_MODEL } : {}),
    },
    outputs: last
      ? { loss: { retain: "keep", bytes: 8 * text.windows + 1000 } }
      : { hidden: { retain: "transient", bytes: hiddenBytes(spec, text) } },
    estimate: { seconds: forwardSeconds(spec, text, false), memory: forwardMemory(spec, false) },
    async run(context) {
      const read = await weightsOf(planning, variant, context);
      try {
        await pass(planning, { context, block, last, read });
      } finally {
        read.close();
      }
    },
  };
}

/** Reads tensors of the original checkpoint, or of the packed file. */
interface WeightReader {
  (shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  close(): void;
}

async function weightsOf({ tools }: Planning, variant: Variant, context: StepContext): Promise<WeightReader> {
  if (variant === "original") return Object.assign(tools.weights, { close: () => {} });
  const model = await context.input("model");
  for (const file of model.files) model.path(file);
  const packed = await openPacked(dirname(model.path(PACKED_WEIGHTS)));
  return Object.assign((shapes: TensorShapes) => readTensors(packed, shapes), { close: () => packed.close() });
}

async function pass(
  { spec, tools }: Planning,
  { context, block, last, read }: {
    readonly context: StepContext;
    readonly block: number;
    readonly last: boolean;
    readonly read: WeightReader;
  },
): Promise<void> {
  const text = await storedWindows(await context.input("windows"));
  const forward = await tools.forward();
  const source = block === 0
    ? embeddedHidden(forward, await read(embeddingShapes(spec)), text)
    : storedHidden(await context.input("previous"));
  const weights = await read(blockShapes(spec, block));
  const run = { forward, spec, text, source, block, weights };
  if (!last) {
    await passBlock({ ...run, output: context.output("hidden") }, context);
    return;
  }
  const head = await forward.openHead(await read(headShapes(spec)));
  const losses = new Float64Array(text.windows);
  await passBlock({
    ...run,
    each: async ({ first, windows }, hidden) => {
      const ids = text.ids.slice(first * text.length, (first + windows) * text.length);
      losses.set(await head.loss(hidden, ids, { windows, length: text.length }), first);
    },
  }, context);
  await head.close();
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  const value = { perplexity: Math.exp(mean), tokens: text.windows * (text.length - 1) };
  const writer = context.output("loss");
  await writer.write("loss.safetensors", { loss: { dtype: "F64", shape: [losses.length], data: losses } });
  writer.value(value);
  context.measure(value);
}
