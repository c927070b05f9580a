/** What the API answers, as zod schemas: the types of the pages and the OpenAPI document are made of the same. */
import { z } from "@hono/zod-openapi";

const text = z.string(), number = z.number(), tally = z.int().min(0);
const seconds = number.min(0).describe("Seconds");
const moment = number.describe("Milliseconds since the epoch");
const bytes = number.min(0).describe("Bytes");

const Device = z.object({
  ...{ kind: text, name: text, why: text },
  forward: z.object({ provider: text, why: text }).optional(),
});

/** Numbers of a result. */
const Result = z.object({
  perplexity: z.record(
    text,
    z.object({ original: number.nullable(), compressed: number.nullable() }),
  ).describe("By evaluation; null where it is no finite number"),
  nominal: number.describe("Bits per weight, as papers count"),
  stored: number.describe("Stored bits per weight of the compressed layers"),
  file: number.describe("Bits per weight of the whole packed file"),
  bytes: bytes.describe("Bytes of the packed file"),
  layerError: z.object({ mean: number, total: number }).describe("Relative errors of layers"),
  peakMemory: bytes,
});

/** A run in a list. */
export const RunSummary = z.object({
  id: text.describe("Its address: the folder's name, behind its sweep's and a colon where it is a point"),
  run: text,
  sweep: text.optional(),
  ...{ recipe: text, model: text, method: text },
  outcome: z.enum(["finished", "interrupted", "failed", "unfinished"]).describe("As the journal says"),
  state: z.enum(["finished", "interrupted", "failed", "running", "silent"]).describe(
    "silent: unfinished, and its journal has said nothing for so long that it was probably killed",
  ),
  started: moment,
  last: moment.describe("Milliseconds since the epoch: the last event"),
  seconds: seconds.describe("From the first event to the last"),
  steps: z.object({ run: tally, cached: tally }),
  progress: z.object({ done: tally, total: tally, left: seconds.optional() }),
  error: text.optional(),
  device: Device,
  result: Result.optional(),
}).openapi("RunSummary");
export type RunSummary = z.infer<typeof RunSummary>;

const Reason = z.looseObject({
  field: text,
  step: text.optional(),
  before: z.unknown().optional(),
  now: z.unknown().optional(),
  at: z.object({ file: text, line: number }).optional(),
}).describe("The first field of its content key that differs from the nearest one made before");

/** A step of a run, as it is by now. */
const StepDetail = z.object({
  ...{ id: text, stage: text, block: tally.optional() },
  state: z.enum(["cached", "skip", "waiting", "running", "done", "failed"]),
  why: Reason.optional(),
  because: text.optional().describe("The reason in words"),
  expected: seconds,
  seconds: seconds.optional().describe("Seconds that it took"),
  began: moment.optional(),
  memory: bytes.optional().describe("Most bytes that the process was seen to hold meanwhile"),
  bytes: bytes.optional().describe("Bytes that it wrote"),
  note: text.optional(),
  error: text.optional(),
  key: text.optional().describe("Content key"),
  inputs: z.array(text).optional().describe("Steps whose outputs it takes"),
}).openapi("StepDetail");

/** What is known of a transformer block. */
const BlockDetail = z.object({
  block: tally,
  keep: number.optional().describe("N of N:M"),
  bits: number.optional().describe("Stored bits a weight that it was given"),
  error: number.optional().describe("Mean relative error of its layers"),
  redundancy: number.optional().describe("Of its layers' inputs and outputs, as the coarse search measured it"),
  seconds: seconds.optional().describe("Seconds of its steps"),
}).openapi("BlockDetail");

const Stage = z.object({
  ...{ stage: text, total: tally, cached: tally, done: tally, now: text.optional(), seconds, failed: z.boolean() },
}).openapi("StageProgress");

/** All of one run but its lists. */
export const RunDetail = z.object({
  summary: RunSummary,
  position: tally.describe("Bytes of the journal that this tells of: an event id to go on from"),
  stages: z.array(Stage),
  blocks: z.array(BlockDetail),
  memory: z.array(z.tuple([moment, bytes])).describe("When a step ended, and the most bytes held since the one before"),
  warnings: z.array(text),
  metrics: z.unknown().optional().describe("metrics.json"),
}).openapi("RunDetail");
export type RunDetail = z.infer<typeof RunDetail>;

export const Steps = z.object({ position: tally, steps: z.array(StepDetail) }).openapi("Steps");

export const Events = z.object({
  position: tally.describe("Where to go on"),
  events: z.array(z.looseObject({ at: moment, type: text })),
}).openapi("Events");

/** The complete recipe, and what was locked. */
export const RecipeDetail = z.object({
  recipe: z.unknown().describe("The complete recipe"),
  origins: z.record(text, z.union([text, z.object({ file: text, line: number })])).describe(
    "Where each value is stated, by path; empty for runs that did not keep it",
  ),
  lock: z.unknown().describe("What identifies its inputs and its code"),
}).openapi("RecipeDetail");
export type RecipeDetail = z.infer<typeof RecipeDetail>;

export const RunList = z.object({
  runs: z.array(RunSummary),
  sweeps: z.array(z.object({
    ...{ sweep: text, name: text, started: moment, seconds },
    points: z.object({ finished: tally, failed: tally, interrupted: tally, waiting: tally }),
    running: z.array(RunSummary).describe("Runs of points that go on; such points are waiting ones in the counts"),
  })),
  unread: z.array(z.object({ name: text, why: text })).describe("Runs and sweeps that cannot be read"),
}).openapi("RunList");
export type RunList = z.infer<typeof RunList>;

export const Comparison = z.object({
  runs: z.array(RunSummary),
  recipe: z.array(z.object({ field: text, values: z.array(z.unknown()) })).describe(
    "Values that are not the same in all",
  ),
  metrics: z.array(z.object({ path: text, values: z.array(number.nullable()) })),
  by: z.enum(["block", "layer"]),
  places: z.array(z.object({
    place: text,
    results: z.array(z.object({ keep: number.optional(), bits: number.optional(), error: number.optional() })),
  })),
}).openapi("Comparison");
export type Comparison = z.infer<typeof Comparison>;

export const CacheDetail = z.object({
  ...{ bytes, limit: bytes, downloads: bytes },
  kinds: z.array(z.object({ stage: text, output: text, artifacts: tally, bytes, seconds, runs: tally })),
  models: z.array(z.object({ model: text, artifacts: tally, bytes, seconds })),
  runs: z.array(z.object({ id: text, run: text, state: text, bytes, alone: bytes })).describe(
    "Bytes that a run's steps hold in the cache, and of these what no other run has",
  ),
  unused: bytes.describe("Bytes that no run in the folder has a step of"),
}).openapi("Cache");
export type CacheDetail = z.infer<typeof CacheDetail>;

export const Problem = z.object({ error: text }).openapi("Problem");
