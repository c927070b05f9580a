/** A sweep's charts against a numeric axis, such as perplexity and error against the pruning ratio (the paper's Figure 2). */
import * as Plot from "@observablehq/plot";
import { axisText } from "./axis_names.ts";
import type { Figure } from "./chart_grid.ts";
import type { Axis, Leaderboard, Row, Spread } from "./leaderboard.ts";
import { markup } from "./markup.ts";
import { formatNumber } from "./numbers.ts";
import { draw, partColour, WIDTH } from "./plot.ts";
import { formatTick, logTicks } from "./sweep_charts.ts";

/** Most lines in one chart, as there are colours. */
const MOST_LINES = 6;
/** Above this ratio of largest to least, a scale is logarithmic. */
const WIDE_RANGE = 8;

/** Charts of each evaluation's perplexity, and of the total layer error, against each numeric axis that gives lines. */
export function axisCharts(board: Leaderboard): Figure[] {
  return board.axes.flatMap((axis) => {
    const lines = linesOf(board, axis);
    if (lines.size === 0 || lines.size > MOST_LINES) return [];
    const charts = [
      ...board.evaluations.map((name) => ({
        what: `Perplexity on ${name}`,
        of: ({ perplexity }: Row) => perplexity[name],
      })),
      { what: "Total layer error", of: ({ layerError }: Row) => layerError.total },
    ];
    return charts.map(({ what, of }) => chartOf(lines, { axis, what, of })).filter((chart) => chart !== undefined);
  });
}

/** Rows in lines along an axis, by what else tells them apart; none where the axis is not numeric, or a line would be a dot. */
function linesOf({ axes, rows }: Leaderboard, { path }: Axis): Map<string, Row[]> {
  if (!rows.every(({ values }) => typeof values[path] === "number")) return new Map();
  const others = axes.filter((axis) => axis.path !== path);
  const lines = Map.groupBy(rows, (row) =>
    [
      ...others.map((axis) => `${axis.name} ${axisText(row.values[axis.path])}`),
      ...(new Set(rows.map(({ model }) => model)).size > 1 ? [row.model] : []),
    ].join(", "));
  for (const [name, line] of lines) lines.set(name, line.toSorted((a, b) => along(a, path) - along(b, path)));
  const drawn = [...lines.values()].every((line) => new Set(line.map((row) => along(row, path))).size > 1);
  return drawn ? lines : new Map();
}

function chartOf(
  lines: ReadonlyMap<string, readonly Row[]>,
  { axis: { path, name }, what, of }: {
    readonly axis: Axis;
    readonly what: string;
    readonly of: (row: Row) => Spread | undefined;
  },
): Figure | undefined {
  const dots = [...lines].flatMap(([line, rows], place) =>
    rows.flatMap((row) => {
      const value = of(row);
      const drawn = value !== undefined && Number.isFinite(value.mean) && value.mean > 0;
      return drawn
        ? [{ line, x: along(row, path), ...value, stroke: lines.size > 1 ? partColour(place) : "var(--accent)" }]
        : [];
    })
  );
  if (dots.length < 2) return undefined;
  const [low, high] = [Math.min(...dots.map(({ min }) => min)), Math.max(...dots.map(({ max }) => max))];
  const log = low > 0 && high / low > WIDE_RANGE;
  const below = 0.1 * (high - low) || 0.1 * high;
  const domain = log ? [low / 1.1, Math.min(high * 1.1, Number.MAX_VALUE)] : [Math.max(0, low - below), high + below];
  const values = [...new Set(dots.map(({ x }) => x))].sort((a, b) => a - b);
  const spread = dots.filter(({ min, max }) => max > min);
  return {
    title: `${what} against ${name}`,
    gains: true,
    chart: (width = WIDTH) =>
      draw(
        {
          width,
          height: 260,
          marginLeft: 52,
          marginRight: 14,
          marginTop: 14,
          marginBottom: 46,
          x: {
            label: name,
            labelAnchor: "center",
            labelArrow: "none",
            labelOffset: 40,
            inset: 8,
            ...(values.length <= 8 ? { ticks: values } : { ticks: 6 }),
            tickFormat: formatTick,
          },
          y: {
            label: null,
            type: log ? "log" : "linear",
            domain,
            grid: true,
            ...(log ? { ticks: logTicks(domain), tickFormat: formatTick } : { ticks: 5, tickFormat: formatTick }),
          },
          marks: [
            Plot.ruleX(spread, { x: "x", y1: "min", y2: "max", stroke: "stroke", strokeWidth: 2 }),
            Plot.line(dots, { x: "x", y: "mean", z: "line", stroke: "stroke", strokeWidth: 2 }),
            Plot.dot(dots, {
              x: "x",
              y: "mean",
              r: 3.5,
              fill: "stroke",
              title: ({ line, x, mean }) => `${line === "" ? "" : `${line}, `}${name} ${x}: ${formatNumber(mean)}`,
            }),
          ],
          color: { type: "identity" },
        },
        `${what} against ${path}`,
        dots.map(({ line, x, mean }) => `${line === "" ? "" : `${line}, `}${x}: ${formatNumber(mean)}`).join("; "),
      ),
    caption: [
      ...(lines.size > 1
        ? [...lines.keys()].map((line, place) =>
          markup`<span class="swatch" style="--swatch: ${partColour(place)}">${line}</span> `
        )
        : []),
      path,
      ...(log ? ["; logarithmic scale"] : []),
      ...(spread.length > 0
        ? ["; strokes go from the least to the greatest of the points that repeat each other"]
        : []),
      ".",
    ],
  };
}

function along({ values }: Row, path: string): number {
  return Number(values[path]);
}
