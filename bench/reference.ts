/**
 * `task bench reference`: every row of the records that must be met (a prototype's, and those of official code), made anew from the
 * recipes in configs/reference and configs/methods.
 *
 * Rows and recipes are matched by their settings, so that a row without a recipe, or a recipe that drifted, is an error. Results
 * come from the cache where they are there; the seconds are those of when they were made.
 */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { Command, Option } from "commander";
import { UsageError } from "../cli/exit_codes.ts";
import { cacheOption, collect, runsOption, withOutputOptions } from "../cli/options.ts";
import { cacheFolder, projectFolder, runsFolder, workingFolder } from "../cli/places.ts";
import { renderTable } from "../report/text_table.ts";
import { openTerminal, type Terminal } from "../cli/terminal.ts";
import type { LoadedRecipe } from "../recipes/recipe.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { formatSeconds } from "../report/numbers.ts";
import type { Recipe } from "../stages/schema.ts";
import { boundsOf, compareOutcome, type Comparison, ORIGINAL_BOUND, percent } from "./reference/compare.ts";
import { peerRows } from "./reference/peers.ts";
import { rateRows } from "./reference/rate.ts";
import { type Difference, prototypeRows, type Wanted } from "./reference/rows.ts";
import { nearbySettings, type Spread, spreadOf } from "./reference/spread.ts";
import { listenForInterruption } from "../cli/interruption.ts";
import { QUANTIZING, readMetrics, runRecipe } from "./measure/recipe_run.ts";
import { readReference } from "./measure/references.ts";

interface Options {
  readonly model: string;
  readonly row: readonly string[];
  readonly reference?: string;
  readonly cache?: string;
  readonly runs?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** A row with its recipe. */
interface Pair {
  /** The recipe's file, without folder and ending. */
  readonly name: string;
  readonly row: Wanted;
  readonly loaded: LoadedRecipe<Recipe>;
  readonly file: string;
}

/** A row made anew. */
interface Remade extends Pair {
  readonly perplexity: number;
  readonly layerError: number;
  readonly keep: readonly number[];
  readonly comparison: Comparison;
  /** Where a missed perplexity may be chance. */
  readonly spread?: Spread;
  /** Perplexity of the uncompressed model. */
  readonly original: number;
  /** Wall seconds of the quantising stages. */
  readonly seconds: number;
  readonly folder: string;
}

/** Folders of configs/ with the rows' recipes. */
const FOLDERS = ["reference", "methods"] as const;

/** Columns of the table. */
const WIDTH = 120;

/** Exit code where a row is missed. */
const MISSED = 5;

/** The benchmark. @returns the exit code: 0 when all rows are met, else 5 */
export async function main(args: readonly string[]): Promise<number> {
  const command = withOutputOptions(new Command("reference"))
    .description("make the recorded rows anew and compare")
    .addOption(
      new Option("--model <model>", "rows of one model").choices(["tiny-llama", "smollm2-135m", "all"]).default("all"),
    )
    .option("--row <name>", "one row, by its recipe's file; may be repeated", collect, [])
    .option(
      "--reference <dir>",
      "folder with prototype.json, peers.json and rate.json (default: shared/reference beside the project)",
    )
    .addOption(cacheOption())
    .addOption(runsOption())
    .exitOverride();
  const options = command.parse([...args], { from: "user" }).opts<Options>();
  const terminal = openTerminal({ colour: options.color, json: options.json });
  const pairs = await choosePairs(options);
  const remade: Remade[] = [];
  for (const pair of pairs) remade.push(await remake(pair, options, terminal));
  const missed = remade.filter((each) => !isMet(each));
  if (options.json) terminal.line(JSON.stringify(toJson(remade)));
  else for (const line of render(remade)) terminal.line(line);
  return missed.length > 0 ? MISSED : 0;
}

/** The rows that are asked for, each with its recipe. @throws {UsageError} when a row has none, or there is no such row */
async function choosePairs({ model, row: names, reference }: Options): Promise<Pair[]> {
  const peers = await readReference("peers.json", reference);
  const rows = [
    ...prototypeRows(await readReference("prototype.json", reference)),
    ...peerRows(peers),
    ...rateRows(await readReference("rate.json", reference), peers),
  ];
  const recipes = new Map<string, Omit<Pair, "name" | "row">>();
  for (const folder of FOLDERS.map((name) => join(projectFolder, "configs", name))) {
    for (const file of (await readdir(folder)).filter((file) => file.endsWith(".yaml")).sort()) {
      const path = join(folder, file);
      recipes.set(basename(file, ".yaml"), { file: path, loaded: await loadRecipe(path, { cwd: workingFolder() }) });
    }
  }
  const pairs = rows.map((row) => pairUp(row, recipes));
  const unknown = names.find((name) => !pairs.some((pair) => pair.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`Cannot make row "${unknown}": the rows are ${pairs.map(({ name }) => name).join(", ")}`);
  }
  return pairs.filter(({ name, row }) =>
    (model === "all" || row.model === model) && (names.length === 0 || names.includes(name))
  );
}

function pairUp(row: Wanted, recipes: ReadonlyMap<string, Omit<Pair, "name" | "row">>): Pair {
  const tried = [...recipes].map(([name, { loaded, file }]) => ({
    ...{ name, loaded, file },
    differences: row.differencesFrom(loaded.recipe),
  }));
  const found = tried.filter(({ differences }) => differences.length === 0);
  if (found.length === 1) {
    const [{ name, loaded, file }] = found;
    return { name, loaded, file, row };
  }
  const which = `the ${row.source}'s row of ${row.model} with perplexity ${row.perplexity}`;
  if (found.length > 1) {
    throw new UsageError(
      `Cannot make ${which} as several recipes have its settings: ${found.map(({ name }) => name).join(", ")}`,
    );
  }
  const nearest = tried.toSorted((a, b) => a.differences.length - b.differences.length)[0];
  const why = nearest === undefined
    ? "there are no recipes"
    : `the nearest, ${nearest.name}, differs in ${nearest.differences.map(describe).join("; ")}`;
  throw new UsageError(
    `Cannot make ${which} as no recipe in ${
      FOLDERS.map((name) => `configs/${name}`).join(" or ")
    } has its settings: ${why}`,
  );
}

async function remake(pair: Pair, options: Options, terminal: Terminal): Promise<Remade> {
  const { row, loaded } = pair;
  const interruption = listenForInterruption();
  const make = (loaded: LoadedRecipe<Recipe>) =>
    runRecipe(loaded, {
      cache: cacheFolder(options.cache),
      runs: runsFolder(options.runs),
      signal: interruption.signal,
      warn: (message) => terminal.note(`warning: ${message}`),
    });
  try {
    const { result, steps } = await make(loaded);
    const metrics = await readMetrics(result);
    const [{ original, compressed }] = Object.values(metrics.perplexity);
    const { keep = [], layer_error: { mean: layerError } } = metrics;
    const wanted = { ...row, keep: row.keep(keep.length) };
    const ours = { perplexity: compressed, layerError, keep };
    const comparison = compareOutcome(ours, wanted, boundsOf(row.model));
    const seconds = steps.reduce((sum, step) => sum + (QUANTIZING.has(step.stage) ? step.seconds ?? 0 : 0), 0);
    const count = result.steps.run === 0 ? "cached" : `${result.steps.run} steps run`;
    terminal.note(`${pair.name}  ${comparison.verdict}  (${count}, ${formatSeconds(result.seconds)})`);
    const nearby = [compressed], { damping } = loaded.recipe.stages.compensate ?? {};
    for (const setting of nearbySettings({ model: row.model, comparison, damping })) {
      const { result } = await make(await loadRecipe(pair.file, { cwd: workingFolder(), set: [setting] }));
      const [{ compressed }] = Object.values((await readMetrics(result)).perplexity);
      nearby.push(compressed);
      terminal.note(`${pair.name}  with ${setting}: perplexity ${compressed.toFixed(2)}`);
    }
    const spread = nearby.length > 1 ? { spread: spreadOf(nearby, row.perplexity) } : {};
    return { ...pair, ...ours, comparison, ...spread, original, seconds, folder: result.folder };
  } finally {
    interruption.stop();
  }
}

function render(remade: readonly Remade[]): string[] {
  const lines: string[] = [];
  for (const [model, rows] of Map.groupBy(remade, ({ row }) => row.model)) {
    const bounds = boundsOf(model);
    const measure = bounds.logarithmic ? "log-perplexity" : "perplexity";
    if (lines.length > 0) lines.push("");
    lines.push(
      `${model}: ${measure} within ${100 * bounds.perplexity} % of the record's, mean layer error within ` +
        `${100 * bounds.layerError} %, the same N per block`,
      "",
      ...renderTable(
        [
          { head: "row" },
          { head: "record of" },
          { head: "perplexity", side: "right" },
          { head: "record", side: "right" },
          { head: bounds.logarithmic ? "Δ log" : "Δ", side: "right" },
          { head: "error", side: "right" },
          { head: "record", side: "right" },
          { head: "Δ", side: "right" },
          { head: "N" },
          { head: "quantising", side: "right" },
          { head: "" },
        ],
        rows.map((each) => cellsOf(each, model)),
        { width: WIDTH },
      ),
      "",
      ...rows.flatMap(spreadLines),
      ...originals(rows),
    );
  }
  const met = remade.filter(isMet).length, chance = remade.filter((each) => isMet(each) && each.spread?.covers).length;
  const by = chance > 0 ? ` (${chance} within the spread of dampings that hardly differ)` : "";
  return [...lines, "", `${met} of ${remade.length} rows met${by}, ${remade.length - met} missed`];
}

/** What is said of a row whose perplexity may be chance. */
function spreadLines({ name, row, spread }: Remade): string[] {
  if (spread === undefined) return [];
  const [least, most, record] = [spread.least, spread.most, row.perplexity].map((value) => value.toFixed(0));
  return [
    `${name}: with dampings up to 2 % from its own ${least} to ${most}, so the record's ${record} ` +
    `${spread.covers ? "is what chance alone may give" : "is not explained by chance"}`,
  ];
}

function cellsOf({ name, row, comparison, ...ours }: Remade, model: string): string[] {
  return [
    name.startsWith(`${model}-`) ? name.slice(model.length + 1) : name,
    row.source,
    ours.perplexity.toFixed(2),
    row.perplexity.toFixed(2),
    percent(comparison.perplexity.deviation),
    ours.layerError.toFixed(4),
    row.layerError?.toFixed(4) ?? "–",
    comparison.layerError ? percent(comparison.layerError.deviation) : "–",
    comparison.sameKeep ? "same" : "differs",
    formatSeconds(ours.seconds),
    ours.spread?.covers ? "by chance" : comparison.verdict,
  ];
}

/** The uncompressed model's perplexity, which all rows share. */
function originals(rows: readonly Remade[]): string[] {
  const [worst] = rows.toSorted((a, b) => offOf(b) - offOf(a));
  const verdict = offOf(worst) <= ORIGINAL_BOUND ? "met" : "missed";
  return [
    `original perplexity ${worst.original.toFixed(3)}, recorded ${worst.row.original.toFixed(3)}: ${verdict} ` +
    `(within ${100 * ORIGINAL_BOUND} %)`,
  ];
}

function offOf({ original, row }: Pick<Remade, "original" | "row">): number {
  return Math.abs(original / row.original - 1);
}

function isMet(remade: Remade): boolean {
  return (remade.comparison.verdict !== "missed" || remade.spread?.covers === true) && offOf(remade) <= ORIGINAL_BOUND;
}

function toJson(remade: readonly Remade[]) {
  return remade.map((each) => {
    const { name, row, loaded: _loaded, file: _file, ...ours } = each;
    const { source, perplexity, layerError, original } = row;
    const record = { source, perplexity, layerError, keep: row.keep(ours.keep.length), original };
    return { name, model: row.model, met: isMet(each), ...ours, record };
  });
}

function describe({ path, recipe, row }: Difference): string {
  return `${path}: ${JSON.stringify(recipe)} for ${JSON.stringify(row)}`;
}
