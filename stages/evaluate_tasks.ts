/**
 * Zero-shot tasks on the original model and on the packed one: all questions of a task are one stream of windows through the blocks, and
 * the head is asked only where a choice's own tokens are predicted.
 */
import type { ArtifactReader, ArtifactWriter, OutputRef, Step, StepContext } from "../runner/stage.ts";
import type { HeadRun } from "../models/forward.ts";
import type { Segment } from "../models/segments.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import { type Answer, scoreItems } from "../tasks/score.ts";
import { from, type Roles, type TaskResult } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, hiddenBytes } from "./costs.ts";
import {
  type Batch,
  embeddedHidden,
  storedHidden,
  storedWindows,
  storeWindows,
  type Windows,
} from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import type { PlacedTask, TaskRequest } from "./tools/tasks.ts";
import type { Tools } from "./tools/mod.ts";
import { type Variant, variantBlock, VARIANTS, type WeightReader } from "./variants.ts";

/** The stage whose steps these are. */
const NAME = "evaluate";

/** Files of the questions besides their token ids. */
const FILES = { segments: "segments.safetensors", asked: "asked.safetensors", items: "items.safetensors" } as const;

/** What is told of the questions beside them. */
type Placed = Pick<PlacedTask, "cut" | "placed" | "tokens" | "normalised"> & { readonly items: number };

/** Where the scores of a task are. */
export function scoresOf(name: string, variant: Variant, { blocks }: { readonly blocks: number }): OutputRef {
  return from(stepOf(name, variant, blocks - 1), "scores");
}

/** The steps that ask a task. */
export function taskSteps(planning: Planning, request: TaskRequest, packed: Roles["packed"]): Step[] {
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  return [
    questionsStep(planning, request),
    ...VARIANTS.flatMap((variant) => blocks.map((block) => blockStep(planning, { request, variant, block, packed }))),
  ];
}

function stepOf(name: string, variant: Variant, block: number): string {
  return `${NAME}.tasks.${name}.${variant}[${block}]`;
}

function questionsStep(planning: Planning, request: TaskRequest): Step {
  const { tools, code } = planning.use(import.meta.url, ["tasks"]);
  const { identity, windows, length } = planning.task(request.id);
  const { maxPositions, vocab } = planning.spec;
  return {
    id: `${request.id}.questions`,
    stage: NAME,
    code,
    reads: [],
    facts: { questions: identity, maxPositions, vocab },
    inputs: {},
    outputs: { questions: { retain: "keep", bytes: 8 * windows * length } },
    estimate: { seconds: 1, memory: 3e8 },
    early: true,
    async run(context) {
      const placed = await tools.tasks.place(request, context.signal), output = context.output("questions");
      await store(output, placed);
      const { cut, tokens, gold, normalised } = placed;
      const value: Placed = { cut, tokens, normalised, placed: placed.placed, items: gold.length };
      output.value(value);
      context.measure(value);
    },
  };
}

interface BlockOf {
  readonly request: TaskRequest;
  readonly variant: Variant;
  readonly block: number;
  readonly packed: Roles["packed"];
}

function blockStep(planning: Planning, { request, variant, block, packed }: BlockOf): Step {
  const { spec } = planning, { name } = request;
  const { tools, code, facts, inputs, weights } = variantBlock(planning, {
    ...{ source: import.meta.url, variant, block, packed },
  });
  const { items, ...size } = planning.task(request.id);
  const last = block === spec.blocks - 1;
  return {
    id: stepOf(name, variant, block),
    stage: NAME,
    block,
    code,
    reads: [],
    facts,
    inputs: {
      questions: from(`${request.id}.questions`, "questions"),
      ...(block === 0 ? {} : { previous: from(stepOf(name, variant, block - 1), "hidden") }),
      ...inputs,
    },
    outputs: last
      ? { scores: { retain: "keep", bytes: 40 * items + 1000 } }
      : { hidden: { retain: "transient", bytes: hiddenBytes(spec, size) } },
    estimate: { seconds: forwardSeconds(spec, size, false), memory: forwardMemory(spec, false) },
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
  const questions = await context.input("questions"), text = await storedQuestions(questions);
  const forward = await tools.forward();
  const previous = block === 0 ? undefined : await context.input("previous");
  const source = previous === undefined
    ? embeddedHidden(forward, await reader.read(embeddingShapes(spec)), text)
    : storedHidden(previous);
  const run = { forward, spec, text, source, block, weights: await reader.read(blockShapes(spec, block)) };
  if (!last) {
    const each = (batch: Batch) => {
      if (batch.index === 0) reader.ahead(blockShapes(spec, block + 1));
      return Promise.resolve();
    };
    await passBlock({ ...run, output: context.output("hidden"), each }, context);
    return;
  }
  const head = await forward.openHead(await reader.read(headShapes(spec)));
  const asked = await readAsked(questions), answers = new Answers(asked.choices);
  await passBlock({ ...run, each: (batch, hidden) => answers.add({ head, asked, text, batch, hidden }) }, context);
  await head.close();
  await hand(context, questions, answers);
}

/** What is asked, in order of places. */
interface AskedTokens {
  readonly places: Int32Array;
  readonly ids: Int32Array;
  readonly choice: Int32Array;
  /** How many choices there are. */
  readonly choices: number;
}

/** Answers, as batches of windows bring them. */
class Answers {
  readonly logLikelihoods: Float64Array;
  readonly greedy: Uint8Array;
  #next = 0;

  constructor(choices: number) {
    this.logLikelihoods = new Float64Array(choices);
    this.greedy = new Uint8Array(choices).fill(1);
  }

  async add(
    { head, asked, text: { length }, batch: { first, windows }, hidden }: {
      readonly head: HeadRun;
      readonly asked: AskedTokens;
      readonly text: Windows;
      readonly batch: Batch;
      readonly hidden: Float32Array;
    },
  ): Promise<void> {
    const from = this.#next, width = hidden.length / (windows * length);
    while (this.#next < asked.places.length && asked.places[this.#next] < (first + windows) * length) this.#next++;
    if (from === this.#next) return;
    // Several choices may ask after one place: its logits are computed once.
    const rows: number[] = [], of = new Int32Array(this.#next - from), among = new Int32Array(this.#next - from);
    let most = 1;
    for (let i = from; i < this.#next; i++) {
      const place = asked.places[i] - first * length, again = rows.length > 0 && rows[rows.length - 1] === place;
      if (!again) rows.push(place);
      of[i - from] = rows.length - 1;
      among[i - from] = again ? among[i - from - 1] + 1 : 0;
      most = Math.max(most, among[i - from] + 1);
    }
    const states = new Float32Array(rows.length * width), ids = new Int32Array(rows.length * most);
    for (const [row, place] of rows.entries()) {
      states.set(hidden.subarray(place * width, (place + 1) * width), row * width);
    }
    for (let i = 0; i < of.length; i++) ids[of[i] * most + among[i]] = asked.ids[from + i];
    const { logLikelihoods, likeliest } = await head.choose(states, ids, most);
    for (let i = 0; i < of.length; i++) {
      const choice = asked.choice[from + i];
      this.logLikelihoods[choice] += logLikelihoods[of[i] * most + among[i]];
      if (likeliest[of[i]] !== asked.ids[from + i]) this.greedy[choice] = 0;
    }
  }
}

/** Writes what was answered, and what it comes to. */
async function hand(
  context: StepContext,
  questions: ArtifactReader,
  { logLikelihoods, greedy }: Answers,
): Promise<void> {
  const { first, gold, characters } = await questions.read(FILES.items);
  const [starts, lengths] = [first.data as Int32Array, characters.data as Int32Array];
  const items = Array.from(gold.data as Int32Array, (gold, item) => ({
    gold,
    characters: lengths.subarray(starts[item], starts[item + 1]),
  }));
  const said = items.map((_, item) => {
    const own: Answer[] = [];
    for (let choice = starts[item]; choice < starts[item + 1]; choice++) {
      own.push({ logLikelihood: logLikelihoods[choice], greedy: greedy[choice] === 1 });
    }
    return own;
  });
  const { cut, items: count, normalised, placed } = questions.value as Placed;
  const lost = logLikelihoods.findIndex((value) => !Number.isFinite(value));
  const value: TaskResult = {
    ...scoreItems(items, said, { normalised }),
    ...{ items: count, cut, tokens: placed },
    ...(lost < 0 ? {} : { lost: starts.findLastIndex((start) => start <= lost) }),
  };
  const writer = context.output("scores"), choices = logLikelihoods.length;
  await writer.write("scores.safetensors", {
    log_likelihoods: { dtype: "F64", shape: [choices], data: logLikelihoods },
    greedy: { dtype: "U8", shape: [choices], data: greedy },
  });
  writer.value(value);
  context.measure(value);
}

async function store(
  writer: Pick<ArtifactWriter, "write">,
  { ids, windows, length, segments, asked, first, gold, characters }: PlacedTask,
): Promise<void> {
  const integers = (data: Int32Array, shape = [data.length]) => ({ dtype: "I32", shape, data } as const);
  await storeWindows(writer, { ids, windows, length });
  const placed = segments.flatMap(({ window, start, end, after = { start: 0, end: 0 } }) => [
    ...[window, start, end, after.start, after.end],
  ]);
  await writer.write(FILES.segments, { segments: integers(Int32Array.from(placed), [segments.length, 5]) });
  // In order of places, as windows will bring them.
  const order = Array.from(asked.places.keys()).sort((a, b) => asked.places[a] - asked.places[b]);
  const sorted = (values: Int32Array) => integers(Int32Array.from(order, (at) => values[at]));
  await writer.write(FILES.asked, {
    places: sorted(asked.places),
    ids: sorted(asked.ids),
    choice: sorted(asked.choices),
  });
  await writer.write(FILES.items, {
    first: integers(first),
    gold: integers(gold),
    characters: integers(characters),
  });
}

async function storedQuestions(reader: ArtifactReader): Promise<Windows> {
  const { segments: { data, shape: [count] } } = await reader.read(FILES.segments), values = data as Int32Array;
  const segments = Array.from({ length: count }, (_, i): Segment => {
    const [window, start, end, before, until] = values.subarray(5 * i);
    return { window, start, end, ...(until === 0 ? {} : { after: { start: before, end: until } }) };
  });
  return { ...await storedWindows(reader), segments };
}

async function readAsked(reader: ArtifactReader): Promise<AskedTokens> {
  const [{ places, ids, choice }, { characters }] = [await reader.read(FILES.asked), await reader.read(FILES.items)];
  const values = (tensor: { readonly data: unknown }) => tensor.data as Int32Array;
  return { places: values(places), ids: values(ids), choice: values(choice), choices: characters.shape[0] };
}
