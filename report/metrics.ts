/**
 * metrics.json: the public shape of a run's result, and how it is built from facts. `metrics.schema.json` beside this file is the
 * same schema for other tools.
 */
import * as z from "zod";
import type { PackedInspection } from "../checkpoints/packed/bits.ts";
import { sayNumbers, toJsonNumber } from "../files/json_number.ts";
import { StepError } from "../runner/run_errors.ts";
import type { DeviceRecord } from "../runner/stage.ts";

const measure = z.number().min(0);
/** JSON has no number for what is too large, or none: words say it, and are read as these numbers. */
const perplexity = z.union([measure, z.enum(["Infinity", "NaN"])]).transform(Number);
const tally = z.int().min(0);
const share = z.number().min(0).max(1);
const accuracy = {
  acc: share.describe("Questions where the likeliest choice is the right one"),
  acc_stderr: measure,
  acc_norm: share.optional().describe("The same with log-likelihoods divided by the characters of the choices"),
  acc_norm_stderr: measure.optional(),
};

const divergence = z.strictObject({
  tokens: tally.describe("Compared tokens"),
  kl: z.strictObject({
    ...{ mean: measure, error: measure, median: measure, p90: measure, p99: measure, p999: measure, max: measure },
  }).describe("KL(original ‖ compressed) of the next token in nats: mean, its standard error, percentiles over tokens"),
  same_top: share.describe("Tokens after which both models find the same one the likeliest"),
  same_top_error: measure,
  mean_change: z.number().min(-1).max(1).optional().describe(
    "Mean change of the right token's probability, compressed − original; missing in old runs",
  ),
  mean_change_error: measure.optional(),
  rms_change: share.describe("Root mean square of the change of the right token's probability"),
  histogram: z.array(z.strictObject({ below: measure, tokens: tally })).optional().describe(
    "Tokens whose KL divergence is below this, and not below the one before",
  ),
  context: z.array(z.strictObject({ from: tally, to: tally, kl: measure })).optional().describe(
    "Mean KL divergence after so many tokens of a window",
  ),
});

/**
 * Checks that something is what a run writes to metrics.json.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildMetrics, Metrics } from "./metrics.ts";
 * import { FACTS } from "./metrics_test_support.ts";
 *
 * const metrics = Metrics.parse(JSON.parse(JSON.stringify(buildMetrics(FACTS))));
 * assert.equal(metrics.perplexity.heldout.compressed, 37.161);
 * assert.throws(() => Metrics.parse({ ...metrics, bits: { ...metrics.bits, nominal: -1 } }), /nominal/);
 * ```
 */
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
      original: perplexity.describe("Of the uncompressed model; `NaN` where its outputs are not finite"),
      compressed: perplexity.describe("Of the decoded packed model; `Infinity` where it is too large to be written"),
      tokens: tally.describe("Tokens in the windows it was measured on"),
      divergence: divergence.optional().describe(
        "Of the compressed model's next tokens from the original's; missing in old runs, and where outputs are not finite",
      ),
      block_errors: z.array(measure).optional().describe(
        "‖H − H₀‖ ÷ ‖H₀‖ of the hidden states after each block, H₀ the original's, over tokens of this text",
      ),
    }),
  ).describe("By evaluation"),
  tasks: z.record(
    z.string(),
    z.strictObject({
      ...accuracy,
      original: z.strictObject(accuracy).describe("Of the uncompressed model"),
      items: tally.describe("Questions"),
      cut: tally.describe("Of these, such with a choice that is longer than the model takes, cut on the left"),
      tokens: tally.optional().describe("Of the windows in which they stand; missing in old runs"),
    }),
  ).describe("Zero-shot accuracies by task, as lm-evaluation-harness has them, with standard errors"),
  keep: z.array(z.int().min(1)).optional().describe("N of M per transformer block, where the method prunes"),
  of: z.int().min(1).optional().describe("M of N:M, where it is the same in all layers"),
  allocation: z.strictObject({
    mean: measure.describe("Over weights"),
    blocks: z.array(measure).describe("Mean of each transformer block"),
    layers: z.array(z.strictObject({ name: z.string(), bits: measure })),
    check: z.strictObject({
      uniform: measure.describe("With the same bits for all layers"),
      allocated: measure.describe("With the bits that were found"),
      kept: z.boolean().describe("Whether these stay; else all layers have the same"),
    }).optional().describe(
      "KL divergence from the original model, in nats a token, on calibration windows that nothing was measured on",
    ),
  }).optional().describe("Stored bits a weight that layers were given, where the recipe allocates bits"),
  group_size: z.int().min(1).optional().describe("Columns that share scales, where they are as many in all layers"),
  formats: z.array(z.string()).optional().describe("Of the packed layers; missing in old runs, which have bit planes"),
  layer_error: z.strictObject({
    mean: measure.describe("Over the layers, unweighted"),
    total: measure.optional().describe("Sum over the layers, unweighted; missing in old runs"),
    layers: z.array(z.strictObject({ name: z.string(), error: measure })),
    held_out: z.strictObject({
      mean: measure.describe("Over the layers, unweighted"),
      layers: z.array(z.strictObject({ name: z.string(), error: measure })),
    }).optional().describe("The same with H of windows that nothing else was told of, where the recipe holds some out"),
  }).describe("tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ) on the undamped H, Ŵ decoded from the packed file"),
  propagation: z.strictObject({
    mean: z.number().min(0).max(1).describe("Of the shares, over these layers"),
    layers: z.array(
      z.strictObject({
        name: z.string(),
        share: z.number().min(0).max(1).describe("p: 0 the layer's own output, 1 the original model's"),
        damping: measure.describe("Times the mean of diag(H)"),
      }),
    ),
  }).optional().describe("How far layers moved towards their outputs in the original model, where that was chosen"),
  bits: z.strictObject({
    nominal: measure.describe("As the method's paper counts, compressed layers"),
    storing: measure.optional().describe("What the paper prints beside it for storing"),
    // An object with a catchall would put the total first.
    stored: z.record(z.string(), measure).and(z.looseObject({ total: measure })).describe(
      "8 × stored bytes ÷ weights by component of the format, and their total, compressed layers",
    ),
    embedding: measure.optional().describe(
      "8 × stored bytes ÷ weights of the token embedding, which is the head too where no head is stated; missing in old runs",
    ),
    head: measure.optional().describe("The same of the head, where it is a tensor of its own"),
    model: measure.describe("8 × bytes of the packed file ÷ parameters, everything included"),
    formulas: z.strictObject({ nominal: z.string(), storing: z.string().optional() }).optional().describe(
      "In words; `group` stands for group_size",
    ),
    labels: z.record(z.string(), z.string()).optional().describe("Components of the stored bits in words"),
  }).describe("Bits per weight"),
  bytes: z.strictObject({ packed: tally, original: tally }).describe("Of the weight files"),
  seconds: z.strictObject({ total: measure, stages: z.record(z.string(), measure) }),
  peak_memory_bytes: tally,
  steps: z.strictObject({ run: tally, cached: tally }),
});
/**
 * What a run writes to metrics.json.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildMetrics, type Metrics } from "./metrics.ts";
 * import { FACTS } from "./metrics_test_support.ts";
 *
 * const lossOf = ({ perplexity }: Metrics, name: string) => perplexity[name].compressed / perplexity[name].original;
 * assert.equal(lossOf(buildMetrics(FACTS), "heldout").toFixed(2), "1.49");
 * ```
 */
export type Metrics = z.infer<typeof Metrics>;

/** What a finished run knows. */
export interface ResultFacts {
  readonly run: string;
  readonly method: string;
  readonly model: string;
  readonly device: DeviceRecord;
  readonly perplexity: Metrics["perplexity"];
  readonly tasks?: Metrics["tasks"];
  /** N of M per transformer block, where the method prunes. */
  readonly keep?: readonly number[];
  /** Bits that layers were given, where the recipe allocates bits. */
  readonly allocation?: Metrics["allocation"];
  /** Every compressed layer, in order. */
  readonly layerErrors: readonly {
    readonly name: string;
    readonly error: number;
    /** On windows that are held out, where there are any. */
    readonly heldOut?: number;
  }[];
  /** How far layers moved towards their outputs in the original model, where that was chosen. */
  readonly propagation?: readonly { readonly name: string; readonly share: number; readonly damping: number }[];
  /** The packed model, counted (`inspectPacked`). */
  readonly packed: Pick<
    PackedInspection,
    | "formats"
    | "components"
    | "formulas"
    | "of"
    | "groupSize"
    | "nominal"
    | "storing"
    | "stored"
    | "apart"
    | "model"
    | "bytes"
  >;
  /** Bytes of the weight files that were compressed. */
  readonly originalBytes: number;
  readonly seconds: { readonly total: number; readonly stages: Readonly<Record<string, number>> };
  /** Bytes. */
  readonly peakMemory: number;
  readonly steps: { readonly run: number; readonly cached: number };
}

/** Errors of layers down to this are zero: rounding, where a layer is reproduced exactly. */
const ROUNDING = -1e-6;

/**
 * Builds metrics.json.
 *
 * @throws {StepError} when a fact is not a number in its range: a result that is not one must not be published
 */
export function buildMetrics(facts: ResultFacts): Metrics {
  const { packed, layerErrors, seconds } = facts;
  const { components, stored } = packed;
  const exact = (error: number) => error < 0 && error >= ROUNDING ? 0 : error;
  const errors = layerErrors.map(({ name, error }) => ({ name, error: exact(error) }));
  const heldOut = layerErrors.flatMap(({ name, heldOut }) =>
    heldOut === undefined ? [] : [{ name, error: exact(heldOut) }]
  );
  const sumOf = (errors: readonly { readonly error: number }[]) => errors.reduce((sum, { error }) => sum + error, 0);
  const total = sumOf(errors);
  const checked = Metrics.safeParse({
    run: facts.run,
    method: facts.method,
    model: facts.model,
    device: facts.device,
    perplexity: Object.fromEntries(
      Object.entries(facts.perplexity).map(([name, { original, compressed, ...rest }]) => [name, {
        ...{ original: toJsonNumber(original), compressed: toJsonNumber(compressed), ...rest },
      }]),
    ),
    tasks: facts.tasks ?? {},
    ...(facts.keep === undefined ? {} : { keep: [...facts.keep] }),
    // Formats that can prune say "of every 1" where nothing is.
    ...(facts.keep === undefined || packed.of === undefined ? {} : { of: packed.of }),
    ...(facts.allocation === undefined ? {} : { allocation: facts.allocation }),
    ...(packed.groupSize === undefined ? {} : { group_size: packed.groupSize }),
    formats: [...packed.formats],
    layer_error: {
      mean: total / Math.max(errors.length, 1),
      total,
      layers: errors,
      ...(heldOut.length === 0 ? {} : { held_out: { mean: sumOf(heldOut) / heldOut.length, layers: heldOut } }),
    },
    ...(facts.propagation === undefined ? {} : {
      propagation: {
        mean: facts.propagation.reduce((sum, { share }) => sum + share, 0) / Math.max(facts.propagation.length, 1),
        layers: [...facts.propagation],
      },
    }),
    bits: {
      nominal: packed.nominal,
      ...(packed.storing === undefined ? {} : { storing: packed.storing }),
      stored: { ...Object.fromEntries(components.map(({ name }) => [name, stored[name]])), total: stored.total },
      ...Object.fromEntries(PARTS.flatMap((part) => part in packed.apart ? [[part, packed.apart[part].stored]] : [])),
      model: packed.model,
      formulas: packed.formulas,
      labels: Object.fromEntries(components.map(({ name, label, title = label }) => [name, title])),
    },
    bytes: { packed: packed.bytes, original: facts.originalBytes },
    seconds: { total: seconds.total, stages: { ...seconds.stages } },
    peak_memory_bytes: facts.peakMemory,
    steps: { run: facts.steps.run, cached: facts.steps.cached },
  });
  if (checked.success) return checked.data;
  const [{ path }] = checked.error.issues;
  throw new StepError(
    `Cannot write metrics.json of run ${facts.run}: ${
      path.join(".")
    } is not a number in its range; the packed model is ` +
      "in the run's folder all the same",
    { cause: checked.error },
  );
}

/** What is counted apart from the layers, where a run states it. */
export const PARTS = ["embedding", "head"] as const;

/** Sum of the layers' errors; old runs do not state it. */
export function totalError({ layer_error: { total, layers } }: Metrics): number {
  return total ?? layers.reduce((sum, { error }) => sum + error, 0);
}

/** metrics.json as text. */
export function renderMetrics(metrics: Metrics): string {
  return `${JSON.stringify(metrics, sayNumbers, 2)}\n`;
}

/** Bits of one component of the packed layers. */
export interface ComponentBits {
  readonly name: string;
  /** In words; of old runs, which have none, the name. */
  readonly label: string;
  readonly value: number;
}

/** The components of the stored bits, without their total, in the format's order. */
export function componentsOf(
  { bits: { stored: { total: _total, ...components }, labels } }: {
    readonly bits: Pick<Metrics["bits"], "stored" | "labels">;
  },
): ComponentBits[] {
  return Object.entries(components).map(([name, value]) => ({ name, label: labels?.[name] ?? name, value }));
}

/** The JSON Schema of metrics.json, as committed. */
export function metricsJsonSchema(): string {
  const schema = z.toJSONSchema(Metrics, { io: "input" });
  return JSON.stringify({ ...schema, title: "metrics.json of a pbs2p run" }, null, 2) + "\n";
}
