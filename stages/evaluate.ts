/**
 * evaluate: perplexity of the original model and of the decoded packed file, block by block over all windows.
 *
 * Perplexity is exp of the mean over windows of the mean next-token loss inside a window. One that is not finite is a result like any
 * other: the steps go on, and tell the first part of the model whose outputs are not finite.
 */
import { dirname } from "node:path";
import * as z from "zod";
import { toJsonNumber } from "../files/json_number.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import { error, type Rule } from "../recipes/language.ts";
import { nearest } from "../recipes/suggest.ts";
import { count } from "../recipes/words.ts";
import type { Step, StepContext } from "../runner/stage.ts";
import { from, PACKED_WEIGHTS, type Perplexity, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, hiddenBytes } from "./costs.ts";
import { Dataset, TEXTS } from "./dataset_schema.ts";
import { embeddedHidden, storedHidden, storedWindows, storeWindows } from "./hidden_states.ts";
import type { Planning, Stage } from "./planning.ts";
import type { TextRequest } from "./tools/text.ts";
import type { Tools } from "./tools/mod.ts";

/** Text to measure perplexity on. */
const Evaluation = z.union([
  z.enum(TEXTS),
  z.strictObject({
    name: z.string().regex(/^[a-z0-9-]+$/, "small letters, digits and hyphens only").describe("Name in metrics.json"),
    dataset: Dataset.describe("Text or token windows to measure on"),
    samples: count(1, 1_000_000).optional().describe("At most so many windows; default: all the protocol has"),
    length: count(2, 1_048_576).optional().describe("Tokens per window; default 2048 or the model's maximum"),
  }),
]);
type Evaluation = z.infer<typeof Evaluation>;

const Params = z.strictObject({
  perplexity: z.array(Evaluation).default(["wikitext2"]).describe("Texts to measure, on the packed model"),
  tasks: z.array(z.string()).max(0, "tasks are not available in this version").default([])
    .describe("Zero-shot tasks; none in this version"),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type EvaluateParams = Params;

const NAME = "evaluate";
const EVALUATIONS = `stages.${NAME}.perplexity`;

/** The two models that are compared. */
const VARIANTS = ["original", "compressed"] as const;
type Variant = typeof VARIANTS[number];

const rules: readonly Rule[] = [
  {
    reads: [EVALUATIONS],
    check({ value }) {
      const evaluations = value<readonly Evaluation[]>(EVALUATIONS) ?? [], names = evaluations.map(nameOf);
      return names.flatMap((name, index) => {
        if (names.indexOf(name) === index) return [];
        const path = [...EVALUATIONS.split("."), String(index)];
        if (typeof evaluations[index] !== "string") path.push("name");
        return [error(path, `evaluation \`${name}\` is listed twice`, { note: "names are the keys of metrics.json" })];
      });
    },
  },
  {
    reads: ["expect", EVALUATIONS],
    partial: true,
    check({ value }) {
      const names = (value<readonly Evaluation[]>(EVALUATIONS) ?? []).map(nameOf);
      return Object.keys(value<object>("expect") ?? {}).filter((name) => !names.includes(name)).map((name) =>
        error(["expect", name], `nothing named \`${name}\` is evaluated`, {
          isKey: true,
          allowed: names.length > 0 ? [...new Set(names)].join(", ") : `nothing, as ${EVALUATIONS} is empty`,
          suggestion: nearest(name, names),
        })
      );
    },
  },
];

/** The stage; see the file's head. */
export const evaluate: Stage<Params> = {
  name: NAME,
  summary: "Measures the original and the packed model",
  params: Params,
  rules,
  makes: ["perplexity"],
  needs: ["packed"],
  texts: ({ perplexity }, spec) => perplexity.map((entry, index) => requestOf(entry, index, spec)),
  offer: ({ perplexity }, spec) => ({
    perplexity: {
      of: new Map(perplexity.map((entry) => {
        const loss = (variant: Variant) => from(stepOf(nameOf(entry), variant, spec.blocks - 1), "loss");
        return [nameOf(entry), { original: loss("original"), compressed: loss("compressed") }];
      })),
    },
  }),
  plan(planning, { perplexity }) {
    const { spec, roles: { packed } } = planning;
    if (packed === undefined) return [];
    const blocks = Array.from({ length: spec.blocks }, (_, block) => block);
    return perplexity.flatMap((entry, index) => {
      const request = requestOf(entry, index, spec);
      return [
        windowsStep(planning, request),
        ...VARIANTS.flatMap((variant) =>
          blocks.map((block) => blockStep(planning, { name: nameOf(entry), request, variant, block, packed }))
        ),
      ];
    });
  },
};

function nameOf(evaluation: Evaluation): string {
  return typeof evaluation === "string" ? evaluation : evaluation.name;
}

function stepOf(name: string, variant: Variant, block: number): string {
  return `${NAME}.${name}.${variant}[${block}]`;
}

function requestOf(
  entry: Evaluation,
  index: number,
  { maxPositions }: Pick<ModelSpec, "maxPositions">,
): TextRequest {
  const name = nameOf(entry), path = `${EVALUATIONS}.${index}`;
  const { dataset, samples, length } = typeof entry === "string"
    ? { dataset: entry, samples: undefined, length: undefined }
    : entry;
  return {
    ...{ id: `${NAME}.${name}`, name, path, dataset, split: "evaluation", seed: 0, samples, length },
    expected: { windows: samples ?? 200, length: length ?? Math.min(2048, maxPositions) },
  };
}

function windowsStep(planning: Planning, request: TextRequest): Step {
  const { tools, code } = planning.use(import.meta.url, ["text"]);
  const { identity, windows, length } = planning.text(request.id);
  // Of a list in a recipe nothing can be read by path that stays the same when the list changes.
  const limits = { samples: request.samples ?? null, length: request.length ?? null };
  return {
    id: `${request.id}.windows`,
    stage: NAME,
    code,
    reads: [],
    facts: { text: identity, limits, longest: planning.spec.maxPositions },
    inputs: {},
    outputs: { windows: { retain: "keep", bytes: 4 * windows * length } },
    estimate: { seconds: 0.5, memory: 2e8 },
    early: true,
    async run(context) {
      const windows = await tools.text.windows(request, context.signal);
      await storeWindows(context.output("windows"), windows);
      context.output("windows").value(windows.facts);
    },
  };
}

interface BlockOf {
  readonly name: string;
  readonly request: TextRequest;
  readonly variant: Variant;
  readonly block: number;
  readonly packed: Roles["packed"];
}

function blockStep(planning: Planning, { name, request, variant, block, packed }: BlockOf): Step {
  const { spec, identities, architecture, forward, roles: { quantized } } = planning;
  const original = variant === "original";
  const { tools, code } = planning.use(
    import.meta.url,
    ["forward", original ? "weights" : "model_file"],
    original ? {} : { formats: quantized ? packed.formats(quantized.format) : [] },
  );
  const text = planning.text(request.id);
  const last = block === spec.blocks - 1;
  const weights = !original ? {} : {
    weights: identities.blocks[block],
    ...(block === 0 ? { embedding: identities.embedding } : {}),
    ...(last ? { head: identities.head } : {}),
  };
  return {
    id: stepOf(name, variant, block),
    stage: NAME,
    block,
    code,
    reads: [],
    facts: { architecture, provider: forward.provider, ...weights },
    inputs: {
      windows: from(`${request.id}.windows`, "windows"),
      ...(block === 0 ? {} : { previous: from(stepOf(name, variant, block - 1), "hidden") }),
      ...(original ? {} : { model: packed.model }),
    },
    outputs: last
      ? { loss: { retain: "keep", bytes: 8 * text.windows + 1000 } }
      : { hidden: { retain: "transient", bytes: hiddenBytes(spec, text) } },
    estimate: { seconds: forwardSeconds(spec, text, false), memory: forwardMemory(spec, false) },
    async run(context) {
      const weights = original ? originalReader(tools) : await packedReader(tools, context);
      await pass(planning, tools, { context, block, last, weights });
    },
  };
}

/** Reads tensors of the original checkpoint, or of the packed file. */
interface WeightReader {
  read(shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  /** Told what will be read next. */
  ahead(shapes: TensorShapes): void;
}

/** Reads plain numbers, which takes too little to begin ahead. */
function originalReader({ weights }: Pick<Tools, "weights">): WeightReader {
  return { read: (shapes) => weights.read(shapes), ahead: () => {} };
}

async function packedReader(
  { model_file }: Pick<Tools, "model_file">,
  context: StepContext,
): Promise<WeightReader> {
  const model = await context.input("model");
  for (const file of model.files) await model.path(file);
  return await model_file.open(dirname(await model.path(PACKED_WEIGHTS)));
}

async function pass(
  { spec }: Planning,
  tools: Pick<Tools, "forward">,
  { context, block, last, weights: reader }: {
    readonly context: StepContext;
    readonly block: number;
    readonly last: boolean;
    readonly weights: WeightReader;
  },
): Promise<void> {
  const text = await storedWindows(await context.input("windows"));
  const forward = await tools.forward();
  const previous = block === 0 ? undefined : await context.input("previous");
  const source = previous === undefined
    ? embeddedHidden(forward, await reader.read(embeddingShapes(spec)), text)
    : storedHidden(previous);
  let lost = (previous?.value as Pick<Perplexity, "lost"> | null | undefined)?.lost;
  const look = (values: Float32Array | Float64Array, part: string) => {
    if (lost === undefined && !allFinite(values)) lost = part;
  };
  const weights = await reader.read(blockShapes(spec, block));
  const run = { forward, spec, text, source, block, weights };
  if (!last) {
    const output = context.output("hidden");
    await passBlock({
      ...run,
      output,
      each: async ({ index }, hidden) => {
        if (index === 0) reader.ahead(blockShapes(spec, block + 1));
        await Promise.resolve(look(hidden, `block ${block}`));
      },
    }, context);
    output.value(lost === undefined ? null : { lost });
    return;
  }
  const head = await forward.openHead(await reader.read(headShapes(spec)));
  const losses = new Float64Array(text.windows);
  await passBlock({
    ...run,
    each: async ({ first, windows }, hidden) => {
      look(hidden, `block ${block}`);
      const ids = text.ids.slice(first * text.length, (first + windows) * text.length);
      losses.set(await head.loss(hidden, ids, { windows, length: text.length }), first);
    },
  }, context);
  await head.close();
  look(losses, "the head");
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  const value: Perplexity = {
    perplexity: toJsonNumber(lost === undefined ? Math.exp(mean) : NaN),
    tokens: text.windows * (text.length - 1),
    ...(lost === undefined ? {} : { lost }),
  };
  const writer = context.output("loss");
  await writer.write("loss.safetensors", { loss: { dtype: "F64", shape: [losses.length], data: losses } });
  writer.value(value);
  context.measure(value);
}

function allFinite(values: Float32Array | Float64Array): boolean {
  let sum = 0;
  // Zero times what is not finite is NaN.
  for (let i = 0; i < values.length; i++) sum += 0 * values[i];
  return sum === 0;
}
