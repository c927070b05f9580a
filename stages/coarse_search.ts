/**
 * coarse-search: how many weights each transformer block keeps of every M, from how redundant the block is in the original model; or how
 * many bits each layer gets (`bits_search.ts`), from that or from how sensitive the model is to it.
 *
 * With `calibrate.inputs: original` the similarities come with the statistics; otherwise one pass of the original model makes them.
 */
import * as z from "zod";
import { importanceOf } from "../kernels/scores/ops.ts";
import type { InputSums, Similarity } from "../models/forward.ts";
import { redundancy } from "../models/similarity.ts";
import { blockLinears, embeddingShapes } from "../models/tensors.ts";
import { error, type Rule, warning } from "../recipes/language.ts";
import { count } from "../recipes/words.ts";
import type { ArtifactWriter, Step } from "../runner/stage.ts";
import { allocateByOutliers, allocateByRedundancy } from "./allocation.ts";
import { type Allocation, from, type Roles } from "./artifacts.ts";
import { bitsOf, redundancyBits, sensitivityBits } from "./bits_search.ts";
import { KEPT } from "./budget_rule.ts";
import { finiteSimilarity, passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds, gramSizes, hiddenBytes } from "./costs.ts";
import { embeddedHidden, storedHidden, storedWindows } from "./hidden_states.ts";
import type { Planning, Stage } from "./planning.ts";

const Params = z.strictObject({
  metric: z.enum(["lr", "ri", "sensitivity", "none"]).default("lr").describe(
    "Importance of a block: lr = cosine of its input and output (PBS²P), ri = relative importance (STBLLM), " +
      "none = every block alike; with bits also of a layer: sensitivity = what quantizing it alone does to the model, measured",
  ),
  bits: z.number().min(0.1).max(12).optional().describe(
    "In the place of keep and of, for methods with a budget of bits: stored bits of a compressed weight, the mean over all",
  ),
  similarity: z.enum(["token", "flattened"]).default("token").describe(
    "lr only: mean of the tokens' cosines, or one cosine of all",
  ),
  keep: count(1, 256).default(KEPT.keep).describe("N of N:M, weights kept of every `of`: the mean over blocks"),
  of: count(1, 256).default(KEPT.of).describe(
    "M of N:M, consecutive inputs; must divide group_size and each layer's inputs",
  ),
  spread: z.number().min(0).max(255).default(1).describe(
    "Weights: N is keep + spread in the most important block, keep − spread in the least, clamped to 1..of; with bits: how many " +
      "more or fewer than the mean a layer may have",
  ),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type CoarseSearchParams = Params;

const NAME = "coarse-search";
const KEEP = from(NAME, "keep");
const path = (key: keyof Params) => `stages.${NAME}.${key}`;
const [keep, of, spread, metric] = [path("keep"), path("of"), path("spread"), path("metric")];

const rules: readonly Rule[] = [
  {
    reads: [keep, of],
    check({ value, blame }) {
      if (value(path("bits")) !== undefined) return [];
      const [n = 0, m = 0] = [value<number>(keep), value<number>(of)];
      if (n <= m) return [];
      return [
        error(blame(keep, of), `keep cannot be above of: ${n} of every ${m}`, { allowed: `keep from 1 to ${m}` }),
      ];
    },
  },
  {
    reads: [keep, of, spread, metric],
    check({ value, blame }) {
      const [n = 0, m = 0, apart = 0] = [value<number>(keep), value<number>(of), value<number>(spread)];
      const [low, high] = [n - apart, n + apart];
      if (value(path("bits")) !== undefined || !Number.isInteger(apart)) return [];
      if (value(metric) !== "lr" || n > m || (low >= 1 && high <= m)) return [];
      const which = low < 1 ? `keep − spread is ${low}, below 1` : `keep + spread is ${high}, above of (${m})`;
      return [warning(blame(spread, keep, of), `${which}, so that blocks are clamped`, {
        note: `the mean over blocks will not be ${n}; a spread of ${Math.max(0, Math.min(n - 1, m - n))} keeps it`,
      })];
    },
  },
];

/** The stage; see the file's head. */
export const coarseSearch: Stage<Params> = {
  name: NAME,
  summary: "Chooses how many weights each block keeps, or how many bits each layer has",
  params: Params,
  rules,
  makes: ["allocation"],
  needs: ["statistics"],
  uses: ["quantized", "feedback", "packed"],
  offer: (settings) => ({
    allocation: settings.bits !== undefined ? { kind: "bits", bits: bitsOf(NAME) } : {
      kind: "keep",
      keep: KEEP,
      of: settings.of,
      reads: { of },
      diagonals: (block) => from(`${NAME}[${block}]`, "diagonals"),
    },
  }),
  plan,
};

/** What is measured of a block: its similarity, and for `ri` its share of outlying scores. */
type Measured = {
  readonly similarity: Pick<Similarity, keyof Similarity>;
  readonly outliers?: number;
};

/** Scores above this many times their mean count as outlying (STBLLM's Hyper_m). */
const OUTLYING = 6;

function plan(planning: Planning, settings: Params): Step[] {
  const { spec, roles: { statistics, ranks } } = planning;
  const { bits } = settings,
    options = { name: NAME, paths: { bits: path("bits"), spread, similarity: path("similarity") } };
  const allocate = (inputs: Step["inputs"]) =>
    bits === undefined ? allocationStep(planning, settings, inputs) : redundancyBits(planning, options, inputs);
  if (statistics === undefined) return [allocate({})];
  if (bits !== undefined && settings.metric === "sensitivity") return sensitivityBits(planning, options, statistics);
  const diagonals = ranks?.inputs === "original" && !statistics.original;
  if (settings.metric === "none" && !diagonals) return [allocate({})];
  const blocks = Array.from({ length: spec.blocks }, (_, block) => block);
  const ranked = settings.metric !== "none", shared = settings.metric === "lr" && statistics.original;
  const measured = (block: number) => shared ? statistics.block(block) : from(`${NAME}[${block}]`, "measured");
  const inputs = ranked ? Object.fromEntries(blocks.map((block) => [`block ${block}`, measured(block)])) : {};
  const wanted = { outliers: settings.metric === "ri", diagonals };
  const passes = shared ? [] : blocks.map((block) => blockStep(planning, wanted, statistics, block));
  return [...passes, allocate(inputs)];
}

/** One block of the original model, over the calibration windows. */
function blockStep(
  planning: Planning,
  { outliers, diagonals }: { readonly outliers: boolean; readonly diagonals: boolean },
  { text: id, windows }: Roles["statistics"],
  block: number,
): Step {
  const { spec, identities, architecture, forward: { provider } } = planning;
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights"]);
  const calibration = planning.text(id);
  const last = block === spec.blocks - 1;
  return {
    id: `${NAME}[${block}]`,
    stage: NAME,
    block,
    code,
    reads: [],
    facts: {
      architecture,
      outliers,
      ...(diagonals ? { diagonals } : {}),
      weights: identities.blocks[block],
      provider,
      ...(block === 0 ? { embedding: identities.embedding } : {}),
    },
    inputs: block === 0 ? { windows } : { windows, previous: from(`${NAME}[${block - 1}]`, "hidden") },
    outputs: {
      measured: { retain: "keep", bytes: 500 },
      ...(diagonals ? { diagonals: { retain: "keep", bytes: 4 * gramSizes(spec).reduce((a, b) => a + b) } } : {}),
      ...(last ? {} : { hidden: { retain: "transient", bytes: hiddenBytes(spec, calibration) } }),
    },
    estimate: { seconds: forwardSeconds(spec, calibration, false), memory: forwardMemory(spec, false) },
    async run(context) {
      const text = await storedWindows(await context.input("windows"));
      const forward = await tools.forward();
      const source = block === 0
        ? embeddedHidden(forward, await tools.weights.read(embeddingShapes(spec)), text)
        : storedHidden(await context.input("previous"));
      const weights = await tools.weights.block(block);
      const { similarity, gathered } = await passBlock(
        {
          forward,
          spec,
          text,
          source,
          block,
          weights,
          gather: outliers || diagonals ? "diagonal" : "none",
          similarity: true,
          ...(last ? { each: () => Promise.resolve() } : { output: context.output("hidden") }),
        },
        context,
      );
      if (diagonals) await storeDiagonals(context.output("diagonals"), gathered, block);
      const share: { readonly [key: string]: number } = outliers
        ? { outliers: outlierShare(blockLinears(spec, block), await tools.weights.block(block), gathered) }
        : {};
      context.output("measured").value({
        similarity: { ...finiteSimilarity(similarity, { stage: NAME, block }) },
        ...share,
      });
    },
  };
}

function allocationStep(planning: Planning, { metric }: Params, inputs: Step["inputs"]): Step {
  const { spec } = planning, { code } = planning.use(import.meta.url, []);
  const reads: readonly (keyof Params)[] = [
    "metric",
    "keep",
    ...(metric === "none" ? [] : ["of", "spread"] as const),
    ...(metric === "lr" ? ["similarity"] as const : []),
  ];
  return {
    id: KEEP.step,
    stage: NAME,
    code,
    reads: reads.map(path),
    facts: { blocks: spec.blocks },
    inputs,
    outputs: { keep: { retain: "keep", bytes: 500 } },
    estimate: { seconds: 0.01, memory: 1e6 },
    async run(context) {
      const keep = context.param<number>(path("keep"));
      const measured: number[] = [];
      for (const name of Object.keys(inputs)) {
        const { similarity, outliers } = (await context.input(name)).value as Measured;
        measured.push(outliers ?? redundancy(similarity, context.param(path("similarity"))));
      }
      const budget = () => ({
        keep,
        of: context.param<number>(path("of")),
        spread: context.param<number>(path("spread")),
      });
      const kept = metric === "none"
        ? new Array<number>(spec.blocks).fill(keep)
        : (metric === "ri" ? allocateByOutliers : allocateByRedundancy)(measured, budget());
      const mean = kept.reduce((sum, n) => sum + n, 0) / kept.length;
      context.output("keep").value({ keep: kept, mean, measured } satisfies Allocation);
      context.measure({ keep: kept, mean, measured });
    },
  };
}

/**
 * Writes Σx² of every input of a block.
 *
 * @throws {Error} when an entry is not finite
 */
async function storeDiagonals(
  writer: ArtifactWriter,
  gathered: Readonly<Record<string, InputSums>>,
  block: number,
): Promise<void> {
  for (const [input, { diagonal }] of Object.entries(gathered)) {
    if (diagonal === undefined || !diagonal.every(Number.isFinite)) {
      throw new Error(
        `Cannot measure block ${block} in stages.${NAME} as the squares of input "${input}" must be finite: activations overflow ` +
          "float32; look for extreme weights in this block and those before it",
      );
    }
    await writer.write(`${input}.safetensors`, {
      diagonal: { dtype: "F32", shape: [diagonal.length], data: diagonal },
    });
  }
}

/** Share of a block's scores (STBLLM's SI before standardising) above six times their mean. */
function outlierShare(
  linears: ReturnType<typeof blockLinears>,
  weights: Readonly<Record<string, Float32Array>>,
  gathered: Readonly<Record<string, InputSums>>,
): number {
  const scores = linears.map(({ name, rows, cols, input }) => {
    const { diagonal } = gathered[input];
    if (diagonal === undefined) throw new Error(`Cannot score ${name} as the diagonal of its S was not gathered`);
    const out = new Float32Array(rows * cols);
    const w = weights[`${name}.weight`];
    const rowSums = new Float32Array(rows), columnSums = new Float32Array(cols);
    for (let r = 0, at = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++, at++) {
        rowSums[r] += Math.abs(w[at]);
        columnSums[c] += Math.abs(w[at]);
      }
    }
    const inputNorm = Float32Array.from(diagonal, Math.sqrt);
    importanceOf(out, w, { rows, cols, metric: "ria", inputNorm, rowSums, columnSums });
    return out;
  });
  let sum = 0, count = 0, above = 0;
  for (const score of scores) for (const value of score) sum += value, count++;
  for (const score of scores) for (const value of score) if (value > OUTLYING * sum / count) above++;
  return above / count;
}
