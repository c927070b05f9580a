/** `sweep`: runs all points of a sweep on one cache, and shows them side by side. */
import { basename, extname, join } from "node:path";
import { Command, Option } from "commander";
import { sharedPipeline } from "../pipeline/mod.ts";
import { nearest } from "../recipes/suggest.ts";
import type { LoadedPoint, LoadedSweep } from "../recipes/sweep.ts";
import { meets, Metrics } from "../report/mod.ts";
import { secondsAlone } from "../report/leaderboard_cells.ts";
import { formatSeconds } from "../report/numbers.ts";
import { costOf, describeCost } from "../report/sweep_cost.ts";
import { type ArtifactCache, openCache } from "../runner/mod.ts";
import { executeSweep, type SweepResult } from "../runner/sweep/execute_sweep.ts";
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import { reachable, shareWork } from "../runner/sweep/sharing.ts";
import { surveySweep } from "../runner/sweep/survey.ts";
import { openSweepFolder } from "../runner/sweep/sweep_folder.ts";
import type { Recipe } from "../stages/schema.ts";
import { UsageError } from "./exit_codes.ts";
import { listenForInterruption } from "./interruption.ts";
import {
  collect,
  type CommandContext,
  parseWhole,
  readSweep,
  type RecipeOptions,
  runsOption,
  withOpenOptions,
  yesOption,
} from "./options.ts";
import { mirrorsOf } from "./mirrors.ts";
import { type Facts, notifying, notifyOption } from "./notify.ts";
import { cacheFolder, runsFolder } from "./places.ts";
import { nextCommand, show, watchOutput } from "./run.ts";
import { introduce, openOptions } from "./sweep_plan.ts";
import { jsonSweepProgress, liveSweepProgress, plainSweepProgress } from "./sweep_progress.ts";
import { wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

interface Options extends RecipeOptions {
  readonly runs?: string;
  readonly notify?: string;
  readonly jobs: number;
  readonly only: readonly string[];
  readonly retryFailed?: boolean;
  readonly stopOnFailure?: boolean;
  readonly yes?: boolean;
}

const MORE =
  "What points share is made once, and what is done is kept: Ctrl-C stops cleanly, and the same command goes on where the " +
  "sweep ended, or shows its results. A point that fails does not stop the others; it is in the table with its reason, and " +
  "is tried again when its recipe or the code changes, or with --retry-failed. With --json every event is a line of JSON, " +
  "and the last line is the path of the sweep's folder.";

/** The command. */
export function sweepCommand(context: CommandContext): Command {
  return withOpenOptions(
    new Command("sweep"),
    "a YAML file with `matrix` or `include`, such as configs/sweeps/keep.yaml",
  )
    .description("make what all points of a sweep ask for, and show them side by side")
    .addOption(
      new Option("--only <point>", "run this point alone, by its label or id; `*` stands for anything; may be repeated")
        .argParser(collect).default([], "all"),
    )
    .option("--retry-failed", "try points again that failed before, although nothing has changed")
    .option("--stop-on-failure", "begin no more points once one has failed")
    .addOption(
      new Option("--jobs <number>", "points that run side by side in this process; each uses all cores already")
        .argParser(parseWhole(1)).default(1),
    )
    .addOption(yesOption())
    .addOption(runsOption())
    .addOption(notifyOption())
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action(async (path: string, options: Options) => {
      const terminal = context.terminal(options);
      const told = { recipe: basename(path, extname(path)), terminal };
      context.exit(await notifying(options.notify, told, (tell) => sweepAll(path, options, { terminal, tell })));
    });
}

/** Where a sweep shows itself. */
interface Listeners {
  readonly terminal: Terminal;
  /** Told what the sweep comes to. */
  readonly tell: (facts: Facts) => void;
}

/** @returns the exit code */
async function sweepAll(path: string, options: Options, { terminal, tell }: Listeners): Promise<number> {
  const sweep = await readSweep(path, options, terminal);
  if (!sweep) {
    throw new UsageError(`Cannot sweep ${path} as it has neither \`matrix\` nor \`include\`: deno task run runs it`);
  }
  const only = choose(sweep.points, options.only);
  const interruption = listenForInterruption({
    onFirst: () => terminal.note("\nStopping after what can be stopped; Ctrl-C again stops at once."),
    // The task list hides the cursor.
    onEnd: () => void (terminal.live && terminal.write("\x1b[?25h\n")),
  });
  const cache = await openCache(cacheFolder(options.cache), { size: options.cacheSize });
  try {
    return await run(sweep, { path, options, terminal, tell, only, cache, interruption });
  } finally {
    cache.close();
    interruption.stop();
  }
}

async function run(
  sweep: LoadedSweep<Recipe>,
  { path, options, terminal, tell, only, cache, interruption }: Listeners & {
    readonly path: string;
    readonly options: Options;
    readonly only: (point: Named) => boolean;
    readonly cache: ArtifactCache;
    readonly interruption: ReturnType<typeof listenForInterruption>;
  },
): Promise<number> {
  await using pipeline = sharedPipeline();
  const { jobs, retryFailed, stopOnFailure, json } = options;
  const open = openOptions({ ...options, purpose: "run" }, terminal);
  const mirrors = mirrorsOf(options.cacheFrom, cache);
  const warn = (message: string) => terminal.note(`warning: ${message}`);
  const surveyed = await surveySweep(sweep.points, {
    ...{ pipeline, open, cache, mirrors, warn, signal: interruption.signal },
  });
  const opened = surveyed.flatMap(({ work }) => work ?? []);
  tell({ recipe: sweep.name, model: opened[0]?.model ?? null });
  if (!json) {
    const { shares } = shareWork(opened, reachable(opened, cache, mirrors));
    for (const line of introduce(sweep.name, opened[0], terminal.width)) terminal.line(line);
    for (
      const line of wrapText(
        describeCost({ ...costOf(surveyed, shares), mirrored: mirrors !== undefined }),
        terminal.width,
        "  ",
      )
    ) terminal.line(line);
  }
  for (const { label, failure } of surveyed) {
    if (failure) terminal.note(`warning: ${label} cannot run: ${failure.message}`);
  }
  // Drawing loads for longer than a sweep takes to be read and refused.
  const { renderLeaderboard, renderSweepPage } = await import("../report/sweep_report.ts");
  const keys = new Map(surveyed.map(({ id, work }) => [id, work?.key]));
  const folder = openSweepFolder(sweep, { runsDir: runsFolder(options.runs), keys, warn });
  const progress = json
    ? jsonSweepProgress(terminal)
    : terminal.live && jobs === 1
    ? liveSweepProgress(terminal)
    : plainSweepProgress(terminal, { jobs });
  const output = watchOutput(progress.onEvent, terminal);
  const text = (lines: readonly string[]) => `${lines.join("\n")}\n`;
  let result: SweepResult;
  interruption.defer();
  try {
    result = await executeSweep(sweep, surveyed, {
      ...{ pipeline, open, cache, mirrors, folder, only, jobs, retryFailed, stopOnFailure },
      render: (record) => ({
        "leaderboard.md": text(renderLeaderboard(record, { form: "markdown" })),
        "leaderboard.csv": text(renderLeaderboard(record, { form: "csv" })),
        "leaderboard.json": text(renderLeaderboard(record, { form: "json" })),
        "report.html": renderSweepPage(record),
      }),
      next: nextCommand(path, options, "sweep"),
      onEvent: output.onEvent,
      signal: AbortSignal.any([interruption.signal, output.signal]),
    });
  } finally {
    folder.close();
    await progress.close();
  }
  tell({ ...factsOf(result), run: basename(folder.path) });
  output.check();
  const board = () => renderLeaderboard(result.record, { form: "terminal", width: terminal.width });
  return conclude(result, { sweep, only, folder: folder.path, board }, options, terminal);
}

function factsOf({ record: { points }, error }: SweepResult): Facts {
  const count = (wanted: SweepPoint["state"]) => points.filter(({ state }) => state === wanted).length;
  const [finished, failed] = [count("finished"), count("failed")];
  const first = points.find(({ state, error }) => state === "failed" && error !== undefined);
  return {
    points: { finished, failed, left: points.length - finished - failed },
    error: error?.message ?? (first === undefined ? null : `${first.label}: ${first.error}`),
  };
}

/** Says how a sweep ended. @returns the exit code */
function conclude(
  { record, exit, error, ran, untried }: SweepResult,
  { sweep, only, folder, board }: {
    readonly sweep: LoadedSweep<Recipe>;
    readonly only: (point: Named) => boolean;
    readonly folder: string;
    readonly board: () => string[];
  },
  { json, only: chosen }: Options,
  terminal: Terminal,
): number {
  if (exit === 130) terminal.note("Interrupted; what is done is kept. To go on, give the same command again.");
  else if (error) terminal.note(`error: ${error.message}`);
  const missed = missedBy(sweep, record.points.filter(only));
  if (json) terminal.line(folder);
  else {
    terminal.line();
    for (const line of board()) terminal.line(line);
    terminal.line();
    for (const line of summarize(record, ran)) {
      for (const each of wrapText(line, terminal.width, " ".repeat(8))) terminal.line(each);
    }
    for (const label of missed) terminal.note(`warning: ${label} misses what its recipe expects`);
    if (untried > 0) terminal.note("Points that failed before were not tried again: --retry-failed does that.");
    if (chosen.length > 0) terminal.line(`only    ${record.points.filter(only).map(({ label }) => label).join("; ")}`);
    terminal.line(`folder  ${show(folder)}`);
    terminal.line(`report  ${show(join(folder, "report.html"))}`);
  }
  return exit !== 0 ? exit : missed.length > 0 ? exitCodeOfMiss : 0;
}

/** As of a run that misses what its recipe expects. */
const exitCodeOfMiss = 7;

function summarize(record: SweepRecord, ran: number): string[] {
  const { points, seconds } = record;
  const count = (wanted: SweepPoint["state"]) => points.filter(({ state }) => state === wanted).length;
  const [finished, failed] = [count("finished"), count("failed")], left = points.length - finished - failed;
  const alone = points.reduce((sum, { alone = 0 }) => sum + alone, 0);
  // The leaderboard says it where all are finished.
  const share = alone > 0 && secondsAlone(record) === undefined
    ? `, ${(seconds / alone).toFixed(2)} of the ${formatSeconds(alone)} that they take alone`
    : "";
  const counts = [
    `${finished} finished`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(left > 0 ? [`${left} not run`] : []),
  ];
  return [
    `points  ${counts.join(", ")}${ran === 0 ? ": all from before" : ""}`,
    `time    ${formatSeconds(seconds)}${share}`,
  ];
}

/** Labels of points that miss what their recipes expect. */
function missedBy({ points }: LoadedSweep<Recipe>, made: readonly SweepPoint[]): string[] {
  const recipes = new Map(points.map(({ id, recipe }) => [id, recipe]));
  return made.filter(({ id, state, metrics }) => {
    const expected = Object.entries(recipes.get(id)?.expect ?? {});
    if (state !== "finished" || expected.length === 0) return false;
    const { perplexity } = Metrics.parse(metrics);
    return expected.some(([name, value]) => !meets(perplexity[name]?.compressed ?? NaN, value));
  }).map(({ label }) => label);
}

type Named = Pick<LoadedPoint, "id" | "label">;

/** Points that `--only` names. @throws {UsageError} when a pattern names none */
function choose(points: readonly Named[], patterns: readonly string[]): (point: Named) => boolean {
  if (patterns.length === 0) return () => true;
  const rules = patterns.map((pattern) => {
    const rule = new RegExp(`^${pattern.split("*").map((part) => RegExp.escape(part)).join(".*")}$`, "isu");
    const fits = ({ id, label }: Named) => rule.test(id) || rule.test(label);
    if (points.some(fits)) return fits;
    const labels = points.map(({ label }) => label), meant = nearest(pattern, labels);
    throw new UsageError(
      `Cannot run only "${pattern}" as no point is called so${
        meant === undefined ? "" : `: did you mean "${meant}"?`
      }; ` +
        `points are ${labels.slice(0, 20).map((label) => `"${label}"`).join(", ")}${labels.length > 20 ? " …" : ""}`,
    );
  });
  return (point) => rules.some((fits) => fits(point));
}
