/** Perplexity of one text on the original model and on the packed one: steps block by block over all windows. */
import { toJsonNumber } from "../files/json_number.ts";
import type { HeadComparison } from "../models/forward.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import type { Step, StepContext } from "../runner/stage.ts";
import { from, type Perplexity, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { comparedWindows, sampledBytes, SampledStates, sumUp } from "./compared_text.ts";
import { forwardMemory, forwardSeconds, headMemory, headSeconds, hiddenBytes } from "./costs.ts";
import { type Batch, embeddedHidden, storedHidden, storedWindows, storeHidden, storeWindows } from "./hidden_states.ts";
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

/** Where it is how far the packed model is from the original: its hidden states after each block, and its next tokens. */
export function comparisonOf(name: string, { blocks }: { readonly blocks: number }) {
  const steps = Array.from({ length: blocks }, (_, block) => stepOf(name, "compressed", block));
  return { away: steps.map((step) => from(step, "away")), divergence: from(steps[blocks - 1], "divergence") };
}

/** How a text is measured. */
export interface TextOptions {
  readonly packed: Roles["packed"];
  /** Whether the models are compared token by token. */
  readonly compared: boolean;
}

/** The steps that measure a text. */
export function textSteps(planning: Planning, request: TextRequest, options: TextOptions): Step[] {
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  return [
    windowsStep(planning, request),
    ...VARIANTS.flatMap((variant) =>
      blocks.map((block) => blockStep(planning, { request, variant, block, ...options }))
    ),
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

interface BlockOf extends TextOptions {
  readonly request: TextRequest;
  readonly variant: Variant;
  readonly block: number;
}

function blockStep(planning: Planning, { request, variant, block, packed, compared }: BlockOf): Step {
  const { spec } = planning, { name } = request;
  const { tools, code, facts, inputs, weights, original } = variantBlock(planning, {
    ...{ source: import.meta.url, variant, block, packed, compared },
  });
  const text = planning.text(request.id), last = block === spec.blocks - 1;
  const beside = compared && variant === "compressed", counterpart = stepOf(name, "original", block);
  const kept = { windows: comparedWindows(spec, text), length: text.length };
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
      ...(beside ? { sample: from(counterpart, "sample") } : {}),
      ...(beside && last ? { states: from(counterpart, "states") } : {}),
    },
    outputs: {
      ...(last
        ? { loss: { retain: "keep", bytes: 8 * text.windows + 1000 } }
        : { hidden: { retain: "transient", bytes: hiddenBytes(spec, text) } }),
      ...(beside ? { away: { retain: "keep", bytes: 100 } } : {}),
      ...(beside && last ? { divergence: { retain: "keep", bytes: 3000 } } : {}),
      ...(compared && !beside ? { sample: { retain: "keep", bytes: sampledBytes(spec) } } : {}),
      ...(compared && !beside && last ? { states: { retain: "keep", bytes: hiddenBytes(spec, kept) } } : {}),
    },
    estimate: {
      seconds: forwardSeconds(spec, text, false) + (last ? headSeconds(spec, text) : 0) +
        (beside && last ? headSeconds(spec, kept) : 0),
      // Heads are there beside the block, whose outputs they take.
      memory: forwardMemory(spec, false) + (last ? headMemory(spec) : 0) + (beside && last ? headMemory(spec) : 0),
    },
    async run(context) {
      const read = await weights(context);
      await pass(planning, tools, {
        context,
        block,
        last,
        weights: read,
        compared,
        ...(original ? { original } : {}),
        beside,
      });
    },
  };
}

async function pass(
  { spec }: Planning,
  tools: Pick<Tools, "forward">,
  { context, block, last, weights: reader, compared, beside, original }: {
    readonly context: StepContext;
    readonly block: number;
    readonly last: boolean;
    readonly weights: WeightReader;
    readonly compared: boolean;
    /** Whether this is the model that is compared with the original. */
    readonly beside: boolean;
    readonly original?: () => WeightReader;
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
  const sample = compared ? new SampledStates(spec, text) : undefined;
  const weights = await reader.read(blockShapes(spec, block));
  const run = { forward, spec, text, source, block, weights };
  const see = (batch: Batch, hidden: Float32Array) => {
    look(hidden, `block ${block}`);
    sample?.take(batch, hidden);
  };
  if (!last) {
    const output = context.output("hidden");
    await passBlock({
      ...run,
      output,
      each: async (batch, hidden) => {
        if (batch.index === 0) reader.ahead(blockShapes(spec, block + 1));
        await Promise.resolve(see(batch, hidden));
      },
    }, context);
    output.value(lost === undefined ? null : { lost });
    if (sample) await tellSample(context, sample, beside);
    return;
  }
  const head = await forward.openHead(await reader.read(headShapes(spec)));
  const other = original && await forward.openHead(await original().read(headShapes(spec)));
  const states = beside ? storedHidden(await context.input("states")) : undefined;
  const losses = new Float64Array(text.windows), parts: HeadComparison[] = [];
  const keep = compared ? comparedWindows(spec, text) : 0;
  await passBlock({
    ...run,
    each: async (batch, hidden) => {
      see(batch, hidden);
      const { first, windows } = batch, { length } = text, some = Math.max(0, Math.min(windows, keep - first));
      const idsOf = (from: number, end: number) => text.ids.slice((first + from) * length, (first + end) * length);
      const cut = (from: number, end: number) => hidden.slice(from * length * spec.hidden, end * length * spec.hidden);
      if (compared && !beside && some > 0) {
        await storeHidden(context.output("states"), { ...batch, windows: some }, cut(0, some), { length });
      }
      if (other !== undefined && states !== undefined && some > 0) {
        const size = { windows: some, length };
        const found = await head.compare(other, [cut(0, some), await states(batch)], idsOf(0, some), size);
        look(found.divergence, "the head");
        parts.push(found);
        for (let window = 0; window < some; window++) {
          const of = found.loss.subarray(window * (length - 1), (window + 1) * (length - 1));
          losses[first + window] = of.reduce((sum, loss) => sum + loss, 0) / (length - 1);
        }
        if (some === windows) return;
        losses.set(
          await head.loss(cut(some, windows), idsOf(some, windows), { windows: windows - some, length }),
          first + some,
        );
      } else losses.set(await head.loss(hidden, idsOf(0, windows), { windows, length }), first);
    },
  }, context);
  await head.close();
  await other?.close();
  look(losses, "the head");
  if (sample) await tellSample(context, sample, beside);
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  const value: Perplexity = {
    perplexity: toJsonNumber(lost === undefined ? Math.exp(mean) : NaN),
    tokens: text.windows * (text.length - 1),
    ...(lost === undefined ? {} : { lost }),
  };
  const writer = context.output("loss");
  await writer.write("loss.safetensors", { loss: { dtype: "F64", shape: [losses.length], data: losses } });
  writer.value(value);
  const divergence = parts.length > 0 && lost === undefined ? sumUp(parts, text) : undefined;
  if (beside) context.output("divergence").value(divergence ?? null);
  context.measure({
    ...value,
    ...(divergence === undefined ? {} : { kl: divergence.kl.mean, same_top: divergence.same_top }),
  });
}

/** Of the original the sampled states are kept; of the other model, how far they are from those. */
async function tellSample(context: StepContext, sample: SampledStates, beside: boolean): Promise<void> {
  if (beside) {
    const { sample: { data } } = await (await context.input("sample")).read(SAMPLE);
    const away = sample.awayFrom(data as Float32Array);
    context.output("away").value(Number.isFinite(away) ? away : null);
    if (Number.isFinite(away)) context.measure({ away });
    return;
  }
  const { values } = sample;
  const output = context.output("sample");
  await output.write(SAMPLE, { sample: { dtype: "F32", shape: [values.length], data: values } });
  output.value(null);
}

const SAMPLE = "sample.safetensors";

function allFinite(values: Float32Array | Float64Array): boolean {
  let sum = 0;
  // Zero times what is not finite is NaN.
  for (let i = 0; i < values.length; i++) sum += 0 * values[i];
  return sum === 0;
}
