/**
 * fine-search: which weights stay, of every M.
 *
 * With `mask_from: updated` (default) masks depend on compensation and are made inside the step that quantizes; this stage plans
 * steps of its own only with `mask_from: original`, where all masks of a layer follow from its original weights and can be cached
 * apart.
 */
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { blockLinears, linearWeights } from "../models/tensors.ts";
import { type Broken, error, type Rule } from "../recipes/language.ts";
import { count } from "../recipes/words.ts";
import type { Step } from "../runner/stage.ts";
import { from, keepAllocation } from "./artifacts.ts";
import { layerJobs } from "./layer_jobs.ts";
import type { Opened, Planning, Stage } from "./planning.ts";
import { storedStatistics } from "./statistics.ts";

const Params = z.strictObject({
  metric: z.enum(["hessian", "hessian-squared", "magnitude", "wanda", "ria", "si", "random"]).default("hessian")
    .describe(
      "Score of a weight: hessian w²/U² (BiLLM, SparseGPT), hessian-squared w²/[H⁻¹]² (PBS²P as printed), " +
        "magnitude |w|, wanda |w|·‖X‖, ria, si (STBLLM), random",
    ),
  mask_from: z.enum(["updated", "original"]).default("updated").describe(
    "Score weights after the compensation of earlier column blocks, or all of them beforehand",
  ),
  inputs: z.enum(["seen", "original"]).default("seen").describe(
    "Whose inputs weigh the scores: those that calibrate gathers, or the original model's (STBLLM; mask_from original, and no " +
      "metric that needs a Hessian)",
  ),
  type: z.enum(["semi-structured", "unstructured", "structured", "none"]).default("semi-structured").describe(
    "N of every M inputs; the same share anywhere in a row; whole inputs; or nothing pruned",
  ),
  seed: count(0, 4_294_967_295).default(0).describe("Of metric random"),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type FineSearchParams = Params;

const NAME = "fine-search";
const path = (key: keyof Params) => `stages.${NAME}.${key}`;

/** Metrics of more than the weights and the norms of inputs. */
const HESSIAN: readonly string[] = ["hessian", "hessian-squared"];

const inputsRule: Rule = {
  reads: [path("inputs"), path("mask_from"), path("metric"), "stages.calibrate.inputs"],
  check({ value, blame }) {
    if (value(path("inputs")) !== "original") return [];
    const broken: Broken[] = [];
    if (value(path("mask_from")) !== "original") {
      broken.push(error(blame(path("mask_from")), "inputs `original` needs mask_from `original`", {
        allowed: `${path("mask_from")}: original, or ${path("inputs")}: seen`,
      }));
    }
    const metric = value<string>(path("metric")) ?? "";
    if (HESSIAN.includes(metric) && value("stages.calibrate.inputs") !== "original") {
      broken.push(error(blame(path("metric")), `inputs \`original\` has no Hessian for metric \`${metric}\``, {
        allowed: "metric magnitude, wanda, ria, si or random; or stages.calibrate.inputs: original",
        note: "of the original model only the norms of inputs are gathered",
      }));
    }
    return broken;
  },
};

/** The stage; see the file's head. */
export const fineSearch: Stage<Params> = {
  name: NAME,
  summary: "Chooses which weights are kept",
  params: Params,
  makes: ["ranks"],
  needs: ["statistics", "allocation", "quantized"],
  rules: [inputsRule],
  offer: ({ metric, type, seed, mask_from, inputs }) => ({
    ranks: {
      search: { metric, type, seed: metric === "random" ? seed : 0 },
      reads: [path("metric"), path("type"), ...(metric === "random" && type !== "none" ? [path("seed")] : [])],
      typeReads: [path("type")],
      inputs,
      ...(mask_from === "original" ? { masks: (block: number) => from(`${NAME}[${block}]`, "masks") } : {}),
    },
  }),
  check: checkShapes,
  plan(planning) {
    const { spec, roles: { ranks, statistics } } = planning, allocation = keepAllocation(planning.roles);
    if (ranks?.masks === undefined || statistics === undefined || allocation === undefined) return [];
    const diagonals = ranks.inputs === "original" && !statistics.original;
    return Array.from(
      { length: spec.blocks },
      (_, block) =>
        blockStep(
          planning,
          diagonals ? { diagonals: allocation.diagonals(block) } : { statistics: statistics.block(block) },
          block,
        ),
    );
  },
};

/** N:M must fit every layer: a run of M inputs may not cross the layer's end. */
function checkShapes({ spec, roles }: Opened, { type }: Params): void {
  const allocation = keepAllocation(roles), of = allocation?.of ?? 1;
  if (type !== "semi-structured") return;
  for (const { name, cols } of blockLinears(spec, 0)) {
    if (cols % of !== 0) {
      const fitting = Array.from({ length: of }, (_, i) => of - i)
        .find((each) => blockLinears(spec, 0).every(({ cols }) => cols % each === 0));
      throw new InputError(
        `Cannot prune "${name}" to N:${of} as its ${cols} inputs must be a multiple of ${of} (${allocation?.reads.of}); ` +
          `an of of ${fitting} divides the inputs of all layers, and other types than semi-structured take any`,
      );
    }
  }
}

/** @param inputs S of the block's inputs as `statistics`, or their `diagonals` */
function blockStep(planning: Planning, inputs: Step["inputs"], block: number): Step {
  const { spec, identities, device, roles } = planning;
  const { tools, code } = planning.use(import.meta.url, ["weights", "layers"]);
  const jobs = layerJobs(roles, "search");
  const weights = linearWeights(spec), linears = blockLinears(spec, block);
  return {
    id: `${NAME}[${block}]`,
    stage: NAME,
    block,
    code,
    reads: jobs.reads,
    facts: { weights: identities.blocks[block], device },
    inputs,
    outputs: { masks: { retain: "keep", bytes: weights } },
    estimate: { seconds: weights / 3e7, memory: 14 * weights },
    async run(context) {
      const found = await jobs.make(
        {
          linears,
          tensors: await tools.weights.block(block),
          ..."diagonals" in inputs
            ? { diagonals: await context.input("diagonals") }
            : { statistics: storedStatistics(await context.input("statistics")) },
        },
        context,
      );
      const results = await tools.layers().searchMasks(found, { signal: context.signal });
      for (const [index, { name, ranks }] of results.entries()) {
        const { rows, cols } = linears[index];
        await context.output("masks").write(`${name}.safetensors`, {
          ranks: { dtype: "U8", shape: [rows, cols], data: ranks },
        });
      }
    },
  };
}
