/**
 * Rows of the record of official code and plain re-implementations (BiLLM, ARB-LLM, STBLLM, GPTQ, RTN), and the recipe that has the
 * settings of each: matched by what they say, not by file names.
 */
import * as z from "zod";
import type { Recipe } from "../../stages/schema.ts";
import {
  type Difference,
  leafDifferences,
  modelOf,
  parseProtocols,
  type Protocol,
  protocolOf,
  textsOf,
  type Wanted,
  wantedTexts,
} from "./rows.ts";

/** Settings by method, as the record writes them. */
const Settings = {
  billm: z.union([
    z.strictObject({ salient_metric: z.literal("hessian"), blocksize: z.int() }),
    z.strictObject({ search_target: z.enum(["weights"]), note: z.string() }),
  ]),
  "arb-llm": z.strictObject({
    variant: z.enum(["arb", "arb-x", "arb-rc"]),
    column_groups: z.boolean(),
    salient_metric: z.literal("hessian"),
  }),
  stbllm: z.strictObject({ keep: z.int(), of: z.int(), variant: z.string() }),
  gptq: z.strictObject({
    bits: z.int(),
    group: z.int(),
    own: z.string().optional(),
    inputs: z.enum(["sequential", "original"]).optional(),
    target: z.enum(["original"]).optional(),
    propagation: z.number().optional(),
  }),
  rtn: z.strictObject({ bits: z.int(), group: z.int() }),
} as const;

const Row = z.object({
  model: z.string(),
  method: z.enum(["billm", "arb-llm", "stbllm", "gptq", "rtn"]),
  official: z.boolean(),
  settings: z.unknown(),
  perplexity: z.number(),
  layer_error: z.number(),
  keep: z.array(z.int()).nullable(),
});
type Row = z.infer<typeof Row>;

/** Values of a recipe's stages by stage; a stage that is not here must not be in the recipe, but those of texts and packing. */
export type Stages = { readonly [stage: string]: { readonly [key: string]: unknown } };

/** The house's word for what the record calls this. */
const MASKED_AGAIN = "as-released, output masked again by the pruning mask";

/**
 * The rows that were measured on a whole model; rows of some blocks only are there for their seconds.
 *
 * @param json peers.json
 * @throws {z.ZodError} when it is no such record, or a row says what is not known here
 */
export function peerRows(json: unknown): Wanted[] {
  const { rows } = z.object({ rows: z.array(z.looseObject({ perplexity: z.number().optional() })) }).parse(json);
  const protocols = parseProtocols(json);
  return rows.filter(({ perplexity }) => perplexity !== undefined).map((row) => wantedOf(Row.parse(row), protocols));
}

function wantedOf(row: Row, protocols: ReadonlyMap<string, Protocol>): Wanted {
  const protocol = protocolOf(protocols, row.model), stages = stagesOf(row);
  return {
    model: row.model,
    source: row.official ? "official code" : "re-implementation",
    perplexity: row.perplexity,
    // STBLLM's errors were taken against the pruned weights that its quantizer is given.
    ...(row.method === "stbllm" ? {} : { layerError: row.layer_error }),
    original: protocol.original,
    keep: () => row.keep ?? [],
    differencesFrom: (recipe) => stageDifferences(recipe, { model: row.model, stages, protocol }),
  };
}

/** All values in which a recipe differs from what a row says of its stages, its model and its texts. */
export function stageDifferences(
  recipe: Recipe,
  { model, stages: wanted, protocol }: {
    readonly model: string;
    readonly stages: Stages;
    readonly protocol: Protocol;
  },
): Difference[] {
  const { calibrate, evaluate } = wantedTexts(model, protocol);
  const texts = textsOf(recipe, protocol);
  const { pack: _packing, ...stages } = recipe.stages;
  const named: Stages = { ...wanted, calibrate: { ...calibrate, ...wanted.calibrate } };
  const found = Object.fromEntries(
    Object.keys({ ...stages, ...named }).filter((stage) => stage !== "evaluate").map((stage) => {
      const settings: unknown = stage === "calibrate" ? texts.calibrate : stages[stage];
      return [stage, pick(settings, named[stage])];
    }),
  );
  return leafDifferences(
    { model: modelOf(recipe), stages: { ...found, evaluate: texts.evaluate } },
    { model, stages: { ...named, evaluate } },
  );
}

/** Of a stage's settings those that a row says something of. */
function pick(settings: unknown, wanted: Stages[string] | undefined): unknown {
  if (typeof settings !== "object" || settings === null || wanted === undefined) return settings;
  return Object.fromEntries(Object.entries(settings).filter(([key]) => key in wanted));
}

/** What a row was made with, in a recipe's terms. */
function stagesOf({ method, official, settings }: Row): Stages {
  const compensate = { mode: "diagonal", damping: 0.01 };
  const sequential = { inputs: "sequential", target: "layer" };
  switch (method) {
    case "billm": {
      Settings.billm.parse(settings);
      return {
        calibrate: sequential,
        billm: { group_size: 128, search_target: official ? "scores" : "weights" },
        compensate,
      };
    }
    case "arb-llm": {
      const { variant, column_groups } = Settings["arb-llm"].parse(settings);
      return {
        calibrate: sequential,
        "arb-llm": { group_size: 128, variant, column_groups, search_target: "scores" },
        compensate,
      };
    }
    case "stbllm": {
      const { keep, of, variant } = Settings.stbllm.parse(settings);
      return {
        calibrate: sequential,
        "coarse-search": { metric: "ri", keep, of },
        "fine-search": { metric: "ria", type: "semi-structured" },
        stbllm: { group_size: 128, variant: variant === MASKED_AGAIN ? "masked-again" : variant },
        compensate,
      };
    }
    case "gptq": {
      const { bits, group, inputs = "sequential", target = "layer", propagation } = Settings.gptq.parse(settings);
      return {
        calibrate: { inputs, target, ...(propagation === undefined ? {} : { propagation }) },
        gptq: { bits, group_size: group, act_order: false },
        compensate: { ...compensate, mode: "columnwise" },
      };
    }
    case "rtn": {
      const { bits, group } = Settings.rtn.parse(settings);
      return { calibrate: sequential, rtn: { bits, group_size: group, grid: "minmax" } };
    }
    default:
      return method satisfies never;
  }
}
