/** `cache export`: a mirror of the cache, for others to take steps from. */
import { basename, resolve } from "node:path";
import { homedir, hostname } from "node:os";
import { type Command, Option } from "commander";
import { stages as known } from "../stages/mod.ts";
import { formatBytes } from "../report/numbers.ts";
import { wrapText } from "../report/text_table.ts";
import type { ArtifactCache } from "../runner/mod.ts";
import { exportMirror } from "../runner/mirror/export.ts";
import { expandHome } from "../files/home.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { collect, parseSize, runsOption, throttled } from "./options.ts";
import { runsFolder, workingFolder } from "./places.ts";
import { openRun } from "./runs_compare.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly stage: readonly string[];
  readonly run: readonly string[];
  readonly runs?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

const MORE =
  "What it makes is static files: put the folder behind any web server, into a bucket or a data set of the hub, and give its " +
  "address with --cache-from. Manifests hold settings and hashes, no paths; steps that tell of this machine are left out. " +
  "Windows of a text are its tokens, and packed models are weights: share what you may share.";

/** Names that are nobody's. */
const NOBODY: ReadonlySet<string> = new Set([
  "root",
  "user",
  "admin",
  "ubuntu",
  "debian",
  "runner",
  "node",
  "localhost",
]);

/** Adds the command's own argument and options. */
export function withExportOptions(command: Command): Command {
  return command
    .argument("<folder>", "made where there is none; what it holds of an earlier export stays")
    .addOption(
      new Option("--stage <stage>", "steps of this stage alone; may be repeated").argParser(collect).default([], "all"),
    )
    .addOption(
      new Option("--run <run>", "steps of this run alone: its id, the beginning of it, or `last`; may be repeated")
        .argParser(collect).default([], "all"),
    )
    .addOption(runsOption())
    .addOption(
      new Option("--limit <size>", "most that its outputs may take; what is costliest to make per byte goes in first")
        .argParser(parseSize),
    )
    .addHelpText("after", () => `\n${wrapText(MORE, 80).join("\n")}`);
}

/** Exports, and says what came of it. */
export async function exportCache(
  cache: ArtifactCache,
  folder: string,
  { stage, run, runs, limit, json }: Options,
  terminal: Terminal,
): Promise<void> {
  const made = new Set(cache.list().map(({ stage }) => stage)),
    names = [...new Set([...known.map(({ name }) => name), ...made])];
  for (const each of stage) {
    if (!names.includes(each)) throw new UsageError(`Cannot export stage ${each}: the stages are ${names.join(", ")}`);
  }
  const target = resolve(workingFolder(), asked(() => expandHome(folder)));
  const tell = throttled((message) => terminal.note(message));
  const result = await exportMirror(cache, target, {
    ...(stage.length > 0 ? { stages: stage } : {}),
    ...(run.length > 0 ? { steps: stepsOf(run, runs) } : {}),
    ...(limit === undefined ? {} : { limit }),
    names: ownNames(),
    onProgress: (done, total) => tell(`${done} of ${total} steps`),
  });
  if (json) return terminal.line(JSON.stringify(result));
  const { steps, added, bytes, sha256, left } = result;
  for (const [why, group] of Map.groupBy(left, ({ why }) => why)) {
    const list = group.map(({ step }) => step), more = list.length > 8 ? ` and ${list.length - 8} more` : "";
    terminal.note(`warning: left out as ${why}: ${list.slice(0, 8).join(", ")}${more}`);
  }
  const line = (text: string) => wrapText(text, terminal.width, "  ").forEach((each) => terminal.line(each));
  line(`${steps} steps (${formatBytes(bytes)}) in ${target}, ${added} of them new`);
  line("Others take them with --cache-from URL; with this at its end, of this very index alone:");
  terminal.line(`#sha256=${sha256}`);
}

/** Keys of the steps of runs. @throws {UsageError} where a run's journal does not have them */
function stepsOf(runs: readonly string[], folder: string | undefined): Set<string> {
  return new Set(runs.flatMap((id) => {
    const { run, events } = openRun(id, runsFolder(folder));
    const [first] = events;
    const steps = first?.type === "run-started" ? first.steps : [];
    if (steps.length > 0 && steps.every(({ key }) => key !== undefined)) return steps.flatMap(({ key }) => key ?? []);
    throw new UsageError(
      `Cannot export run ${run} alone as its journal is of an earlier version, without keys: give its recipe to ` +
        "`deno task run` again, which takes a moment, and export that run",
    );
  }));
}

/** Names of this machine and its user that are worth keeping quiet. */
export function ownNames(): string[] {
  return [basename(homedir()), hostname(), hostname().split(".")[0]]
    .filter((name) => name.length > 3 && !NOBODY.has(name.toLowerCase()));
}
