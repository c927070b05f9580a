/** A sweep's charts: perplexity against bits of the whole file, and stored bits by component. Those against an axis: `sweep_axis_charts.ts`. */
import * as Plot from "@observablehq/plot";
import type { Figure } from "./chart_grid.ts";
import type { Leaderboard, Row } from "./leaderboard.ts";
import type { Html } from "./markup.ts";
import { formatBits, formatNumber } from "./numbers.ts";
import { type Box, placeLabels } from "./place_labels.ts";
import { draw, END_LABEL, FONT, most, partColour, WIDTH } from "./plot.ts";

/** Heights in pixels of perplexity against bits, for screens that are wide and for phones. */
const HIGH = 380, LOW = 360;
const MARGINS = { top: 16, right: 16, bottom: 46, left: 56 } as const;
/** Logarithm of about the largest number there is. */
const LARGEST = 709;
/** Most ticks. */
const MOST_TICKS = 9;
/** Most labels that a chart is tried to fit. */
const MOST_LABELS = 60;

/**
 * Perplexity on one evaluation, on a logarithmic scale, against bits of the whole file, with the front.
 *
 * @returns undefined where no row has a perplexity that can be drawn
 */
export function paretoChart(board: Leaderboard, evaluation: string): Figure | undefined {
  const all = board.rows.filter(({ perplexity }) => evaluation in perplexity);
  const drawn = all.map((row) => ({
    row,
    x: row.bits.model.mean,
    y: row.perplexity[evaluation].mean,
    front: row.front.includes(evaluation),
  })).filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y) && y > 0);
  if (drawn.length === 0) return undefined;
  const left = all.length - drawn.length;
  const originals = board.originals.map(({ perplexity }) => perplexity[evaluation])
    .filter((value) => Number.isFinite(value) && value > 0);
  return {
    title: `Perplexity on ${evaluation} against bits of the whole file`,
    wide: true,
    chart: (width = WIDTH) =>
      scatter(drawn, {
        ...{ originals, title: `Perplexity and bits, ${evaluation}` },
        size: { width, height: width > WIDTH ? HIGH : LOW },
      }),
    caption: "The line is the Pareto front: nothing is both smaller and better. Perplexity on a logarithmic scale." +
      (left === 0 ? "" : ` Not drawn, as their perplexity is no finite number: ${left}.`),
  };
}

/** A row where it is drawn. */
interface Dot {
  readonly row: Row;
  readonly x: number;
  readonly y: number;
  readonly front: boolean;
}

function scatter(
  dots: readonly Dot[],
  { originals, size: { width, height }, title }: {
    readonly originals: readonly number[];
    readonly size: { readonly width: number; readonly height: number };
    readonly title: string;
  },
): Html {
  const [left, right] = extent(dots.map(({ x }) => x));
  const [low, high] = extent([...dots.map(({ y }) => y), ...originals]).map(Math.log);
  // Room at the sides for half a label, and so that no dot stands on the frame; of one dot alone, something.
  const room = (right - left) * 0.08 || 0.5, above = (high - low) * 0.06 || 0.2, below = 2 * above;
  const x = { domain: [left - room, right + room], range: [MARGINS.left, width - MARGINS.right] };
  const y = {
    type: "log" as const,
    domain: [Math.exp(low - below), Math.exp(Math.min(high + above, LARGEST))],
    range: [height - MARGINS.bottom, MARGINS.top],
  };
  const [across, up] = [Plot.scale({ x: { ...x, type: "linear" } }), Plot.scale({ y })];
  const at = ({ x, y }: Dot) => ({ x: across.apply(x), y: up.apply(y) });
  const front = dots.filter(({ front }) => front).sort((a, b) => a.x - b.x);
  const notes = originals.map((value) => ({ text: `uncompressed ${formatNumber(value)}`, value }));
  const ranked = dots.toSorted((a, b) => Number(b.front) - Number(a.front));
  const labels = placeLabels(
    ranked.slice(0, MOST_LABELS).map((dot) => ({
      ...at(dot),
      text: shorten(dot.row.label, width),
      // Nothing is drawn below the front.
      ...(dot.front ? { prefer: "below-left" as const } : {}),
    })),
    {
      dots: ranked.slice(MOST_LABELS).map(at),
      taken: [...stairs(front.map(at)), ...notes.map(({ value }) => noteBox(up.apply(value)))],
      frame: { left: MARGINS.left, right: width - 2, top: 2, bottom: height - MARGINS.bottom },
      fontSize: FONT,
    },
  );
  return draw(
    {
      width,
      height,
      ...{ marginLeft: MARGINS.left, marginRight: MARGINS.right, marginTop: MARGINS.top, marginBottom: MARGINS.bottom },
      x: {
        ...x,
        label: "bits of the whole file per weight",
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: 40,
        ticks: width / 90,
      },
      y: { ...y, label: null, ticks: logTicks(y.domain), tickFormat: formatTick, grid: true },
      marks: [
        Plot.ruleY(originals, { stroke: "var(--quiet)", strokeDasharray: "4,4" }),
        Plot.line(front, { x: "x", y: "y", stroke: "var(--accent)", curve: "step-after" }),
        Plot.dot(dots, {
          x: "x",
          y: "y",
          r: 4,
          fill: ({ front }) => front ? "var(--accent)" : "var(--card)",
          stroke: ({ front }) => front ? "var(--accent)" : "var(--soft)",
          title: ({ row, x, y }) => `${row.label}: perplexity ${formatNumber(y)}, ${formatBits(x)} bits`,
        }),
        Plot.text(notes, {
          frameAnchor: "left",
          y: "value",
          text: "text",
          textAnchor: "start",
          dx: 4,
          dy: 10,
          fill: "var(--soft)",
        }),
        ...labels.map(({ text, x, y, anchor }) =>
          Plot.text([text], {
            frameAnchor: "top-left",
            dx: x - MARGINS.left,
            dy: y - MARGINS.top,
            textAnchor: anchor,
            lineAnchor: "middle",
            fill: "currentColor",
            stroke: "var(--card)",
            strokeWidth: 4,
            clip: false,
          })
        ),
      ],
      color: { type: "identity" },
    },
    title,
    dots.map(({ row, x, y, front }) =>
      `${row.label}: perplexity ${formatNumber(y)} at ${formatBits(x)} bits${front ? ", on the front" : ""}`
    ).join("; "),
  );
}

/** What the line of the front covers. */
function stairs(front: readonly { readonly x: number; readonly y: number }[]): Box[] {
  return front.slice(1).flatMap((to, i) => {
    const from = front[i];
    return [
      { left: from.x, right: to.x, top: from.y - 1, bottom: from.y + 1 },
      { left: to.x - 1, right: to.x + 1, top: from.y, bottom: to.y },
    ];
  });
}

/** What the note below a line across covers, and the line. */
function noteBox(y: number): Box {
  return { left: MARGINS.left, right: MARGINS.left + 150, top: y - 2, bottom: y + 18 };
}

/** Names of all components of stored bits, in the order in which rows have them. */
export function componentNames(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap(({ components }) => Object.keys(components)))];
}

/** Stored bits of each row by component, with the nominal number as a stroke. */
export function componentsChart(
  rows: readonly Row[],
  names: readonly string[],
  width: number = WIDTH,
): Html {
  const bars = rows.flatMap(({ components, label }, place) =>
    names.filter((name) => components[name] > 0).map((name) => ({
      place,
      label,
      name,
      value: components[name],
      fill: partColour(names.indexOf(name)),
    }))
  );
  const totals = rows.map(({ label, bits }, place) => ({
    place,
    label,
    stored: bits.stored.mean,
    nominal: bits.nominal.mean,
  }));
  const end = 1.15 * most(totals.map(({ stored, nominal }) => Math.max(stored, nominal)));
  const places = rows.map((_, place) => place);
  return draw(
    {
      width,
      height: 46 + rows.length * 40,
      marginLeft: 8,
      marginTop: 4,
      marginBottom: 42,
      x: {
        label: "bits per weight",
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: 36,
        domain: [0, end],
        ticks: 5,
      },
      y: { label: null, domain: places, axis: null, padding: 0 },
      marks: [
        Plot.barX(
          bars,
          Plot.stackX({
            y: "place",
            x: "value",
            fill: "fill",
            insetTop: 19,
            insetBottom: 5,
            insetRight: 1,
            title: ({ label, name, value }) => `${label}, ${name}: ${formatBits(value)}`,
          }),
        ),
        Plot.tickX(totals, {
          y: "place",
          x: "nominal",
          stroke: "currentColor",
          strokeWidth: 2,
          insetTop: 16,
          insetBottom: 2,
        }),
        Plot.text(totals, {
          y: "place",
          x: 0,
          text: ({ label }) => shorten(label, width + 200),
          textAnchor: "start",
          dy: -11,
          fill: "currentColor",
        }),
        Plot.text(totals, {
          y: "place",
          x: ({ stored, nominal }) => Math.max(stored, nominal),
          text: ({ stored }) => formatBits(stored),
          ...END_LABEL,
          dy: 7,
        }),
      ],
      color: { type: "identity" },
    },
    "Stored bits by component",
    rows.map(({ label, bits, components }) =>
      `${label}: nominal ${formatBits(bits.nominal.mean)}, stored ${formatBits(bits.stored.mean)} of ` +
      Object.entries(components).map(([name, value]) => `${name} ${formatBits(value)}`).join(", ")
    ).join("; "),
  );
}

/** A label that leaves room for others. */
function shorten(text: string, width: number): string {
  const most = Math.floor(width / 16);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Ticks 1, 2, 5, 10, …; where those would be few, evenly spaced ones. */
export function logTicks([low, high]: readonly number[]): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const step = Math.ceil((last - first) / MOST_TICKS);
  const ticks: number[] = [];
  for (let power = first; power <= last; power += step) {
    for (const digit of high / low > 1e4 ? [1] : [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  }
  const inside = ticks.filter((tick) => tick >= low && tick <= high);
  if (inside.length >= 3) return inside;
  const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough));
  const between = unit * ([1, 2, 5].find((each) => each * unit >= rough) ?? 10);
  const even: number[] = [];
  for (let tick = Math.ceil(low / between) * between; tick <= high; tick += between) {
    even.push(Number(tick.toPrecision(6)));
  }
  return even;
}

/** A tick in few letters. */
export function formatTick(value: number): string {
  return Math.abs(value) >= 1e5 ? value.toExponential(0).replace("e+", "e") : `${Number(value.toPrecision(4))}`;
}

function extent(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)];
}
