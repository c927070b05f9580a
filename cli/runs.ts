/** `runs`: past runs, listed, shown and compared. */
import { join } from "node:path";
import { Command } from "commander";
import { compareRuns, listRuns, type RunInfo, type RunRecord } from "../runner/mod.ts";
import { listSweeps, type SweepInfo, SWEEPS } from "../runner/sweep/sweep_folder.ts";
import { formatSeconds } from "../report/numbers.ts";
import { type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { runsFolder } from "./places.ts";
import { compareCommand, number, openRun } from "./runs_compare.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
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
      add("list", "all runs and sweeps, the newest first").action((options: Options) => {
        list(options, context.terminal(options));
      }),
      { isDefault: true },
    )
    .addCommand(
      add("show", "one run").argument("<run>", "its id, the beginning of it, or `last`")
        .action((id: string, options: Options) => show(id, options, context.terminal(options))),
    )
    .addCommand(compareCommand(context));
}

function list({ runs, json }: Options, terminal: Terminal): void {
  const found = listRuns(
    runsFolder(runs),
    (run, { message }) => terminal.note(`warning: run ${run} is left out: ${message}`),
  );
  const sweeps = listSweeps(
    runsFolder(runs),
    (sweep, { message }) => terminal.note(`warning: sweep ${sweep} is left out: ${message}`),
  );
  if (json) return terminal.line(JSON.stringify([...found, ...sweeps]));
  if (found.length + sweeps.length === 0) {
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
  if (rows.length > 0) {
    for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  }
  if (sweeps.length === 0) return;
  if (rows.length > 0) terminal.line();
  const heads = [{ head: "sweep" }, { head: "points" }, { head: "time", side: "right" }] as const;
  const lines = sweeps.map(({ sweep, points, seconds }) => [sweep, describePoints(points), formatSeconds(seconds)]);
  for (const line of renderTable(heads, lines, { width: terminal.width })) terminal.line(line);
  const where = `Their points' runs are in ${
    join(runsFolder(runs), SWEEPS)
  }: \`runs compare <folder>\` shows them side by side.`;
  for (const line of wrapText(where, terminal.width)) terminal.line(line);
}

/** `3 finished, 1 failed`. */
function describePoints(points: SweepInfo["points"]): string {
  return Object.entries(points).filter(([, count]) => count > 0).map(([state, count]) => `${count} ${state}`).join(
    ", ",
  );
}

function show(id: string, { runs, json }: Options, terminal: Terminal): void {
  const record = openRun(id, runsFolder(runs));
  if (json) return terminal.line(JSON.stringify(record));
  for (const line of describeRun(record)) {
    for (const each of wrapText(line, terminal.width, " ".repeat(9))) terminal.line(each);
  }
  const numbers = compareRuns([record]).metrics;
  if (numbers.length === 0) return;
  terminal.line();
  const rows = numbers.map(({ path, values: [value] }) => [path, number(value)]);
  for (
    const line of renderTable([{ head: "metric" }, { head: "value", side: "right" }], rows, { width: terminal.width })
  ) {
    terminal.line(line);
  }
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
