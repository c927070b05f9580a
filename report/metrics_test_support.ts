/** A result to render: the layer errors and perplexities of a real run on the embedded model, rounded. */
import type { RunEvent } from "../runner/events.ts";
import { planes } from "../checkpoints/packed/planes.ts";
import type { ResultFacts } from "./metrics.ts";
import type { ReportContent } from "./report.ts";

const KINDS = [
  "self_attn.q_proj",
  "self_attn.k_proj",
  "self_attn.v_proj",
  "self_attn.o_proj",
  "mlp.gate_proj",
  "mlp.up_proj",
  "mlp.down_proj",
];

/** [block][kind] */
const ERRORS = [
  [0.0203, 0.026, 0.0951, 0.0845, 0.0551, 0.0616, 0.0299],
  [0.0372, 0.0245, 0.0821, 0.0827, 0.0581, 0.0899, 0.0916],
  [0.0744, 0.0591, 0.1361, 0.1408, 0.1074, 0.1627, 0.1596],
  [0.0779, 0.0485, 0.1508, 0.1408, 0.1074, 0.1565, 0.1706],
  [0.0435, 0.022, 0.0867, 0.0714, 0.0591, 0.0839, 0.1091],
  [0.0329, 0.0208, 0.0625, 0.0428, 0.0381, 0.0507, 0.0572],
];

/** Facts of one run. */
export const FACTS: ResultFacts = {
  run: "20250102-030405-ab12-quickstart",
  method: "pbs2p",
  model: "tiny-llama",
  device: { kind: "cpu", name: "2 cores", why: "default", forward: { provider: "cpu", why: "as the kernels" } },
  perplexity: { heldout: { original: 24.898, compressed: 37.161, tokens: 51_200 } },
  keep: [5, 4, 3, 3, 4, 5],
  layerErrors: ERRORS.flatMap((row, block) =>
    row.map((error, i) => ({ name: `model.layers.${block}.${KINDS[i]}`, error }))
  ),
  packed: {
    formats: ["planes"],
    components: planes.components,
    formulas: planes.formulas,
    of: 8,
    groupSize: 128,
    nominal: 0.5532,
    storing: 2.0078125,
    apart: {
      embedding: { name: "model.embed_tokens.weight", format: "F16", weights: 524_288, bytes: 1_048_576, stored: 16 },
    },
    stored: { mask: 0.7571, signs: 0.5533, segments: 0.7107, scales: 1.125, total: 3.1461 },
    model: 4.6421,
    bytes: 3_045_812,
  },
  originalBytes: 10_498_408,
  seconds: {
    total: 41.23,
    stages: {
      calibrate: 9.41,
      "coarse-search": 1.32,
      "fine-search": 3.02,
      spbo: 14.6,
      compensate: 4.2,
      pack: 1.1,
      evaluate: 7.4,
    },
  },
  peakMemory: 812_345_678,
  steps: { run: 30, cached: 4 },
};

/** How far next tokens are from the original's. */
export const DIVERGENCE: NonNullable<ResultFacts["perplexity"][string]["divergence"]> = {
  tokens: 51_200,
  kl: { mean: 0.5213, error: 0.0031, median: 0.3487, p90: 1.184, p99: 2.953, p999: 5.1172, max: 9.876 },
  ...{ same_top: 0.5969, same_top_error: 0.0022, mean_change: -0.0447, mean_change_error: 0.0009, rms_change: 0.2013 },
  histogram: [{ below: 0.1, tokens: 9_000 }, { below: 0.1778, tokens: 30_001 }, { below: 10, tokens: 12_199 }],
  context: [{ from: 1, to: 1, kl: 0.91 }, { from: 2, to: 3, kl: 0.77 }, { from: 4, to: 7, kl: 0.515 }],
};

/** A packed model of another format than `FACTS` has. */
export const SCALED_SIGNS: ResultFacts["packed"] = {
  formats: ["sign"],
  components: [
    { name: "signs", planes: ["signs"], label: "signs" },
    { name: "scales", planes: ["scales"], label: "scales", title: "scales, one a row" },
  ],
  formulas: { nominal: "1" },
  nominal: 1,
  apart: {},
  stored: { signs: 1, scales: 0.125, total: 1.125 },
  model: 3,
  bytes: 2_000_000,
};

/** A recipe that fits `FACTS`. */
export const RECIPE: ReportContent["recipe"] = {
  name: "quickstart",
  description: "Tiny LLaMA, four of eight.",
  expect: { heldout: { value: 36.5, within: 0.03 } },
};

/** A journal that fits `FACTS`, with trouble and with markup in its texts. */
export const EVENTS: readonly RunEvent[] = [
  {
    at: Date.UTC(2025, 0, 2, 3, 4, 5),
    type: "run-started",
    run: FACTS.run,
    recipe: "configs/quickstart.yaml",
    method: FACTS.method,
    model: FACTS.model,
    device: FACTS.device,
    folder: "runs/x",
    steps: [
      { id: "calibrate[0]", stage: "calibrate", block: 0, state: "cached", seconds: 1, memory: 1, disk: 1 },
      {
        id: "spbo[0]",
        stage: "spbo",
        block: 0,
        state: "run",
        why: { field: "stages.spbo.iterations", before: 15, now: 20, at: { file: "a.yaml", line: 7 } },
        seconds: 1,
        memory: 1,
        disk: 1,
      },
    ],
  },
  { at: 1, type: "step-finished", step: "spbo[0]", seconds: 2.5, stages: { spbo: 2.5 }, bytes: 1 },
  { at: 2, type: "warning", message: "Stored as F16: <script>alert(1)</script>" },
];
