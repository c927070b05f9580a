/**
 * Evidence: what is kept in the repository of sweeps and runs, so that the page of results can be made again. A sweep's record without its
 * lists per layer, and where each point comes from; no paths, and no names of people or machines. Not the page, which is `results_page.ts`.
 */
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { sayNumbers } from "../files/json_number.ts";
import { withoutPaths } from "../files/without_paths.ts";
import type { RunRecord } from "../runner/history.ts";
import { sha256 } from "../runner/keys.ts";
import type { Json } from "../runner/stage.ts";
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import { Metrics, totalError } from "./metrics.ts";
import { describePlace } from "./reasons.ts";

const text = z.string();

/** Where a point's result comes from. */
const Provenance = z.strictObject({
  run: text.describe("Name of the run's folder, which begins with its time"),
  recipe: text.describe("The recipe's name"),
  command: text.describe("Makes the row again"),
  weights: text.optional().describe("sha256 of the uncompressed weights"),
  where: text.describe("Device of the kernels, and of forward passes where it is another"),
  deno: text.optional(),
  code: text.optional().describe("sha256 of the hashes of all code that made the result; `codes` has them"),
});
export type Provenance = z.infer<typeof Provenance>;

/** The schema checks what the page needs; metrics are checked where rows are made of them. */
const Schema = z.strictObject({
  version: z.literal(1),
  command: text.describe("Makes all of it again"),
  sweep: z.looseObject({
    ...{ sweep: text, name: text, started: z.number(), seconds: z.number() },
    ...{
      axes: z.array(text),
      repeats: z.array(text),
      steps: z.strictObject({ all: z.number(), different: z.number() }),
    },
    points: z.array(z.looseObject({
      ...{ id: text, label: text, values: z.record(text, z.unknown()) },
      state: z.enum(["finished", "failed", "interrupted", "waiting"]),
    })),
  }),
  points: z.record(text, Provenance),
  codes: z.record(text, z.record(text, text)).describe("Hashes of code by part, by the hash of them all"),
});

/** One file of evidence. A single run is a sweep of one point. */
export interface Evidence {
  readonly version: 1;
  readonly command: string;
  readonly sweep: SweepRecord;
  /** By the point's id. */
  readonly points: Readonly<Record<string, Provenance>>;
  readonly codes: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** What makes evidence of a sweep besides its record. */
export interface EvidenceSources {
  /** By the point's id. */
  readonly runs: ReadonlyMap<string, RunRecord>;
  /** Makes all of it again. */
  readonly command: string;
  /** Makes one point again. */
  readonly commandOf: (point: SweepPoint) => string;
}

/** Makes evidence of a sweep. */
export function makeEvidence(record: SweepRecord, { runs, command, commandOf }: EvidenceSources): Evidence {
  const codes: Record<string, Readonly<Record<string, string>>> = {};
  const points: Record<string, Provenance> = {};
  for (const point of record.points) {
    const run = runs.get(point.id);
    if (run === undefined) continue;
    const { code, weights, deno } = lockedOf(run.lock);
    const hash = code === undefined ? undefined : sha256(JSON.stringify(code)).slice(0, 16);
    if (code !== undefined && hash !== undefined) codes[hash] = code;
    points[point.id] = {
      ...{ run: run.run, recipe: run.recipe, command: commandOf(point), where: describePlace(run.device) },
      ...(weights === undefined ? {} : { weights }),
      ...(deno === undefined ? {} : { deno }),
      ...(hash === undefined ? {} : { code: hash }),
    };
  }
  const sweep = { ...record, points: record.points.map((point) => ({ ...point, ...slimMetrics(point) })) };
  const evidence: Evidence = { version: 1, command, sweep, points, codes };
  // Through JSON, so that what is made and what is read are the same.
  return readEvidence(JSON.stringify(withoutPaths(evidence as unknown as Json), sayNumbers), record.sweep);
}

/** A run that belongs to no sweep, as the record of one; its run is its only point. */
export function recordOfRun({ run, recipe, started, seconds, outcome, error, metrics, steps }: RunRecord): SweepRecord {
  const all = steps.run + steps.cached;
  const state = outcome === "unfinished" ? "interrupted" : outcome;
  return {
    ...{ sweep: run, name: recipe, started, seconds, axes: [], repeats: [], steps: { all, different: all } },
    points: [{
      ...{ id: run, label: recipe, values: {}, state, run, seconds },
      // With steps from the cache, nothing says what the whole takes.
      ...(steps.cached === 0 && state === "finished" ? { alone: seconds } : {}),
      ...(error === undefined ? {} : { error }),
      ...(metrics === undefined ? {} : { metrics }),
    }],
  };
}

/** Evidence as it is kept. */
export function renderEvidence(evidence: Evidence): string {
  return `${JSON.stringify(evidence, sayNumbers, 1)}\n`;
}

/**
 * Reads evidence.
 *
 * @param name of the file, for messages
 * @throws {InputError} when it is none
 */
export function readEvidence(json: string, name: string): Evidence {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new InputError(`Cannot read ${name} as a record of results: it is not JSON`, { cause });
  }
  const checked = Schema.safeParse(value);
  // Values of axes and metrics are any JSON, which is what has been parsed.
  if (checked.success) return checked.data as unknown as Evidence;
  const [{ path, message }] = checked.error.issues;
  throw new InputError(`Cannot read ${name} as a record of results: ${path.join(".") || "all of it"}: ${message}`);
}

/** Metrics without the lists per layer, which are most of them, and per block or token; the layers' sum is kept. */
function slimMetrics({ metrics }: SweepPoint): { readonly metrics?: Json } {
  const read = Metrics.safeParse(metrics);
  if (!read.success) return {};
  const { mean } = read.data.layer_error;
  const slim = {
    ...read.data,
    perplexity: Object.fromEntries(Object.entries(read.data.perplexity).map(([name, of]) => [name, slimText(of)])),
    layer_error: { mean, total: totalError(read.data), layers: [] },
  };
  return { metrics: JSON.parse(JSON.stringify(slim, sayNumbers)) as Json };
}

function slimText(
  { block_errors: _errors, divergence, ...perplexity }: Metrics["perplexity"][string],
): Metrics["perplexity"][string] {
  if (divergence === undefined) return perplexity;
  const { histogram: _histogram, context: _context, ...rest } = divergence;
  return { ...perplexity, divergence: rest };
}

/** What a run's lock says of code, weights and versions; old or foreign locks may say less. */
function lockedOf(
  lock: Json | undefined,
): { readonly code?: Readonly<Record<string, string>>; readonly weights?: string; readonly deno?: string } {
  const { code, model, deno } = (typeof lock === "object" && lock !== null ? lock : {}) as Readonly<
    Record<string, Json>
  >;
  const hashes = z.record(text, text).safeParse(code);
  const named = z.looseObject({ weights: text }).safeParse(model);
  return {
    ...(hashes.success ? { code: hashes.data } : {}),
    ...(named.success ? { weights: named.data.weights } : {}),
    ...(typeof deno === "string" ? { deno } : {}),
  };
}
