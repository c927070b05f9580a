/** `results`: keeps the records of sweeps and runs in the repository, and makes the page of results from all that are kept. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { Command } from "commander";
import { expandHome } from "../files/home.ts";
import { type Evidence, makeEvidence, readEvidence, recordOfRun, renderEvidence } from "../report/evidence.ts";
import { renderResultsPage } from "../report/results_page.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { type CommandContext, runsOption } from "./options.ts";
import { locate, projectFolder, runsFolder, workingFolder } from "./places.ts";
import { commandOfPoint, commandOfRun, commandOfSweep, shippedRecipes } from "./result_commands.ts";
import { openRun } from "./runs_compare.ts";
import { openSweep } from "./sweep_runs.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly out?: string;
  readonly records?: string;
  readonly runs?: string;
  readonly check?: boolean;
  readonly color?: boolean;
}

/** Exit code of `--check` where the page must be made again. */
const TO_DO = 10;

/** The command. */
export function resultsCommand(context: CommandContext): Command {
  return new Command("results")
    .description("make the page of results from the records that are kept; folders of sweeps and runs are kept first")
    .argument("[folders...]", "sweeps' folders, and runs: their folders, ids, beginnings of ids, or `last`")
    .option("--out <file>", "the page (default: RESULTS.md of the project)")
    .option("--records <dir>", "folder of the records that are kept (default: results of the project)")
    .option("--check", "write nothing; fail where the page is not what the records make")
    .addOption(runsOption())
    .option("--no-color", "print without colours")
    .action(async (folders: readonly string[], options: Options) => {
      const terminal = context.terminal(options);
      const records = placeOf(options.records, "results"), out = placeOf(options.out, "RESULTS.md");
      if (options.check === true) {
        if (folders.length > 0) {
          throw new UsageError("Cannot check folders that are not kept: leave them out, or --check");
        }
        if (!check(records, out, terminal)) context.exit(TO_DO);
        return;
      }
      for (const folder of folders) keep(await evidenceOf(folder, options), records, terminal);
      const evidence = readRecords(records);
      writeFileSync(out, renderResultsPage(evidence));
      terminal.line(`${shown(out)}: ${evidence.length} ${evidence.length === 1 ? "record" : "records"}`);
    });
}

/** A path from where the command was given, or a name in the project. */
function placeOf(path: string | undefined, name: string): string {
  return path === undefined ? join(projectFolder, name) : resolve(workingFolder(), asked(() => expandHome(path)));
}

async function evidenceOf(folder: string, { runs }: Options): Promise<Evidence> {
  const recipes = shippedRecipes();
  const sweep = openSweep(locate(folder));
  if (sweep === undefined) {
    const run = openRun(folder, runsFolder(runs));
    const command = await commandOfRun(run, recipes);
    return makeEvidence(recordOfRun(run), { runs: new Map([[run.run, run]]), command, commandOf: () => command });
  }
  const command = commandOfSweep(sweep.record, recipes);
  return makeEvidence(sweep.record, { ...sweep, command, commandOf: (point) => commandOfPoint(command, point) });
}

/** Writes a record under its recipe's name, in place of an older one. */
function keep(evidence: Evidence, records: string, terminal: Terminal): void {
  const name = evidence.sweep.name.replaceAll(/[^\w.-]+/g, "-").replaceAll(/^[-.]+/g, "") || "unnamed";
  const path = join(records, `${name}.json`);
  const before = existsSync(path) ? readEvidence(readFileSync(path, "utf8"), shown(path)).sweep.sweep : undefined;
  mkdirSync(records, { recursive: true });
  writeFileSync(path, renderEvidence(evidence));
  const instead = before === undefined || before === evidence.sweep.sweep ? "" : `, in place of ${before}`;
  terminal.line(`${shown(path)}: ${evidence.sweep.sweep}${instead}`);
}

/** All that are kept, by their names. @throws {InputError} when one is damaged */
function readRecords(records: string): Evidence[] {
  const names = existsSync(records) ? readdirSync(records).filter((name) => name.endsWith(".json")).sort() : [];
  return names.map((name) => readEvidence(readFileSync(join(records, name), "utf8"), shown(join(records, name))));
}

function check(records: string, out: string, terminal: Terminal): boolean {
  const wanted = renderResultsPage(readRecords(records)).split("\n");
  const found = existsSync(out) ? readFileSync(out, "utf8").split("\n") : [];
  const at = Array.from({ length: Math.max(wanted.length, found.length) }).findIndex((_, i) => wanted[i] !== found[i]);
  if (at === -1) {
    terminal.line(`${shown(out)} is what the records make.`);
    return true;
  }
  terminal.note(`error: ${shown(out)} is not what the records make, from line ${at + 1} on; run: deno task results`);
  return false;
}

function shown(path: string): string {
  const inside = relative(projectFolder, path);
  return inside.startsWith("..") ? basename(path) : inside;
}
