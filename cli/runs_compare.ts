/** `runs compare`: how two runs or more differ, in their recipes, their results, and block by block. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Command, Option } from "commander";
import { sayNumbers } from "../files/json_number.ts";
import { textWidth } from "../files/text_width.ts";
import { JOURNAL } from "../runner/journal.ts";
import { compareRuns, readRun, type RunComparison, type RunInfo, type RunRecord } from "../runner/mod.ts";
import { COMPARED_BY, type ComparedBy, type ComparedPlace, compareLayers } from "../report/compare_layers.ts";
import { formatExactly } from "../report/numbers.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { locate, runsFolder } from "./places.ts";
import { openSweep } from "./sweep_runs.ts";
import { type Column, renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly runs?: string;
  readonly by: ComparedBy;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** A run, and what its sweep calls it. */
interface NamedRun {
  readonly record: RunRecord;
  readonly label?: string;
}

/** Columns about one run: its own, and its difference to the first. */
interface RunColumns {
  readonly columns: readonly Column[];
  /** Per row. */
  readonly cells: readonly (readonly string[])[];
}

/** The command. */
export function compareCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("compare"))
    .description("what differs between runs: recipes, results, and block by block")
    .argument(
      "<runs...>",
      "two runs or more, each an id, its beginning, `last`, or a folder; a sweep's folder is all its runs",
    )
    .addOption(runsOption())
    .addOption(new Option("--by <what>", "rows of the last table").choices([...COMPARED_BY]).default("block"))
    .action((ids: readonly string[], options: Options) => compare(ids, options, context.terminal(options)));
}

/** A run by its id in the folder of runs, or by its own folder wherever that is. @throws {UsageError} when there is none */
export function openRun(id: string, runs: string): RunRecord {
  const folder = locate(id);
  const elsewhere = existsSync(join(folder, JOURNAL));
  return asked(() => elsewhere ? readRun(dirname(folder), basename(folder)) : readRun(runs, id));
}

function compare(ids: readonly string[], { runs, by, json }: Options, terminal: Terminal): void {
  const named = ids.flatMap((id) => openRuns(id, runsFolder(runs)));
  if (named.length < 2) {
    throw new UsageError(`Cannot compare fewer than two runs: name another one beside ${ids.join(", ")}`);
  }
  const comparison = compareRuns(named.map(({ record }) => record));
  const layers = compareLayers(named.map(({ record }) => record.metrics), by);
  if (json) return terminal.line(JSON.stringify({ ...comparison, by, layers }, sayNumbers));
  const labels = named.map(({ label }) => label);
  for (const line of renderComparison(comparison, { layers, by, labels, width: terminal.width })) terminal.line(line);
}

/** One run, or all of a sweep that have a folder. */
function openRuns(id: string, runs: string): NamedRun[] {
  const sweep = openSweep(locate(id));
  if (sweep === undefined) return [{ record: openRun(id, runs) }];
  return sweep.record.points.flatMap(({ id, label }) => {
    const record = sweep.runs.get(id);
    return record === undefined ? [] : [{ label, record }];
  });
}

/** Runs side by side: who they are, recipe values that differ, the numbers of their results, blocks or layers. */
function renderComparison(
  { runs, recipe, metrics }: RunComparison,
  { layers, by, labels, width }: {
    readonly layers: readonly ComparedPlace[];
    readonly by: ComparedBy;
    readonly labels: readonly (string | undefined)[];
    readonly width: number;
  },
): string[] {
  const names = runs.map((_, place) => nameOf(place));
  const indent = " ".repeat(names[names.length - 1].length + 2);
  const lines = runs.flatMap((run, place) => {
    const label = labels[place] === undefined ? "" : `${labels[place]}: `;
    return wrapText(
      `${names[place].padEnd(indent.length)}${label}${run.run}  ${run.outcome}, ${whereOf(run)}`,
      width,
      indent,
    );
  });
  lines.push("", ...recipeLines(recipe, names, width), "", ...metricLines(metrics, names, width));
  if (layers.length === 0) return lines;
  const allocates = layers.some(({ results }) => results.some(({ bits }) => bits !== undefined));
  return [
    ...lines,
    "",
    ...sideBySide({ head: by, cells: layers.map(({ place }) => place) }, layerColumns(layers, names), width),
    ...wrapText(
      `N: weights kept of M; ${allocates ? "bits: stored bits a weight that were given; " : ""}error: ${
        by === "block" ? "mean over the block's layers" : "of the layer"
      }.`,
      width,
    ),
  ];
}

function recipeLines(recipe: RunComparison["recipe"], names: readonly string[], width: number): string[] {
  // What a recipe says of itself in words sets nothing, and would fill the screen.
  const rows = recipe.filter(({ field }) => field !== "description");
  if (rows.length === 0) return ["The recipes are the same."];
  const columns = names.map((head, run) => ({
    columns: [{ head }],
    cells: rows.map(({ values }) => [text(values[run])]),
  }));
  return sideBySide({ head: "recipe", cells: rows.map(({ field }) => field) }, columns, width);
}

/** Numbers that are not the same in all runs; of two runs, with their difference. */
function metricLines(metrics: RunComparison["metrics"], names: readonly string[], width: number): string[] {
  if (metrics.length === 0) return [names.length === 2 ? "Neither run left metrics." : "No run left metrics."];
  const rows = metrics.filter(({ values }) => new Set(values).size > 1);
  const same = metrics.length - rows.length;
  const two = names.length === 2;
  const columns = names.map((name, run) => ({
    columns: [right(name), ...(two && run === 1 ? [right(`${name} − ${names[0]}`)] : [])],
    cells: rows.map(({ values }) => [
      number(values[run]),
      ...(two && run === 1 ? [difference(values[run], values[0])] : []),
    ]),
  }));
  return [
    ...(rows.length === 0 ? [] : sideBySide({ head: "metric", cells: rows.map(({ path }) => path) }, columns, width)),
    ...(same === 0 ? [] : wrapText(`${same} other numbers are the same.`, width)),
  ];
}

function layerColumns(layers: readonly ComparedPlace[], names: readonly string[]): RunColumns[] {
  return names.map((name, run) => {
    const prunes = layers.some(({ results }) => results[run].keep !== undefined);
    const allocates = layers.some(({ results }) => results[run].bits !== undefined);
    return {
      columns: [
        ...(prunes ? [right(`${name} N`)] : []),
        ...(allocates ? [right(`${name} bits`)] : []),
        right(`${name} error`),
        ...(run === 0 ? [] : [right(`${name} − ${names[0]}`)]),
      ],
      cells: layers.map(({ results }) => [
        ...(prunes ? [number(results[run].keep)] : []),
        ...(allocates ? [given(results[run].bits)] : []),
        number(results[run].error),
        ...(run === 0 ? [] : [difference(results[run].error, results[0].error)]),
      ]),
    };
  });
}

/** Tables of as many runs as fit, each with the first; where not even two do, rows stand as lines of their own. */
function sideBySide(
  { head, cells }: { readonly head: string; readonly cells: readonly string[] },
  [first, ...others]: readonly RunColumns[],
  width: number,
): string[] {
  const table = (runs: readonly RunColumns[], within: number) =>
    renderTable(
      [{ head }, ...runs.flatMap(({ columns }) => columns)],
      cells.map((cell, row) => [cell, ...runs.flatMap(({ cells }) => cells[row])]),
      { width: within },
    );
  const tables = (count: number, within: number) =>
    Array.from(
      { length: Math.ceil(others.length / count) },
      (_, i) => table([first, ...others.slice(i * count, (i + 1) * count)], within),
    );
  const join = (parts: readonly string[][]) => parts.flatMap((lines, i) => i === 0 ? lines : ["", ...lines]);
  for (
    const fits of [
      (count: number) => tables(count, Infinity).flat().every((line) => textWidth(line) <= width),
      // Names are cut; a table has a rule.
      (count: number) => tables(count, width).every((lines) => lines[1]?.startsWith("─")),
    ]
  ) {
    for (let count = others.length; count >= 1; count--) if (fits(count)) return join(tables(count, width));
  }
  return table([first, ...others], width);
}

/** a, b, …, z, aa, ab, … */
function nameOf(place: number): string {
  const letter = String.fromCharCode(97 + place % 26);
  return place < 26 ? letter : nameOf(Math.floor(place / 26) - 1) + letter;
}

/** The kernels' device, and the forward passes' where it is another. */
function whereOf({ device: { kind, forward } }: RunInfo): string {
  return forward === undefined || forward.provider === kind ? kind : `${kind}, forward passes on ${forward.provider}`;
}

function right(head: string): Column {
  return { head, side: "right" };
}

/** Bits that were given, or a dash. */
function given(bits: number | undefined): string {
  return bits === undefined ? "–" : bits.toFixed(2);
}

/** A number, or a dash where there is none. */
export function number(value: number | undefined): string {
  return value === undefined ? "–" : formatExactly(value);
}

function difference(value: number | undefined, first: number | undefined): string {
  return value === undefined || first === undefined || value === first ? "" : number(value - first);
}

function text(value: unknown): string {
  return value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}
