/**
 * Rows of the prototype's record, and the recipe that has the settings of each: matched by what they say, not by file names.
 *
 * Not the running of recipes (`../reference.ts`) nor the judging of results (`compare.ts`).
 */
import { basename, dirname } from "node:path";
import * as z from "zod";
import type { CalibrateParams } from "../../stages/calibrate.ts";
import type { EvaluateParams } from "../../stages/evaluate.ts";
import type { Recipe } from "../../stages/schema.ts";

const Settings = z.strictObject({
  search_target: z.literal("scores for salient columns, weights for segments"),
  split_points: z.int(),
  group_size: z.int(),
  solver: z.enum(["alternate", "joint", "none"]),
  iterations: z.int(),
  compensate: z.enum(["diagonal", "exact", "columnwise", "none"]),
  inputs: z.enum(["sequential", "original", "renewed"]),
  target: z.enum(["layer", "original"]).default("layer"),
  propagation: z.number().default(0.5),
  mask_from: z.enum(["updated", "original"]),
  split_on: z.enum(["kept", "all"]),
  metric: z.literal("hessian"),
  salient: z.boolean(),
  resign: z.int(),
  scales: z.literal("float32"),
  keep: z.int(),
  of: z.int(),
  coarse: z.literal("none").optional(),
  schedule: z.enum(["stepwise", "oneshot"]).default("stepwise"),
});

const Row = z.object({
  model: z.string(),
  settings: Settings,
  perplexity: z.number(),
  layer_error: z.number(),
  keep: z.array(z.int()).nullable(),
  quantize_seconds: z.number(),
});

/** One row that must be met. */
export type Row = z.infer<typeof Row>;

/** How many windows of how many tokens. */
export interface Extent {
  readonly samples: number;
  readonly length: number;
}

/** On what the rows of one model were measured. */
export interface Protocol {
  readonly calibration: Extent;
  readonly evaluation: Extent;
  readonly original: number;
}

/** The record, as far as it must be met. */
export interface Record {
  readonly protocols: ReadonlyMap<string, Protocol>;
  readonly rows: readonly Row[];
}

const RecordFile = z.object({
  protocol: z.record(
    z.string(),
    z.union([
      z.object({ calibration: z.string(), evaluation: z.string(), original_perplexity: z.number() }),
      z.string(),
      z.number(),
    ]),
  ),
});

/** A value in which a recipe differs from a row. */
export interface Difference {
  readonly path: string;
  readonly recipe: unknown;
  readonly row: unknown;
}

/** A row of whichever record, as it is held against a result. */
export interface Wanted {
  readonly model: string;
  /** What measured it, in few words. */
  readonly source: string;
  readonly perplexity: number;
  /** Mean over the layers; absent where it was taken against something else than the original weights. */
  readonly layerError?: number;
  /** Of the uncompressed model. */
  readonly original: number;
  /** N per block, given as many as the result has: none where nothing is pruned. */
  keep(blocks: number): readonly number[];
  /** All values in which a recipe differs from what the row was made with. */
  differencesFrom(recipe: Recipe): Difference[];
}

/**
 * Reads the record; rows without `must` are left out.
 *
 * @throws {z.ZodError} when a row that must be met says something that is not known here
 */
export function parseRecord(json: unknown): Record {
  const { rows } = z.object({ rows: z.array(z.looseObject({ must: z.boolean().optional() })) }).parse(json);
  return {
    protocols: parseProtocols(json),
    rows: rows.filter(({ must }) => must === true).map((row) => Row.parse(row)),
  };
}

/**
 * On what the rows of each model were measured.
 *
 * @param json of prototype.json or peers.json, which share their protocols
 * @throws {z.ZodError} when there are none
 */
export function parseProtocols(json: unknown): ReadonlyMap<string, Protocol> {
  const protocols = new Map<string, Protocol>();
  for (const [model, protocol] of Object.entries(RecordFile.parse(json).protocol)) {
    if (typeof protocol !== "object") continue;
    const { calibration, evaluation, original_perplexity: original } = protocol;
    protocols.set(model, { calibration: extentOf(calibration), evaluation: extentOf(evaluation), original });
  }
  return protocols;
}

/**
 * The prototype's rows that must be met.
 *
 * @param json prototype.json
 * @throws {z.ZodError} when it is no such record
 * @throws {RangeError} when it has no protocol of a row's model
 */
export function prototypeRows(json: unknown): Wanted[] {
  const { rows, protocols } = parseRecord(json);
  return rows.map((row) => {
    const protocol = protocolOf(protocols, row.model);
    return {
      model: row.model,
      source: "prototype",
      perplexity: row.perplexity,
      layerError: row.layer_error,
      original: protocol.original,
      keep: (blocks) => row.keep ?? new Array<number>(blocks).fill(row.settings.keep),
      differencesFrom: (recipe) => differencesFrom(recipe, row, protocol),
    };
  });
}

/** The protocol of a model. @throws {RangeError} when the record has none */
export function protocolOf(protocols: ReadonlyMap<string, Protocol>, model: string): Protocol {
  const protocol = protocols.get(model);
  if (protocol === undefined) {
    throw new RangeError(`Cannot make a row of ${model} as the record has no protocol of it`);
  }
  return protocol;
}

/** The name of a recipe's model: that of the folder with its config. */
export function modelOf({ model }: Recipe): string {
  return "path" in model ? basename(model.config ?? model.path) : model.hub;
}

/**
 * All values in which a recipe differs from what a row was made with; empty when it is the row's recipe. A stage that the recipe
 * does not name differs as a whole, as every row went through all of them.
 */
export function differencesFrom(recipe: Recipe, row: Row, protocol: Protocol): Difference[] {
  const wanted = { model: row.model, stages: settingsOf(row, protocol) };
  const { pack } = recipe.stages;
  const stages = { ...recipe.stages, ...textsOf(recipe, protocol), pack: pack && { scales: pack.scales } };
  return leafDifferences({ model: modelOf(recipe), stages }, wanted);
}

/** The stages that read text, in a row's terms; absent ones stay so. */
export function textsOf({ stages: { calibrate, evaluate } }: Recipe, protocol: Protocol) {
  return {
    calibrate: calibrate && { ...calibrate, dataset: windowsOf(calibrate.dataset) },
    evaluate: evaluate && evaluationOf(evaluate, protocol),
  };
}

/** What a row's texts are, in the same terms. */
export function wantedTexts(model: string, { calibration, evaluation }: Protocol) {
  const text = (tensor: string) => `${model}/windows.safetensors ${tensor}`;
  return {
    calibrate: { dataset: text("calibration"), ...calibration },
    evaluate: { dataset: text("heldout"), ...evaluation },
  };
}

/** The text that is measured on, as a row has it; every text where a recipe has several, or names one without its windows. */
function evaluationOf({ perplexity }: EvaluateParams, { evaluation }: Protocol): unknown {
  const [entry] = perplexity;
  if (perplexity.length !== 1 || typeof entry !== "object") return { perplexity };
  return { dataset: windowsOf(entry.dataset), samples: entry.samples ?? evaluation.samples, length: entry.length };
}

/** Everything a row was made with, in a recipe's terms; what the prototype leaves unsaid is what it does. */
function settingsOf({ model, settings: s }: Row, protocol: Protocol) {
  const { calibrate, evaluate } = wantedTexts(model, protocol);
  return {
    calibrate: {
      ...calibrate,
      ...{ seed: 0, inputs: s.inputs, target: s.target, propagation: s.propagation },
      ...{ propagation_damping: 0.01, propagation_skip: [], residual: false, held_out: 0 },
    },
    "coarse-search": {
      metric: s.coarse ?? "lr",
      similarity: "token",
      keep: s.keep,
      of: s.of,
      spread: 1,
    },
    "fine-search": { metric: s.metric, mask_from: s.mask_from, inputs: "seen", type: "semi-structured", seed: 0 },
    spbo: {
      profile: "free",
      group_size: s.group_size,
      salient: s.salient,
      salient_max: 49,
      split_points: s.split_points,
      split_search: "free",
      split_on: s.split_on,
      candidates: 40,
      search_grid: "coarse",
      search_target: { salient: "scores", segments: "weights" },
      solver: s.solver,
      schedule: s.schedule,
      iterations: s.iterations,
      resign: s.resign,
      block_metric: "raw",
    },
    compensate: { mode: s.compensate, damping: 0.01 },
    pack: { scales: "f32" },
    evaluate,
  };
}

/** `all 128 windows of 256`. */
function extentOf(text: string): Extent {
  const match = /(\d+) windows of (\d+)/.exec(text);
  if (!match) throw new RangeError(`Cannot read the protocol: "${text}" says no number of windows`);
  return { samples: Number(match[1]), length: Number(match[2]) };
}

function windowsOf(dataset: CalibrateParams["dataset"]): unknown {
  if (typeof dataset !== "object" || !("windows" in dataset)) return dataset;
  const drawn = dataset.shuffle ? ", drawn" : "";
  return `${basename(dirname(dataset.windows))}/${basename(dataset.windows)} ${dataset.tensor}${drawn}`;
}

/** The leaves in which two trees differ. */
export function leafDifferences(recipe: unknown, row: unknown, path = ""): Difference[] {
  if (!isTree(recipe) || !isTree(row)) return Object.is(recipe, row) ? [] : [{ path, recipe, row }];
  const keys = new Set([...Object.keys(recipe), ...Object.keys(row)]);
  return [...keys].flatMap((key) => leafDifferences(recipe[key], row[key], path === "" ? key : `${path}.${key}`));
}

function isTree(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null;
}
