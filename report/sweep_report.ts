/** A sweep for people: the leaderboard as text in several forms, and as a page with plots. */
import { sayNumbers } from "../files/json_number.ts";
import type { SweepRecord } from "../runner/sweep/record.ts";
import { buildLeaderboard } from "./leaderboard.ts";
import { leaderboardCsv } from "./leaderboard_csv.ts";
import { leaderboardLines, leaderboardMarkdown } from "./leaderboard_text.ts";

export { renderSweepPage } from "./sweep_page.ts";

/** Forms of the leaderboard. */
export const FORMS = ["terminal", "markdown", "csv", "json"] as const;
export type Form = typeof FORMS[number];

/** Columns where nothing is said. */
const WIDTH = 80;

/**
 * The leaderboard as lines.
 *
 * `csv` has one record per point, and ends each line with the carriage return of RFC 4180. `json` is one line, an object: what the sweep
 * is (`sweep`, `name`, `started`, `seconds`, `steps`, `repeats`), and a `Leaderboard`: `axes`, `evaluations`, `originals`, `rows` in
 * order, `unfinished`; numbers that are not finite are words.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { METHODS, sweepOf } from "./sweep_test_support.ts";
 *
 * const [line] = renderLeaderboard(sweepOf(METHODS), { form: "json" });
 * const { rows, unfinished } = JSON.parse(line);
 * assert.deepEqual([rows[0].label, rows[0].perplexity.heldout.mean, unfinished[0].exit], ["rtn-1", "Infinity", 5]);
 * ```
 * @param options `width`: columns of the terminal, 40 or more
 */
export function renderLeaderboard(
  record: SweepRecord,
  { form, width = WIDTH }: { readonly form: Form; readonly width?: number },
): string[] {
  if (form === "terminal") return leaderboardLines(record, width);
  if (form === "markdown") return leaderboardMarkdown(record);
  if (form === "csv") return leaderboardCsv(record);
  const { sweep, name, started, seconds, steps, repeats } = record;
  return [JSON.stringify({ sweep, name, started, seconds, steps, repeats, ...buildLeaderboard(record) }, sayNumbers)];
}
