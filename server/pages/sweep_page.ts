/** A sweep: its points on the plot and in the leaderboard, and what did not finish, with the way to its log. */
import { buildLeaderboard, type Leaderboard, type Row } from "../../report/leaderboard.ts";
import { BITS_NOTE, columnsOf, describeOrder, describeOriginals, isMarked } from "../../report/leaderboard_cells.ts";
import { describeUnfinished } from "../../report/leaderboard_text.ts";
import { type Content, type Html, markup } from "../../report/markup.ts";
import { formatSeconds } from "../../report/numbers.ts";
import { sweepPlots, sweepTiles } from "../../report/sweep_page.ts";
import { datum } from "../../report/tables.ts";
import type { SweepRecord } from "../../runner/sweep/record.ts";
import { runOfPoint } from "../answers.ts";
import type { RunSummary } from "../schemas.ts";
import { type JobsShown, STOP_KEY, workButton, workWords } from "./job_parts.ts";
import { badge, layout, moment } from "./layout.ts";
import { stepsCell } from "./runs_page.ts";

const KEYS = [["j k", "next, previous point"], ["Enter", "open its run"], ["x", "select"], [
  "c",
  "compare what is selected",
], ["s", "sort by the next column"]] as const;

/** What a sweep's page shows besides its record. */
export interface SweepShown {
  /** Runs of points that go on. */
  readonly running: readonly RunSummary[];
  readonly jobs?: JobsShown;
}

/** The page. @param record without what must not leave the server */
export function sweepPage(record: SweepRecord, { running, jobs }: SweepShown): string {
  const board = buildLeaderboard(record);
  const { rows } = board, names = new Set(running.map(({ recipe }) => recipe));
  const unfinished = board.unfinished.filter(({ label }) => !names.has(label));
  const spent = { running: running.length, seconds: Math.max(0, ...running.map(({ seconds }) => seconds)) };
  return layout({
    ...{
      title: record.name,
      place: "runs",
      scripts: ["sweep.js", ...(jobs ? ["jobs.js"] : [])],
      keys: jobs ? [...KEYS, STOP_KEY] : KEYS,
    },
    body: markup`<div class="title"${
      (running.length > 0 || board.unfinished.some(({ state }) => state === "waiting")) &&
      markup` data-going="/api/sweeps/${record.sweep}" data-running="/parts/running/${record.sweep}"`
    }><h1>${record.name}</h1><p class="soft">Sweep ${record.sweep}, ${moment(record.started)}. ${
      describeOriginals(board).map((line) => `${line}. `)
    }</p><span class="actions">${
      workButton(jobs, { again: { sweep: record.sweep }, going: true, left: board.unfinished.length > 0 })
    }<a class="button" href="/api/sweeps/${record.sweep}">JSON</a></span></div>
${jobs && workWords}
${sweepTiles(record, board, spent)}
${runningPart(running)}
${rows.length > 0 && markup`<section><h2>Leaderboard</h2>${leaderboard(record, board)}</section>`}
${unfinished.length > 0 && markup`<section><h2>Not finished</h2>${unfinishedTable(record, unfinished)}</section>`}
${rows.length > 0 && markup`<section data-plots><h2>Plots</h2>${sweepPlots(board)}</section>`}`,
  });
}

/** Points that go on, which are fetched anew while the page is open. */
export function runningPart(running: readonly RunSummary[]): Html {
  const row = (run: RunSummary) =>
    markup`<tr><td class="words"><a href="/runs/${run.id}">${run.recipe}</a></td><td class="words">${
      badge(run.state)
    }</td><td>${stepsCell(run)}</td><td>${datum(run.seconds, formatSeconds(run.seconds))}</td></tr>`;
  return markup`<div data-part="running">${
    running.length > 0 &&
    markup`<section><h2>Going on</h2><div class="scroll" role="region" aria-label="Points that go on" tabindex="0"><table class="list compact"><thead><tr><th scope="col" class="words">Point</th><th scope="col" class="words">State</th><th scope="col">Steps</th><th scope="col">Time</th></tr></thead><tbody>${
      running.map(row)
    }</tbody></table></div></section>`
  }</div>`;
}

function leaderboard(record: SweepRecord, board: Leaderboard): Html {
  const { apart, worth, costs } = columnsOf(board);
  const columns = [...apart, ...worth, ...costs];
  const runs = new Map(
    record.points.flatMap(({ id, run }) => run === undefined ? [] : [[id, runOfPoint(record.sweep, run)]]),
  );
  const name = (row: Row): Content => {
    const run = runs.get(row.points[0]);
    const label = run === undefined ? row.label : markup`<a href="/runs/${run}">${row.label}</a>`;
    return isMarked(row, board) ? markup`<strong class="front">${label}</strong>` : label;
  };
  const pick = (row: Row): Content => {
    const run = runs.get(row.points[0]);
    return run !== undefined &&
      markup`<input type="checkbox" name="run" value="${run}" aria-label="Select ${row.label}">`;
  };
  return markup`<form action="/compare" method="get" data-leaderboard>
<div class="scroll" role="region" aria-label="Leaderboard" tabindex="0"><table class="list">
<thead><tr><th class="pick"><span class="visually-hidden">Select</span></th><th scope="col" class="words"><button type="button">Point</button></th>${
    columns.map(({ head, title, value }) =>
      markup`<th scope="col"${head === "file" && markup` aria-sort="ascending"`}${
        value === undefined && markup` class="words"`
      }><button type="button" title="${title}">${head}</button></th>`
    )
  }</tr></thead>
<tbody>${
    board.rows.map((row) =>
      markup`<tr data-label="${row.label}"><td class="pick">${
        pick(row)
      }</td><td class="words" data-value="${row.label}">${name(row)}</td>${
        columns.map(({ cell, value }) =>
          value === undefined
            ? markup`<td class="words">${cell(row)}</td>`
            : markup`<td data-value="${finite(value(row))}">${cell(row)}</td>`
        )
      }</tr>\n`
    )
  }</tbody></table></div>
<div class="tools"><span class="note">${
    describeOrder(board, "Bold:").join(" ")
  } ${BITS_NOTE}</span><button data-compare>Compare</button></div></form>`;
}

/** Sorted last where there is none. */
function finite(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? "" : `${value}`;
}

function unfinishedTable(record: SweepRecord, unfinished: Leaderboard["unfinished"]): Html {
  const rows = unfinished.map((point) => {
    const log = point.run === undefined
      ? ""
      : markup`<a href="/runs/${runOfPoint(record.sweep, point.run)}#log">log</a>`;
    return markup`<tr><td class="words">${point.label}</td><td class="words">${
      badge(point.state)
    }</td><td class="words wrap">${describeUnfinished(point)}</td><td class="words">${log}</td></tr>`;
  });
  return markup`<div class="scroll" role="region" aria-label="Points that did not finish" tabindex="0"><table class="list"><thead><tr><th scope="col" class="words">Point</th><th scope="col" class="words">State</th><th scope="col" class="words">Reason</th><th scope="col" class="words">Log</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}
