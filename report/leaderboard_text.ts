/** The leaderboard as text for people: lines for a terminal, and Markdown. */
import type { SweepRecord } from "../runner/sweep/record.ts";
import { textWidth } from "../files/text_width.ts";
import { axisText } from "./axis_names.ts";
import { buildLeaderboard, type Unfinished } from "./leaderboard.ts";
import {
  BITS_NOTE,
  columnsOf,
  describeOrder,
  describeOriginals,
  describeSweep,
  isMarked,
  type RowColumn,
} from "./leaderboard_cells.ts";
import { markdownTable } from "./markdown.ts";
import { type Column, renderTable, wrapText } from "./text_table.ts";

/**
 * Lines for a terminal: one table where it is wide enough, else one of what rows are worth and one of what they cost.
 *
 * @param width columns of the terminal
 */
export function leaderboardLines(record: SweepRecord, width: number): string[] {
  const board = buildLeaderboard(record);
  const { apart, worth, costs } = columnsOf(board);
  const table = (columns: readonly RowColumn[], within: number, mark = before) =>
    renderTable(
      [{ head: mark("point", false) }, ...columns.map(({ head }): Column => ({ head, side: "right" }))],
      board.rows.map((row) => [mark(row.label, isMarked(row, board)), ...columns.map(({ cell }) => cell(row))]),
      { width: within },
    );
  const wrapped = (text: string) => wrapText(text, width);
  const all = [...apart, ...worth, ...costs];
  const fits = (lines: readonly string[]) => lines.every((line) => textWidth(line) <= width);
  const tables = () => {
    const whole = table(all, Infinity);
    if (fits(whole)) return whole;
    const first = table([...apart, ...worth], width);
    // Where there is no rule, rows stand as lines of their own, and one list of them does.
    return first[1].startsWith("─") ? [...first, "", ...table([...apart, ...costs], width)] : table(all, width, after);
  };
  return [
    ...wrapped(`${record.name}: ${describeSweep(record)}`),
    ...describeOriginals(board).flatMap(wrapped),
    ...(board.rows.length === 0 ? [] : [
      "",
      ...tables(),
      "",
      ...wrapped(describeOrder(board, "*").join(" ")),
      ...wrapped(BITS_NOTE),
    ]),
    ...(board.unfinished.length === 0 ? [] : ["", ...unfinishedLines(board.unfinished, width)]),
  ];
}

/** Lines of Markdown. */
export function leaderboardMarkdown(record: SweepRecord): string[] {
  const board = buildLeaderboard(record);
  const { apart, worth, costs } = columnsOf(board);
  const columns = [...apart, ...worth, ...costs];
  const rows = [
    ...board.rows.map((row) => [
      isMarked(row, board) ? { bold: row.label } : row.label,
      ...columns.map(({ cell }) => cell(row)),
    ]),
    ...board.unfinished.map((point) => [
      point.label,
      ...columns.map(({ head, axis }) =>
        axis !== undefined
          ? axisText(point.values[axis])
          : head === worth[0].head
          ? `${point.state}: ${describeUnfinished(point)}`
          : "–"
      ),
    ]),
  ];
  return [
    `${record.name}: ${describeSweep(record)}.`,
    ...describeOriginals(board).map((line) => `${line}.`),
    "",
    ...markdownTable([{ head: "point" }, ...columns.map(({ head }) => ({ head, side: "right" } as const))], rows),
    "",
    [...describeOrder(board, "Bold:"), BITS_NOTE].join(" "),
  ];
}

/** Why a point has no result, with the step and the exit code where there are any. */
export function describeUnfinished({ reason, step, exit }: Unfinished): string {
  const where = [...(step === undefined ? [] : [`step ${step}`]), ...(exit === undefined ? [] : [`exit code ${exit}`])];
  return where.length === 0 ? reason : `${reason} (${where.join(", ")})`;
}

/** A label with the mark of the front before it, in a column of its own. */
function before(label: string, marked: boolean): string {
  return `${marked ? "*" : " "} ${label}`;
}

function after(label: string, marked: boolean): string {
  return marked ? `${label} *` : label;
}

/** Points with one reason share a line. */
function unfinishedLines(points: readonly Unfinished[], width: number): string[] {
  const label = Math.max(...points.map(({ state }) => state.length)) + 2;
  const alike = Map.groupBy(points, (point) => `${point.state.padEnd(label)}\n${describeUnfinished(point)}`);
  return [...alike].flatMap(([key, points]) => {
    const [state, reason] = key.split("\n", 2);
    const names = points.map(({ label }) => label).join(", ");
    return wrapText(`${state}${names}: ${reason}`, width, " ".repeat(Math.min(label, Math.floor(width / 4))));
  });
}
