/** `pull`: fetches a run, a recipe or a packed model of the hub. */
import { resolve } from "node:path";
import { Command } from "commander";
import { expandHome } from "../files/home.ts";
import { copyPulled, type Pulled, pullRepo } from "../pipeline/pulled.ts";
import { formatBytes } from "../report/numbers.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { parseHubId, withHub } from "./hub_access.ts";
import { listenForInterruption } from "./interruption.ts";
import { cacheOption, type CommandContext, withOutputOptions } from "./options.ts";
import { workingFolder } from "./places.ts";
import { show } from "./run.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly to?: string;
  readonly json?: boolean;
  readonly color?: boolean;
  readonly cache?: string;
}

const MORE =
  "The revision is a commit, a tag or a branch (default: main), and is resolved to a commit, which is printed. Every file has the hash " +
  "that the hub says, and every packed file the one that the run's lock says, else nothing is taken. What was interrupted goes on. Code " +
  "that a recipe names under `use` is fetched, and run only with --allow-plugins.";

/** The command. */
export function pullCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("pull"))
    .description("fetch a run, a recipe or a packed model of the Hugging Face Hub, checked against its lock")
    .argument("<id>", "OWNER/NAME or OWNER/NAME@REVISION")
    .option("--to <dir>", "a new folder for it (default: in the cache, by its commit)")
    .addOption(cacheOption())
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action(async (target: string, options: Options) =>
      context.exit(await pull(target, options, context.terminal(options)))
    );
}

/** @returns the exit code */
async function pull(target: string, options: Options, terminal: Terminal): Promise<number> {
  const found = parseHubId(target), { to } = options;
  if (found === undefined) {
    throw new UsageError(`Cannot pull "${target}": write OWNER/NAME of the hub, or OWNER/NAME@REVISION`);
  }
  const folder = to === undefined ? undefined : resolve(workingFolder(), asked(() => expandHome(to)));
  const interruption = listenForInterruption({ onFirst: () => terminal.note("\nStopping.") });
  interruption.defer();
  try {
    return await withHub({ ...options, signal: interruption.signal }, terminal, async (access) => {
      const pulled = await pullRepo(found.id, found.revision, access);
      return told(folder === undefined ? pulled : await copyPulled(pulled, folder), options, terminal);
    });
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    terminal.note("Interrupted; what came is kept. To go on, give the same command again.");
    return 130;
  } finally {
    interruption.stop();
  }
}

/** Says what came. @returns the exit code */
function told(pulled: Pulled, { json }: Options, terminal: Terminal): number {
  const { kind, id, commit, folder, files, model, recipe } = pulled, at = `hf://${id}@${commit}`;
  const next = kind === "recipe"
    ? `deno task run ${at}`
    : kind === "run"
    ? `deno task verify ${at}`
    : `deno task inspect ${at}`;
  if (json) {
    terminal.line(JSON.stringify({ kind, id, commit, folder, model, recipe, files, next }));
    return 0;
  }
  const rows = files.map(({ path, bytes, held }) => [path, formatBytes(bytes), `as the ${held} says`]);
  const columns = [{ head: "file" }, { head: "size", side: "right" }, { head: "content" }] as const;
  terminal.line(`${NAMES[kind]} ${id} at commit ${commit}`);
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  if (kind === "packed") {
    const text = "It has no lock: its files are what the hub says, and nothing says how they were made.";
    for (const line of wrapText(text, terminal.width)) terminal.line(line);
  }
  terminal.line();
  terminal.line(`folder  ${show(folder)}`);
  if (model !== undefined) terminal.line(`model   ${show(model)}`);
  terminal.line(`next    ${next}`);
  return 0;
}

const NAMES: Readonly<Record<Pulled["kind"], string>> = { run: "run", recipe: "recipe", packed: "packed model" };
