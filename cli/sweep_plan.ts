/** `plan` of a sweep, and what `sweep` says before it begins: how many points, what they share, and what it will cost. */
import { sharedPipeline } from "../pipeline/mod.ts";
import type { LoadedSweep } from "../recipes/sweep.ts";
import { formatSeconds } from "../report/numbers.ts";
import { describeDevice } from "../report/reasons.ts";
import { openCache } from "../runner/mod.ts";
import { countSteps, countWays, type PointShare, reachable, shareWork } from "../runner/sweep/sharing.ts";
import { type PointWork, type SurveyedPoint, surveySweep } from "../runner/sweep/survey.ts";
import type { Pipeline } from "../runner/stage.ts";
import type { Recipe } from "../stages/schema.ts";
import { debugging, UsageError } from "./exit_codes.ts";
import { type RecipeOptions, throttled } from "./options.ts";
import { mirrorsOf } from "./mirrors.ts";
import { cacheFolder } from "./places.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

/** Work of points that share what they can. */
export interface SweepCost {
  readonly points: number;
  /** In how many ways they calibrate. */
  readonly calibrations: number;
  readonly steps: { readonly all: number; readonly different: number };
  /** Steps that will run, and their seconds. */
  readonly run: number;
  readonly seconds: number;
  /** Points that cannot be opened. */
  readonly failed: number;
  /** Whether what does not run may come from a mirror. */
  readonly mirrored?: boolean;
}

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

/** What points cost that share what they can. @param shares of those that can be opened, in their order */
export function costOf(points: readonly SurveyedPoint[], shares: readonly PointShare[]): SweepCost {
  const opened = points.flatMap(({ work }) => work ?? []);
  return {
    points: points.length,
    calibrations: countWays(opened, "calibrate"),
    steps: countSteps(opened),
    run: shares.reduce((sum, { run }) => sum + run, 0),
    seconds: shares.reduce((sum, { seconds }) => sum + seconds, 0),
    failed: points.length - opened.length,
  };
}

/** `9 points, 1 calibration, 41 of 270 steps shared, about 12 min`. */
export function describeCost(
  { points, calibrations, steps, run, seconds, failed, mirrored = false }: SweepCost,
): string {
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  return [
    count(points, "point"),
    ...(calibrations > 0 ? [count(calibrations, "calibration")] : []),
    `${steps.all - steps.different} of ${steps.all} steps shared`,
    ...(failed > 0 ? [`${failed} cannot run`] : []),
    run === 0
      ? (mirrored ? "all is cached or in the mirror" : "all is cached")
      : `${run} to run, about ${formatSeconds(seconds)}`,
  ].join(", ");
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

/** One point's line, for programs too. */
interface PointLine extends Partial<PointShare> {
  readonly id: string;
  readonly label: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly state: "cannot run" | "cached" | "nothing to run" | "will run";
  readonly error?: string;
}

function lineOf(
  { id, label, values, failure }: SurveyedPoint,
  share: PointShare | undefined,
  mirrored: boolean,
): PointLine {
  if (share === undefined) return { id, label, values, state: "cannot run", error: failure?.message ?? "" };
  // A point's share does not tell the cache from a mirror.
  const there = mirrored ? "nothing to run" : "cached";
  return { id, label, values, state: share.run === 0 ? there : "will run", ...share };
}
