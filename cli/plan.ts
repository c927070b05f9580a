/** `plan`: what a run would do, why, and what it would cost; no weights are read. */
import { Command } from "commander";
import { makePlan, openCache, type Plan, summarizeStages } from "../runner/mod.ts";
import { formatBytes, formatRanges, formatSeconds } from "../report/numbers.ts";
import {
  type CommandContext,
  openSubject,
  readRecipe,
  readSweep,
  type RecipeOptions,
  withRecipeOptions,
  yesOption,
} from "./options.ts";
import { askedLater } from "./exit_codes.ts";
import { deviceOf, findLock, settle } from "./locks.ts";
import { mirrorsOf } from "./mirrors.ts";
import { cacheFolder, locate } from "./places.ts";
import { groupSteps, type StepGroup } from "../report/plan_groups.ts";
import { describeDevice, STATES } from "../report/reasons.ts";
import { planSweep } from "./sweep_plan.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

interface Options extends RecipeOptions {
  readonly exitCode?: boolean;
  readonly yes?: boolean;
}

/** The command. */
export function planCommand(context: CommandContext): Command {
  return withRecipeOptions(new Command("plan"))
    .description("say what is cached, what will run, why, and what it will cost; reads no weights")
    .option("--exit-code", "end with 10 where there is work to do, with 0 where all is cached")
    .addOption(yesOption())
    .action(async (path: string, options: Options) => {
      const todo = await plan(path, options, context.terminal(options));
      if (options.exitCode && todo) context.exit(10);
    });
}

/** @returns whether there is work to do */
async function plan(path: string, options: Options, terminal: Terminal): Promise<boolean> {
  const sweep = findLock(locate(path)) === undefined ? await readSweep(path, options, terminal) : undefined;
  if (sweep) return await planSweep(sweep, options, terminal);
  const loaded = await readRecipe(path, options, terminal), { sources, name, lock } = loaded;
  const cache = await openCache(cacheFolder(options.cache), { size: options.cacheSize });
  try {
    const mirrors = mirrorsOf(options.cacheFrom, cache);
    const { model, data } = options, hashes = cache.fileHashes;
    const recipe = lock ? await settle(loaded, lock, { model, data, hashes, purpose: "plan" }) : loaded.recipe;
    const subject = await openSubject(recipe, { purpose: "plan", cache, ...deviceOf(options, lock?.inputs) }, terminal);
    try {
      const { until, from } = options;
      const warn = (message: string) => terminal.note(`warning: ${message}`);
      const made = await askedLater(() => makePlan(subject, cache, { recipe, sources, until, from, mirrors, warn }));
      const { model, method, device } = subject;
      if (options.json) {
        const steps = made.steps.map(({ step: _step, ...summary }) => summary);
        const stages = summarizeStages(made);
        terminal.line(JSON.stringify({ recipe: name, model, method, device, totals: made.totals, stages, steps }));
      } else {
        const title = `${name}: ${model} on ${device.kind} (${device.name})`;
        for (const line of wrapText(title, terminal.width, "  ")) terminal.line(line);
        for (const text of describeDevice(device)) {
          for (const line of wrapText(`  ${text}`, terminal.width, "    ")) terminal.line(line);
        }
        terminal.line();
        for (const line of renderPlan(made, terminal.width)) terminal.line(line);
      }
      return made.totals.run + made.totals.fetch.steps > 0;
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
  }
}

/** A plan as lines: stages, then every step (blocks alike in one line), then what it costs. */
function renderPlan(made: Plan, width: number): string[] {
  const mirrored = made.totals.fetch.steps > 0;
  const lines = renderTable(
    [
      ...[{ head: "stage" }, { head: "state" }],
      ...["run", ...(mirrored ? ["to fetch"] : []), "cached", "not needed", "time"].map((head) =>
        ({ head, side: "right" }) as const
      ),
    ],
    summarizeStages(made).map(({ stage, state, run, cached, skip, fetch, seconds }) => [
      ...[stage, STATES[state], String(run)],
      ...(mirrored ? [String(fetch.steps)] : []),
      ...[String(cached), String(skip), run > 0 ? formatSeconds(seconds) : "–"],
    ]),
    { width },
  );
  lines.push("");
  for (const group of groupSteps(made.steps)) lines.push(...renderGroup(group, width));
  const { run, cached, seconds, memory, disk, fetch } = made.totals;
  const fetched = mirrored ? `${fetch.steps} from the mirror (${formatBytes(fetch.bytes)}), ` : "";
  lines.push("");
  if (run === 0 && mirrored) lines.push(...wrapText(`${fetched}${cached} cached: nothing to compute.`, width));
  else if (run === 0) lines.push(...wrapText(`All is cached (${cached} steps): nothing to do.`, width));
  else {
    lines.push(...wrapText(
      `${run} steps to run, ${fetched}${cached} cached: about ${formatSeconds(seconds)}, ${
        formatBytes(memory)
      } of memory and ` +
        `${formatBytes(disk)} of disk at the peak.`,
      width,
    ));
  }
  return lines;
}

function renderGroup({ name, state, why, blocks, seconds, from, bytes }: StepGroup, width: number): string[] {
  const which = blocks.length > 0 ? `${name}[${formatRanges(blocks)}]` : name;
  const fetched = from === undefined ? "" : ` ${from}, ${formatBytes(bytes)}`;
  const cost = state === "run" ? `, ${formatSeconds(seconds)}` : fetched;
  return wrapText(`${which}  ${STATES[state]}${cost}${why === undefined ? "" : `: ${why}`}`, width, "    ");
}
