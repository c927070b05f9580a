/** `plan` of a sweep, and what `sweep` says before it begins: how many points, what they share, and what it will cost. */
import { sharedPipeline } from "../pipeline/mod.ts";
import type { LoadedSweep } from "../recipes/sweep.ts";
import { formatSeconds } from "../report/numbers.ts";
import { describeDevice } from "../report/reasons.ts";
import { costOf, describeCost, lineOf } from "../report/sweep_cost.ts";
import { openCache } from "../runner/mod.ts";
import { reachable, shareWork } from "../runner/sweep/sharing.ts";
import { type PointWork, surveySweep } from "../runner/sweep/survey.ts";
import type { Pipeline } from "../runner/stage.ts";
import type { Recipe } from "../stages/schema.ts";
import { debugging, UsageError } from "./exit_codes.ts";
import { type RecipeOptions, throttled } from "./options.ts";
import { mirrorsOf } from "./mirrors.ts";
import { cacheFolder } from "./places.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Prints the plan of a sweep.
 *
 * @returns whether there is work to do
 */
export async function planSweep(
  sweep: LoadedSweep<Recipe>,
  options: RecipeOptions,
  terminal: Terminal,
): Promise<boolean> {
  if (options.until ?? options.from) {
    throw new UsageError("Cannot plan a sweep with --until or --from: they are of single recipes");
  }
  await using pipeline = sharedPipeline();
  const cache = await openCache(cacheFolder(options.cache), { size: options.cacheSize });
  try {
    const mirrors = mirrorsOf(options.cacheFrom, cache);
    const surveyed = await surveySweep(sweep.points, {
      ...{ pipeline, cache, mirrors, warn: (message) => terminal.note(`warning: ${message}`) },
      open: openOptions({ ...options, purpose: "plan" }, terminal),
    });
    const opened = surveyed.flatMap(({ work }) => work ?? []);
    const { shares } = shareWork(opened, reachable(opened, cache, mirrors));
    const cost = { ...costOf(surveyed, shares), ...(mirrors ? { mirrored: true } : {}) };
    const shareOf = new Map(opened.map((work, at) => [work, shares[at]]));
    const lines = surveyed.map((point) => lineOf(point, point.work && shareOf.get(point.work), mirrors !== undefined));
    if (options.json) terminal.line(JSON.stringify({ sweep: sweep.name, totals: cost, points: lines }));
    else {
      for (const line of introduce(sweep.name, opened[0], terminal.width)) terminal.line(line);
      terminal.line();
      const columns = [
        { head: "point" },
        { head: "state" },
        { head: "run", side: "right" },
        { head: "shared or cached", side: "right" },
        { head: "time", side: "right" },
      ] as const;
      const rows = lines.map(({ label, state, run, rest, seconds }) => [
        label,
        state,
        ...(run === undefined ? ["–", "–", "–"] : [`${run}`, `${rest}`, run > 0 ? formatSeconds(seconds ?? 0) : "–"]),
      ]);
      for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
      for (const { label, error } of lines) {
        if (error === undefined) continue;
        terminal.line();
        for (const line of wrapText(`${label}: ${error}`, terminal.width, "  ")) terminal.line(line);
      }
      terminal.line();
      for (const line of wrapText(describeCost(cost), terminal.width)) terminal.line(line);
    }
    return cost.run > 0;
  } finally {
    cache.close();
  }
}

/** How points are opened, what is said on the way. */
export function openOptions(
  { purpose, device, forward }: Pick<RecipeOptions, "device" | "forward"> & { readonly purpose: "plan" | "run" },
  terminal: Terminal,
): Omit<Parameters<Pipeline["open"]>[1], "cache" | "hashes"> {
  const told = new Set<string>();
  return {
    ...{ purpose, device, forward, debug: debugging() },
    // What holds for one point mostly holds for all.
    warn: (message) => {
      if (!told.has(message)) terminal.note(`warning: ${message}`);
      told.add(message);
    },
    progress: throttled((message) => terminal.note(message)),
  };
}

/** What the points of a sweep run on. */
export function introduce(name: string, work: PointWork | undefined, width: number): string[] {
  if (work === undefined) return wrapText(name, width, "  ");
  const { model, device } = work;
  return [
    ...wrapText(`${name}: ${model} on ${device.kind} (${device.name})`, width, "  "),
    ...describeDevice(device).flatMap((text) => wrapText(`  ${text}`, width, "    ")),
  ];
}
