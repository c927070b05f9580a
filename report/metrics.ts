/**
 * metrics.json: the public shape of a run's result, and how it is built from facts. `metrics.schema.json` beside this file is the
 * same schema for other tools.
 */
import * as z from "zod";
import type { StoredBits } from "../checkpoints/packed/bits.ts";
import type { DeviceRecord } from "../runner/stage.ts";

const measure = z.number().min(0);
const tally = z.int().min(0);
const accuracy = { acc: z.number().min(0).max(1), acc_norm: z.number().min(0).max(1) };

/** metrics.json. */
export const Metrics = z.strictObject({
  run: z.string().describe("Name of the run's folder"),
  method: z.string(),
  model: z.string(),
  device: z.strictObject({
    kind: z.string(),
    name: z.string(),
    why: z.string().describe("Why this one").optional(),
    forward: z.strictObject({ provider: z.string(), why: z.string() }).describe(
      "onnxruntime's execution provider of forward passes",
    ).optional(),
  }).describe("Where kernels ran; the optional members are missing in old runs"),
  perplexity: z.record(
    z.string(),
    z.strictObject({
      original: measure.describe("Of the uncompressed model"),
      compressed: measure.describe("Of the decoded packed model"),
      tokens: tally.describe("Tokens in the windows it was measured on"),
    }),
  ).describe("By evaluation"),
  tasks: z.record(z.string(), z.strictObject({ ...accuracy, original: z.strictObject(accuracy) })).describe(
    "Zero-shot accuracies by task",
  ),
  keep: z.array(z.int().min(1)).describe("N of M per transformer block"),
  layer_error: z.strictObject({
    mean: measure.describe("Over the layers, unweighted"),
    layers: z.array(z.strictObject({ name: z.string(), error: measure })),
  }).describe("tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ) on the undamped H, Ŵ decoded from the packed file"),
  bits: z.strictObject({
    nominal: measure.describe("(1 + r_salient)·N/M, compressed layers"),
    stored: z.strictObject({
      mask: measure,
      signs: measure.describe("First and second signs"),
      segments: measure.describe("Segment marks and marks of salient columns"),
      scales: measure,
      total: measure,
    }).describe("8 × stored bytes ÷ weights, compressed layers"),
    model: measure.describe("8 × bytes of the packed file ÷ parameters, everything included"),
  }).describe("Bits per weight"),
  bytes: z.strictObject({ packed: tally, original: tally }).describe("Of the weight files"),
  seconds: z.strictObject({ total: measure, stages: z.record(z.string(), measure) }),
  peak_memory_bytes: tally,
  steps: z.strictObject({ run: tally, cached: tally }),
});
export type Metrics = z.infer<typeof Metrics>;

/** What a finished run knows. */
export interface ResultFacts {
  readonly run: string;
  readonly method: string;
  readonly model: string;
  readonly device: DeviceRecord;
  readonly perplexity: Metrics["perplexity"];
  readonly tasks?: Metrics["tasks"];
  /** N of M per transformer block. */
  readonly keep: readonly number[];
  /** Every compressed layer, in order. */
  readonly layerErrors: readonly { readonly name: string; readonly error: number }[];
  /** The packed model, counted (`inspectPacked`). */
  readonly packed: {
    readonly nominal: number;
    readonly stored: StoredBits;
    readonly model: number;
    readonly bytes: number;
  };
  /** Bytes of the weight files that were compressed. */
  readonly originalBytes: number;
  readonly seconds: { readonly total: number; readonly stages: Readonly<Record<string, number>> };
  /** Bytes. */
  readonly peakMemory: number;
  readonly steps: { readonly run: number; readonly cached: number };
}

/**
 * Builds metrics.json.
 *
 * @throws {z.ZodError} when a fact is not a finite number in its range: a result that is not one must not be published
 */
export function buildMetrics(facts: ResultFacts): Metrics {
  const { packed, layerErrors, seconds } = facts;
  const errors = layerErrors.map(({ name, error }) => ({ name, error }));
  return Metrics.parse({
    run: facts.run,
    method: facts.method,
    model: facts.model,
    device: facts.device,
    perplexity: facts.perplexity,
    tasks: facts.tasks ?? {},
    keep: [...facts.keep],
    layer_error: {
      mean: errors.reduce((sum, { error }) => sum + error, 0) / Math.max(errors.length, 1),
      layers: errors,
    },
    bits: {
      nominal: packed.nominal,
      stored: {
        mask: packed.stored.mask,
        signs: packed.stored.signs,
        segments: packed.stored.segments,
        scales: packed.stored.scales,
        total: packed.stored.total,
      },
      model: packed.model,
    },
    bytes: { packed: packed.bytes, original: facts.originalBytes },
    seconds: { total: seconds.total, stages: { ...seconds.stages } },
    peak_memory_bytes: facts.peakMemory,
    steps: { run: facts.steps.run, cached: facts.steps.cached },
  });
}

/** The JSON Schema of metrics.json, as committed. */
export function metricsJsonSchema(): string {
  const schema = z.toJSONSchema(Metrics);
  return JSON.stringify({ ...schema, title: "metrics.json of a pbs2p run" }, null, 2) + "\n";
}
