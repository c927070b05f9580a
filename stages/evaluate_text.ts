/** Perplexity of one text on the original model and on the packed one: steps block by block over all windows. */
import { toJsonNumber } from "../files/json_number.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import type { Step, StepContext } from "../runner/stage.ts";
import { from, type Perplexity, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, hiddenBytes } from "./costs.ts";
import { embeddedHidden, storedHidden, storedWindows, storeWindows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import type { Tools } from "./tools/mod.ts";
import type { TextRequest } from "./tools/text.ts";
import { type Variant, variantBlock, VARIANTS, type WeightReader } from "./variants.ts";

/** The stage whose steps these are. */
const NAME = "evaluate";

/** Where the loss of a text is. */
export function lossOf(name: string, variant: Variant, { blocks }: { readonly blocks: number }) {
  return from(stepOf(name, variant, blocks - 1), "loss");
}

/** The steps that measure a text. */
export function textSteps(planning: Planning, request: TextRequest, packed: Roles["packed"]): Step[] {
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  return [
    windowsStep(planning, request),
    ...VARIANTS.flatMap((variant) => blocks.map((block) => blockStep(planning, { request, variant, block, packed }))),
  ];
}

function stepOf(name: string, variant: Variant, block: number): string {
  return `${NAME}.${name}.${variant}[${block}]`;
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
  readonly request: TextRequest;
  readonly variant: Variant;
  readonly block: number;
  readonly packed: Roles["packed"];
}

function blockStep(planning: Planning, { request, variant, block, packed }: BlockOf): Step {
  const { spec } = planning, { name } = request;
  const { tools, code, facts, inputs, weights } = variantBlock(planning, {
    ...{ source: import.meta.url, variant, block, packed },
  });
  const text = planning.text(request.id);
  const last = block === spec.blocks - 1;
  return {
    id: stepOf(name, variant, block),
    stage: NAME,
    block,
    code,
    reads: [],
    facts,
    inputs: {
      windows: from(`${request.id}.windows`, "windows"),
      ...(block === 0 ? {} : { previous: from(stepOf(name, variant, block - 1), "hidden") }),
      ...inputs,
    },
    outputs: last
      ? { loss: { retain: "keep", bytes: 8 * text.windows + 1000 } }
      : { hidden: { retain: "transient", bytes: hiddenBytes(spec, text) } },
    estimate: { seconds: forwardSeconds(spec, text, false), memory: forwardMemory(spec, false) },
    async run(context) {
      await pass(planning, tools, { context, block, last, weights: await weights(context) });
    },
  };
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
