/** `run`: makes what a recipe asks for, and says what came of it. */
import { basename, extname, join, relative } from "node:path";
import { Command } from "commander";
import { InputError } from "../files/input_error.ts";
import { parseJsonObject, readTextFile } from "../files/text_file.ts";
import { gather } from "../report/gather.ts";
import { meets, Metrics, renderResultTable } from "../report/mod.ts";
import type { Recipe } from "../stages/schema.ts";
import { JOURNAL, readJournal } from "../runner/journal.ts";
import { executeRun, makePlan, openCache, type RunResult } from "../runner/mod.ts";
import { formatSeconds } from "../report/numbers.ts";
import {
  type CommandContext,
  openSubject,
  readRecipe,
  type RecipeOptions,
  runsOption,
  withRecipeOptions,
} from "./options.ts";
import { askedLater } from "./exit_codes.ts";
import { placeOfModel } from "./hub_access.ts";
import { listenForInterruption } from "./interruption.ts";
import { mirrorsOf } from "./mirrors.ts";
import { type Facts, notifying, notifyOption } from "./notify.ts";
import { checkOpened, deviceOf, settle } from "./locks.ts";
import { cacheFolder, runsFolder, workingFolder } from "./places.ts";
import { jsonProgress, liveProgress, plainProgress } from "./progress.ts";
import { wrapText } from "../report/text_table.ts";
import { OutputError, type Terminal } from "./terminal.ts";

interface Options extends RecipeOptions {
  readonly runs?: string;
  readonly notify?: string;
}

const MORE =
  "With --json every event is a line of JSON, and the last line is the path of the run's folder. Ctrl-C stops cleanly, " +
  "and the same command then goes on; a second Ctrl-C stops at once. Where the output is closed, as by `| head`, the " +
  "run goes on without it; where it cannot be written, the run stops cleanly.";

/** The command. */
export function runCommand(context: CommandContext): Command {
  return withRecipeOptions(new Command("run"))
    .description("make what a recipe, or the lock of a run, asks for; what is cached is not made again")
    .addOption(runsOption())
    .addOption(notifyOption())
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action(async (path: string, options: Options) => {
      const terminal = context.terminal(options);
      const told = { recipe: basename(path, extname(path)), terminal };
      context.exit(await notifying(options.notify, told, (tell) => run(path, options, { terminal, tell })));
    });
}

/** Where a run shows itself. */
interface Listeners {
  readonly terminal: Terminal;
  /** Told what the run comes to. */
  readonly tell: (facts: Facts) => void;
}

/** @returns the exit code */
async function run(path: string, options: Options, { terminal, tell }: Listeners): Promise<number> {
  const loaded = await readRecipe(path, options, terminal), { sources, name, lock } = loaded;
  tell({ recipe: name });
  const interruption = listenForInterruption({
    onFirst: () => terminal.note("\nStopping after what can be stopped; Ctrl-C again stops at once."),
    // The task list hides the cursor.
    onEnd: () => void (terminal.live && terminal.write("\x1b[?25h\n")),
  });
  const cache = await openCache(cacheFolder(options.cache), { size: options.cacheSize });
  try {
    const mirrors = mirrorsOf(options.cacheFrom, cache);
    const { data } = options, hashes = cache.fileHashes;
    const model = await placeOfModel(options.model, lock?.inputs, { known: cache }, terminal);
    const recipe = lock ? await settle(loaded, lock, { model, data, hashes, purpose: "run" }) : loaded.recipe;
    const subject = await openSubject(recipe, { purpose: "run", cache, ...deviceOf(options, lock?.inputs) }, terminal);
    tell({ model: subject.model });
    try {
      if (lock && options.set.length + options.with.length === 0) await checkOpened(subject, lock, terminal);
      const { until, from } = options;
      const warn = (message: string) => terminal.note(`warning: ${message}`);
      const plan = await askedLater(() => makePlan(subject, cache, { recipe, sources, until, from, mirrors, warn }));
      const progress = options.json
        ? jsonProgress(terminal)
        : terminal.live
        ? liveProgress(terminal)
        : plainProgress(terminal);
      const output = watchOutput(progress.onEvent, terminal);
      let result: RunResult;
      interruption.defer();
      try {
        result = await executeRun(plan, subject, {
          ...{ cache, mirrors, recipe, sources, name, runsDir: runsFolder(options.runs) },
          next: nextCommand(path, options),
          onEvent: output.onEvent,
          signal: AbortSignal.any([interruption.signal, output.signal]),
        });
      } finally {
        await progress.close();
      }
      tell({ run: result.run, error: result.error?.message ?? null });
      output.check();
      return await conclude(result, recipe, options, { terminal, tell });
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
    interruption.stop();
  }
}

/**
 * Hours of work do not hang on who reads along: where the output is closed, the run goes on. Where it cannot be written,
 * as on a full disk, the run stops cleanly, before more is lost that was to be kept.
 */
export function watchOutput<E>(print: (event: E) => void, terminal: Terminal) {
  const controller = new AbortController();
  let failure: OutputError | undefined;
  const told = () =>
    terminal.note("Nobody reads the output any more: the run goes on without it. Ctrl-C stops it cleanly.");
  terminal.closed.addEventListener("abort", () => attempt(told), { once: true });
  function attempt(use: () => void): void {
    try {
      use();
    } catch (error) {
      if (!(error instanceof OutputError)) throw error;
      failure ??= error;
      controller.abort();
    }
  }
  return {
    signal: controller.signal,
    onEvent: (event: E) => attempt(() => print(event)),
    /** @throws {OutputError} when the output could not be written */
    check: () => {
      if (failure !== undefined) {
        throw new OutputError(`${failure.message}. What is done is kept: the same command goes on`);
      }
    },
  };
}

/** Says how a run ended. @returns the exit code */
async function conclude(
  result: RunResult,
  recipe: Recipe,
  options: Options,
  { terminal, tell }: Listeners,
): Promise<number> {
  const { outcome, folder, error, exit, seconds, steps } = result;
  if (outcome === "interrupted") {
    terminal.note("Interrupted; what is done is kept. To go on, give the same command again.");
  } else if (outcome === "failed") terminal.note(`error: ${error?.message ?? "the run failed"}`);
  const metrics = outcome === "finished" && options.until === undefined ? await readMetrics(folder) : undefined;
  if (metrics !== undefined) {
    const { perplexity, bits: { nominal, stored, model } } = metrics;
    tell({ perplexity, bits: { nominal, stored: stored.total, model } });
  }
  const missed = metrics !== undefined &&
    Object.entries(recipe.expect ?? {}).some(([name, expected]) =>
      !meets(metrics.perplexity[name].compressed, expected)
    );
  if (options.json) terminal.line(folder);
  else {
    if (metrics) {
      terminal.line();
      const { steps } = gather(readJournal(join(folder, JOURNAL)));
      for (const line of renderResultTable(metrics, recipe, { width: terminal.width, steps })) terminal.line(line);
    }
    if (outcome === "finished") {
      const { fetched = 0 } = steps;
      const mirror = fetched > 0 ? `, ${fetched} step${fetched === 1 ? "" : "s"} of it from the mirror` : "";
      const from = steps.run === 0
        ? `all from the cache${mirror}, in`
        : steps.cached === 0
        ? "cold, in"
        : `partly from the cache${mirror}, in`;
      const until = options.until === undefined ? "" : `stopped after ${options.until}; `;
      terminal.line();
      terminal.line(terminal.paint("good", `Done: ${until}${from} ${formatSeconds(seconds)}`));
    }
    terminal.line(`folder  ${show(folder)}`);
    if (metrics) terminal.line(`report  ${show(join(folder, "report.html"))}`);
  }
  return exit !== 0 ? exit : missed ? 7 : 0;
}

/** metrics.json of a run. @throws {InputError} when something else has taken the file's place meanwhile */
export async function readMetrics(folder: string): Promise<Metrics> {
  const path = join(folder, "metrics.json"), label = show(path);
  const read = Metrics.safeParse(parseJsonObject(await readTextFile(path, { wanted: "JSON", label }), label));
  if (read.success) return read.data;
  const [{ path: at }] = read.error.issues;
  throw new InputError(`Cannot read ${label}: ${at.join(".") || "it"} is not what it should be; run the recipe again`);
}

/** The command that goes on: as given, but always a run, or a sweep. */
export function nextCommand(path: string, options: Options, task: "run" | "sweep" = "run"): string {
  const { set, with: over, allowPlugins, until, from: _once, device, forward, cache, cacheFrom, runs } = options;
  const { model, data = [] } = options;
  const quote = (text: string) => /^[\w./=:,@+-]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
  return [
    `deno task ${task}`,
    quote(path),
    ...over.map((each) => `--with ${quote(each)}`),
    ...set.map((each) => `--set ${quote(each)}`),
    ...(allowPlugins ? ["--allow-plugins"] : []),
    ...(model === undefined ? [] : [`--model ${quote(model)}`]),
    ...data.map((each) => `--data ${quote(each)}`),
    ...(until === undefined ? [] : [`--until ${until}`]),
    ...(device === "auto" ? [] : [`--device ${device}`]),
    ...(forward === "auto" ? [] : [`--forward ${forward}`]),
    ...(cache === undefined ? [] : [`--cache ${quote(cache)}`]),
    // A query may be a signature, and this is kept in journals.
    ...cacheFrom.filter((each) => !each.includes("?")).map((each) => `--cache-from ${quote(each)}`),
    ...(runs === undefined ? [] : [`--runs ${quote(runs)}`]),
  ].join(" ");
}

/** A path as people see it: relative where that is shorter. */
export function show(path: string): string {
  const short = relative(workingFolder(), path);
  return short !== "" && short.length < path.length ? short : path;
}
