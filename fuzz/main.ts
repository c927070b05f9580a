/** `task fuzz`: spoils real small inputs of every kind, and looks at how they are refused. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { reportError, UsageError } from "../cli/exit_codes.ts";
import { listenForInterruption } from "../cli/interruption.ts";
import { collect, parseNumber, parseWhole, withOutputOptions } from "../cli/options.ts";
import { workingFolder } from "../cli/places.ts";
import { openTerminal, type Terminal } from "../cli/terminal.ts";
import { caseOf, fuzz, type FuzzResult, withSamples } from "./fuzz.ts";
import type { Kind } from "./kind.ts";
import { kinds } from "./kinds/mod.ts";
import { writeCase } from "./mutate/case.ts";
import { describeCase, describeTally, renderResult } from "./render.ts";

interface Options {
  readonly kind: readonly string[];
  readonly count: number;
  readonly seed: number;
  readonly case?: number;
  readonly keep?: string;
  readonly first: number;
  readonly jobs: number;
  readonly timeLimit: number;
  readonly memory: number;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** Largest seed. */
const MOST_SEED = 2 ** 32 - 1;

/** Runs the fuzzer. @returns the exit code: 0 without findings, 1 with, 130 when it was interrupted */
export async function main(args: readonly string[], terminal?: Terminal): Promise<number> {
  let used = terminal ?? openTerminal();
  const command = makeCommand().configureOutput({
    writeOut: (text) => used.write(text),
    writeErr: (text) => used.note(text.trimEnd()),
    getOutHelpWidth: () => used.width,
  });
  try {
    const options = command.parse([...args], { from: "user" }).opts<Options>();
    used = terminal ?? openTerminal({ colour: options.color, json: options.json });
    return await tryCases(options, used);
  } catch (error) {
    return reportError(error, used);
  }
}

function makeCommand(): Command {
  const names = kinds.map(({ name }) => name);
  return withOutputOptions(new Command("fuzz"))
    .description(
      "Spoils real small inputs, each read in a process of its own with bounded memory and time. A clean read or one " +
        "clear error is right; anything else is a finding.",
    )
    .addOption(
      new Option("--kind <kind>", `only this kind; may be repeated: ${names.join(", ")}`).argParser(collect)
        .default([], "all"),
    )
    .option("--count <cases>", "cases of all kinds together", parseWhole(1), 1000)
    .option("--seed <seed>", "of all choices: kind, seed and number make a case", parseSeed, 1)
    .option("--case <number>", "only this case of the one kind that is given, with what is spoilt in it", parseWhole(0))
    .option("--keep <folder>", "with --case: leave the spoilt input there")
    .option("--first <number>", "number of each kind's first case", parseWhole(0), 0)
    .option("--jobs <jobs>", "cases at once", parseWhole(1), availableParallelism())
    .option("--time-limit <seconds>", "for one case", parseNumber(0.1, 3600), 10)
    .option("--memory <MiB>", "that one case may take", parseWhole(1), 256)
    .addHelpText(
      "after",
      "\nKind, seed and number make a case: what is printed with a finding reads it again.\n" +
        "Exit codes: 0 no findings, 1 findings, 2 wrong arguments, 130 interrupted.",
    )
    .exitOverride();
}

async function tryCases(options: Options, terminal: Terminal): Promise<number> {
  const { count, seed, first, jobs, timeLimit: time, memory, json } = options;
  const chosen = chooseKinds(options.kind);
  if (options.case === undefined && options.keep !== undefined) {
    throw new UsageError("Cannot keep an input as there is no --case: give its number");
  }
  if (options.case !== undefined) await showCase(chosen, options, options.case, terminal);
  const single = options.case !== undefined;
  const interruption = listenForInterruption({ onFirst: () => terminal.note("\nEnding with what was found so far.") });
  interruption.defer();
  let result: FuzzResult;
  try {
    result = await fuzz({
      ...{ kinds: chosen, seed, limits: { time, memory }, signal: interruption.signal },
      count: single ? 1 : count,
      first: options.case ?? first,
      jobs: single ? 1 : jobs,
      onKind: (tally) => single ? undefined : terminal.note(describeTally(tally)),
    });
  } finally {
    interruption.stop();
  }
  if (json) terminal.line(JSON.stringify(result));
  else for (const line of renderResult(result, terminal.width)) terminal.line(line);
  return result.interrupted ? 130 : result.groups.length > 0 ? 1 : 0;
}

async function showCase(chosen: readonly Kind[], { seed, keep }: Options, number: number, terminal: Terminal) {
  if (chosen.length !== 1) throw new UsageError("Cannot replay a case as its kind is not known: give one --kind");
  await withSamples(chosen, async (prepared) => {
    const made = caseOf(prepared, { kind: chosen[0].name, seed, number });
    for (const line of describeCase(made)) terminal.note(line);
    if (keep === undefined) return;
    const folder = resolve(workingFolder(), keep);
    await writeCase(made, folder);
    terminal.note(`kept in ${folder}`);
  });
}

function chooseKinds(names: readonly string[]): readonly Kind[] {
  const unknown = names.find((name) => !kinds.some((kind) => kind.name === name));
  if (unknown !== undefined) {
    const known = kinds.map(({ name }) => name).join(", ");
    throw new UsageError(`Cannot fuzz kind "${unknown}": the kinds are ${known}`);
  }
  return names.length === 0 ? kinds : kinds.filter(({ name }) => names.includes(name));
}

function parseSeed(text: string): number {
  const seed = parseWhole(0)(text);
  if (seed > MOST_SEED) throw new UsageError(`Cannot use seed ${text}: the largest is ${MOST_SEED}`);
  return seed;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
