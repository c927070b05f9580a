/** `runs`: past runs, listed, shown and compared. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Command } from "commander";
import { sayNumbers } from "../files/json_number.ts";
import { JOURNAL } from "../runner/journal.ts";
import { compareRuns, listRuns, readRun, type RunComparison, type RunInfo, type RunRecord } from "../runner/mod.ts";
import { formatExactly, formatSeconds } from "../report/numbers.ts";
import { asked } from "./exit_codes.ts";
import { type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { locate, runsFolder } from "./places.ts";
import { renderTable, wrapText } from "./table.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly runs?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** The command with its subcommands. */
export function runsCommand(context: CommandContext): Command {
  const add = (name: string, description: string) =>
    withOutputOptions(new Command(name)).description(description).addOption(runsOption());
  return new Command("runs").description("list, show and compare past runs")
    .addCommand(
      add("list", "all runs, the newest first").action((options: Options) => {
        list(options, context.terminal(options));
      }),
      { isDefault: true },
    )
    .addCommand(
      add("show", "one run").argument("<run>", "its id, the beginning of it, or `last`")
        .action((id: string, options: Options) => show(id, options, context.terminal(options))),
    )
    .addCommand(
      add("compare", "what differs between two runs").argument("<a>", "a run").argument("<b>", "another")
        .action((a: string, b: string, options: Options) => compare(a, b, options, context.terminal(options))),
    );
}

function list({ runs, json }: Options, terminal: Terminal): void {
  const found = listRuns(
    runsFolder(runs),
    (run, { message }) => terminal.note(`warning: run ${run} is left out: ${message}`),
  );
  if (json) return terminal.line(JSON.stringify(found));
  if (found.length === 0) {
    return wrapText(`There are no runs in ${runsFolder(runs)}.`, terminal.width).forEach((line) => terminal.line(line));
  }
  const columns = [
    { head: "run" },
    { head: "model" },
    { head: "outcome" },
    { head: "steps", side: "right" },
    { head: "time", side: "right" },
  ] as const;
  const rows = found.map(({ run, model, outcome, steps, seconds }) => [
    run,
    model,
    outcome,
    `${steps.run}+${steps.cached}`,
    formatSeconds(seconds),
  ]);
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
}

function show(id: string, { runs, json }: Options, terminal: Terminal): void {
  const record = openRun(id, runsFolder(runs));
  if (json) return terminal.line(JSON.stringify(record));
  for (const line of describeRun(record)) {
    for (const each of wrapText(line, terminal.width, " ".repeat(9))) terminal.line(each);
  }
  const numbers = compareRuns(record, record).metrics;
  if (numbers.length === 0) return;
  terminal.line();
  const rows = numbers.map(({ path, a }) => [path, number(a)]);
  for (
    const line of renderTable([{ head: "metric" }, { head: "value", side: "right" }], rows, { width: terminal.width })
  ) {
    terminal.line(line);
  }
}

function compare(a: string, b: string, { runs, json }: Options, terminal: Terminal): void {
  const folder = runsFolder(runs);
  const comparison = compareRuns(openRun(a, folder), openRun(b, folder));
  if (json) return terminal.line(JSON.stringify(comparison, sayNumbers));
  for (const line of renderComparison(comparison, terminal.width)) terminal.line(line);
}

/** A run by its id in the folder of runs, or by its own folder wherever that is. */
function openRun(id: string, runs: string): RunRecord {
  const folder = locate(id);
  const elsewhere = existsSync(join(folder, JOURNAL));
  return asked(() => elsewhere ? readRun(dirname(folder), basename(folder)) : readRun(runs, id));
}

/** Two runs side by side: recipe values that differ, then the numbers of their results. */
function renderComparison({ a, b, recipe, metrics }: RunComparison, width: number): string[] {
  const title = (name: string, run: RunInfo) =>
    wrapText(`${name}  ${run.run}  ${run.outcome}, ${whereOf(run)}`, width, "   ");
  const lines = [...title("a", a), ...title("b", b), ""];
  if (recipe.length === 0) lines.push("The recipes are the same.");
  else {
    const rows = recipe.map(({ field, before, now }) => [field, text(before), text(now)]);
    lines.push(...renderTable([{ head: "recipe" }, { head: "a" }, { head: "b" }], rows, { width }));
  }
  if (metrics.length === 0) return [...lines, "", "Neither run left metrics."];
  const columns = [
    { head: "metric" },
    { head: "a", side: "right" },
    { head: "b", side: "right" },
    { head: "b − a", side: "right" },
  ] as const;
  const rows = metrics.map(({ path, a, b }) => [
    path,
    number(a),
    number(b),
    a === undefined || b === undefined || a === b ? "" : number(b - a),
  ]);
  return [...lines, "", ...renderTable(columns, rows, { width })];
}

function describeRun(
  { run, folder, recipe, model, method, device, outcome, started, seconds, steps, error }: RunInfo | RunRecord,
) {
  return [
    `run      ${run}`,
    `recipe   ${recipe}`,
    `model    ${model}`,
    `method   ${method}`,
    `device   ${device.kind} (${device.name}): ${device.why}`,
    ...(device.forward ? [`forward  ${device.forward.provider}: ${device.forward.why}`] : []),
    `started  ${new Date(started).toISOString()}`,
    `outcome  ${outcome}, after ${formatSeconds(seconds)}: ${steps.run} steps run, ${steps.cached} cached`,
    ...(error === undefined ? [] : [`error    ${error}`]),
    `folder   ${folder}`,
  ];
}

/** The kernels' device, and the forward passes' where it is another. */
function whereOf({ device: { kind, forward } }: RunInfo): string {
  return forward === undefined || forward.provider === kind ? kind : `${kind}, forward passes on ${forward.provider}`;
}

function number(value: number | undefined): string {
  return value === undefined ? "–" : formatExactly(value);
}

function text(value: unknown): string {
  return value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value);
}
