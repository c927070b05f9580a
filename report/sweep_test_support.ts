/** Records of sweeps to render. */
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import { toJsonNumber } from "../files/json_number.ts";
import type { Json } from "../runner/stage.ts";
import { buildMetrics } from "./metrics.ts";
import { DIVERGENCE, FACTS } from "./metrics_test_support.ts";

/** What a test says of a point; all else is `FACTS`. */
export type TestPoint = Partial<Omit<SweepPoint, "metrics">> & {
  readonly label: string;
  /** Bits of the whole file. */
  readonly model?: number;
  readonly nominal?: number;
  readonly stored?: Readonly<Record<string, number>>;
  /** Of `heldout`, or by evaluation. */
  readonly perplexity?: number | Readonly<Record<string, number>>;
  /** The uncompressed model's, on all evaluations. */
  readonly original?: number;
  /** Mean KL divergence, on all evaluations. */
  readonly kl?: number;
  /** Stored bits of what is counted apart; default: the embedding's of `FACTS`. */
  readonly apart?: Readonly<Record<string, number>>;
  /** Mean error of the layers. */
  readonly layerError?: number;
  readonly name?: string;
};

/** A sweep of some points. */
export function sweepOf(points: readonly TestPoint[], rest: Partial<SweepRecord> = {}): SweepRecord {
  const made = points.map(pointOf);
  return {
    sweep: "20250102-030405-ab12-methods",
    name: "methods",
    started: Date.UTC(2025, 0, 2, 3, 4, 5),
    seconds: 212.5,
    axes: [...new Set(made.flatMap(({ values }) => Object.keys(values)))],
    repeats: [],
    steps: { all: 270, different: 229 },
    ...rest,
    points: made,
  };
}

/** Methods as on the embedded model: a front of three, one that is not on it, and one of each way not to finish. */
export const METHODS: readonly TestPoint[] = [
  {
    label: "pbs2p-4of8",
    values: { extends: "./methods/pbs2p-4of8.yaml" },
    model: 4.4921,
    nominal: 0.5323,
    perplexity: 34.383,
    layerError: 0.0628,
    seconds: 35.2,
    alone: 35.2,
    run: "runs/a",
  },
  {
    label: "gptq-3",
    values: { extends: "./methods/gptq-3.yaml" },
    model: 4.47,
    nominal: 3,
    stored: { codes: 3, scales: 0.125, zeros: 0.0234 },
    perplexity: 27.734,
    layerError: 0.0172,
    seconds: 8.1,
    alone: 18.4,
    run: "runs/b",
  },
  {
    label: "billm",
    values: { extends: "./methods/billm.yaml" },
    model: 4.21,
    nominal: 1.11,
    stored: { signs: 1.07, salient: 0.1, segments: 1, scales: 0.73 },
    perplexity: 48.884,
    layerError: 0.095,
    seconds: 4.3,
    alone: 14.6,
    run: "runs/c",
  },
  {
    label: "rtn-1",
    values: { extends: "./methods/rtn-1.yaml" },
    model: 2.4,
    nominal: 1,
    stored: { codes: 1, scales: 0.25 },
    perplexity: Infinity,
    layerError: 0.61,
    seconds: 0.9,
    alone: 11,
    run: "runs/d",
  },
  {
    label: "stbllm-9of8",
    values: { extends: "./methods/stbllm-9of8.yaml" },
    state: "failed",
    exit: 5,
    step: "spbo[3]",
    error: "Cannot keep 9 of 8 weights as there are only 8",
    run: "runs/e",
  },
  { label: "wanda", values: { extends: "./methods/wanda.yaml" }, state: "interrupted", run: "runs/f" },
  { label: "sparsegpt", values: { extends: "./methods/sparsegpt.yaml" }, state: "waiting" },
];

function pointOf(
  { label, model, nominal, stored, perplexity, original = 24.898, kl, apart, layerError, name = FACTS.model, ...point }:
    TestPoint,
  place: number,
): SweepPoint {
  const components = stored === undefined ? FACTS.packed.components : Object.keys(stored).map(component);
  const total = stored === undefined ? FACTS.packed.stored.total : Object.values(stored).reduce((a, b) => a + b, 0);
  const scale = layerError === undefined ? 1 : layerError * FACTS.layerErrors.length /
    FACTS.layerErrors.reduce((sum, { error }) => sum + error, 0);
  const evaluations = typeof perplexity === "number" ? { heldout: perplexity } : perplexity;
  const metrics = buildMetrics({
    ...FACTS,
    model: name,
    layerErrors: FACTS.layerErrors.map((layer) => ({ ...layer, error: layer.error * scale })),
    perplexity: evaluations === undefined ? FACTS.perplexity : Object.fromEntries(
      Object.entries(evaluations).map((
        [name, compressed],
      ) => [name, {
        ...{ original, compressed, tokens: 51_200 },
        ...(kl === undefined ? {} : { divergence: { ...DIVERGENCE, kl: { ...DIVERGENCE.kl, mean: kl } } }),
      }]),
    ),
    packed: {
      ...FACTS.packed,
      components,
      apart: apart === undefined ? FACTS.packed.apart : Object.fromEntries(
        Object.entries(apart).map(([part, stored]) => [part, { ...FACTS.packed.apart.embedding, stored }]),
      ),
      stored: { ...(stored ?? FACTS.packed.stored), total },
      model: model ?? FACTS.packed.model,
      bytes: Math.round((model ?? FACTS.packed.model) * 656_150),
      nominal: nominal ?? FACTS.packed.nominal,
    },
  });
  const says = (_key: string, value: unknown) => typeof value === "number" ? toJsonNumber(value) : value;
  const state = point.state ?? "finished";
  return {
    id: `p${place}`,
    values: {},
    state,
    ...(state === "finished" ? { peakMemory: 812_345_678 - 1e7 * place } : {}),
    label,
    ...point,
    ...(state === "finished" ? { metrics: JSON.parse(JSON.stringify(metrics, says)) as Json } : {}),
  };
}

function component(name: string) {
  return { name, planes: [name], label: name };
}
