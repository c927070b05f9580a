/** What the points of a sweep will cost together, for the command line and for pages. */
import { countSteps, countWays, type PointShare } from "../runner/sweep/sharing.ts";
import type { SurveyedPoint } from "../runner/sweep/survey.ts";
import { formatSeconds } from "./numbers.ts";

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

/** One point's line, for programs too. */
export interface PointLine extends Partial<PointShare> {
  readonly id: string;
  readonly label: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly state: "cannot run" | "cached" | "nothing to run" | "will run";
  readonly error?: string;
}

/** What a point will do. @param share where it can be opened @param mirrored whether what does not run may come from a mirror */
export function lineOf(
  { id, label, values, failure }: SurveyedPoint,
  share: PointShare | undefined,
  mirrored: boolean,
): PointLine {
  if (share === undefined) return { id, label, values, state: "cannot run", error: failure?.message ?? "" };
  // A point's share does not tell the cache from a mirror.
  const there = mirrored ? "nothing to run" : "cached";
  return { id, label, values, state: share.run === 0 ? there : "will run", ...share };
}
