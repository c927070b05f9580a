/** A sweep's page: leaderboard, plots and what did not finish, in one file, without scripts and without a request to anywhere. */
import type { SweepRecord } from "../runner/sweep/record.ts";
import { buildLeaderboard, type Leaderboard, type Row } from "./leaderboard.ts";
import {
  BITS_NOTE,
  columnsOf,
  describeOrder,
  describeOriginals,
  isMarked,
  secondsAlone,
  statesOf,
} from "./leaderboard_cells.ts";
import { chartGrid, type Figure } from "./chart_grid.ts";
import { describeUnfinished } from "./leaderboard_text.ts";
import { type Content, type Html, markup } from "./markup.ts";
import { formatBits, formatNumber, formatSeconds } from "./numbers.ts";
import { type Section, sectionsPage } from "./page.ts";
import { partColour } from "./plot.ts";
import { axisCharts } from "./sweep_axis_charts.ts";
import { componentNames, componentsChart, paretoChart } from "./sweep_charts.ts";
import { datum, table } from "./tables.ts";

/**
 * Renders the sweep's page.
 *
 * @returns a complete HTML document; reports of points are linked by their folders, relative to the sweep's
 */
export function renderSweepPage(record: SweepRecord): string {
  const board = buildLeaderboard(record);
  const { rows, unfinished } = board;
  const sections: (Section | false)[] = [
    { title: "Result", untitled: true, content: sweepTiles(record, board) },
    rows.length > 0 && { title: "Leaderboard", content: leaderboard(record, board) },
    unfinished.length > 0 && { title: "Not finished", content: unfinishedTable(board) },
    rows.length > 0 && { title: "Plots", content: sweepPlots(board) },
  ];
  return sectionsPage(
    `${record.name} · ${record.sweep}`,
    header(record, board),
    sections.filter((section) => section !== false),
  );
}

function header({ name, sweep, started }: SweepRecord, board: Leaderboard): Html {
  const time = new Date(started).toISOString();
  return markup`<header>
<h1>${name}</h1>
<p class="soft">Sweep ${sweep}, <time datetime="${time}">${time.slice(0, 16).replace("T", " ")} UTC</time>.
${describeOriginals(board).map((line) => `${line}. `)}</p>
</header>`;
}

/** What became of a sweep, in a few numbers. @param going how many points run now, and for how long the longest of them */
export function sweepTiles(
  record: SweepRecord,
  board: Leaderboard,
  going: { readonly running: number; readonly seconds: number } = { running: 0, seconds: 0 },
): Html {
  const { points, steps } = record, seconds = record.seconds + going.seconds;
  const finished = points.filter(({ state }) => state === "finished").length;
  const alone = secondsAlone(record);
  const [best, value] = bestOf(board);
  const tiles: [string, Content, Content][] = [
    ["Points finished", `${finished} of ${points.length}`, statesOf(record, going.running).join(", ")],
    ...(best === undefined ? [] : [[
      `Lowest perplexity, ${board.evaluations[0]}`,
      datum(value, formatNumber(value)),
      `${best.label}, whole file ${formatBits(best.bits.model.mean)} bits`,
    ] as [string, Content, Content]]),
    [
      "Time",
      datum(seconds, formatSeconds(seconds)),
      alone !== undefined && `${(seconds / alone).toFixed(2)} of the ${formatSeconds(alone)} of single runs`,
    ],
    ["Steps", `${steps.different}`, `${steps.all} in single runs`],
  ];
  return markup`<dl class="tiles">
${tiles.map(([label, value, note]) => markup`<div><dt>${label}</dt><dd>${value}</dd><dd>${note}</dd></div>\n`)}</dl>`;
}

/** The row with the lowest perplexity on the first evaluation, and that perplexity. */
function bestOf({ rows, evaluations: [first] }: Leaderboard): [Row | undefined, number] {
  const value = (row: Row) => row.perplexity[first]?.mean ?? NaN;
  const [best] = rows.filter((row) => Number.isFinite(value(row))).sort((a, b) => value(a) - value(b));
  return [best, best === undefined ? NaN : value(best)];
}

function leaderboard(record: SweepRecord, board: Leaderboard): Html {
  const { apart, worth, costs } = columnsOf(board);
  const columns = [...apart, ...worth, ...costs];
  const folders = new Map(record.points.map(({ id, run }) => [id, run]));
  const name = (row: Row): Content => {
    const folder = row.points.length === 1 ? folders.get(row.points[0]) : undefined;
    const label = folder === undefined ? row.label : markup`<a href="${linkTo(folder)}">${row.label}</a>`;
    return isMarked(row, board) ? markup`<strong class="front">${label}</strong>` : label;
  };
  return markup`${
    table(
      "Leaderboard",
      ["Point", ...columns.map(({ head, title }) => markup`<abbr title="${title}">${head}</abbr>`)],
      board.rows.map((row) => [name(row), ...columns.map(({ cell }) => cell(row))]),
    )
  }<p class="note">${describeOrder(board, "Marked:").join(" ")} ${BITS_NOTE}</p>`;
}

/** A run's report, from the sweep's folder. */
function linkTo(run: string): string {
  return [...run.split(/[/\\]/), "report.html"].map(encodeURIComponent).join("/");
}

function unfinishedTable({ unfinished }: Leaderboard): Html {
  return table(
    "Points that did not finish",
    ["Point", { words: "Reason" }],
    unfinished.map((point) => [point.label, { words: `${point.state}: ${describeUnfinished(point)}` }]),
  );
}

/** All plots of a sweep. */
export function sweepPlots(board: Leaderboard): Html {
  const pareto = board.evaluations.map((name) => paretoChart(board, name)).filter((chart) => chart !== undefined);
  const names = componentNames(board.rows);
  const swatches = names.map((name, place) =>
    markup`<span class="swatch" style="--swatch: ${partColour(place)}">${name}</span> `
  );
  const components: Figure = {
    title: "Stored bits by component",
    chart: (width) => componentsChart(board.rows, names, width),
    caption: markup`${swatches}<br>Of the compressed layers. The stroke is the nominal number.`,
  };
  return chartGrid([...pareto, ...axisCharts(board), components]);
}
