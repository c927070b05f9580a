/** The charts of one run's report; those of a sweep are `sweep_charts.ts`. */
import * as Plot from "@observablehq/plot";
import type { Html } from "./markup.ts";
import { placeOf } from "./layer_names.ts";
import { componentsOf, type Metrics } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { draw, END_LABEL, most, partColour, WIDTH } from "./plot.ts";

/** Pixels for the names of rows. */
export const MARGIN_LEFT = 100;
/** Columns of blocks, and points of a line, that a chart can show. */
export const MOST_COLUMNS = 160;
const MOST_POINTS = 300;

/** Perplexity of the original and the compressed model, by evaluation. */
export function perplexityChart({ perplexity }: Metrics, width: number = WIDTH): Html {
  const bars = Object.entries(perplexity).flatMap(([name, { original, compressed }]) => [
    { name, which: "original", value: original },
    { name, which: "compressed", value: compressed },
  ]);
  const names = Object.keys(perplexity);
  // What is infinite fills the row; what is not a number has no bar.
  const longest = most(bars.map(({ value }) => value).filter(Number.isFinite));
  const shown = ({ value }: { readonly value: number }) => Number.isNaN(value) ? 0 : Math.min(value, longest);
  const fills: Record<string, string> = { original: "var(--quiet)", compressed: "var(--accent)" };
  return draw(
    {
      width,
      height: 24 + names.length * (names.length === 1 ? 126 : 78),
      marginLeft: MARGIN_LEFT,
      marginTop: 20,
      marginBottom: 4,
      x: { axis: null, domain: [0, 1.22 * longest] },
      y: { label: null, domain: ["original", "compressed"], tickSize: 0 },
      fy: { label: null, domain: names, axis: null, padding: 0.35 },
      marks: [
        Plot.text(names, { fy: (name: string) => name, text: (name: string) => name, ...FACET_TITLE }),
        Plot.barX(bars, {
          fy: "name",
          y: "which",
          x: shown,
          fill: ({ which }) => fills[which],
          insetTop: 2,
          insetBottom: 2,
        }),
        Plot.text(bars, { fy: "name", y: "which", x: shown, text: ({ value }) => formatNumber(value), ...END_LABEL }),
      ],
      color: { type: "identity" },
    },
    "Perplexity",
    bars.map(({ name, which, value }) => `${name}, ${which}: ${formatNumber(value)}`).join("; "),
  );
}

/** Nominal bits beside stored bits by component. */
export function bitsChart(metrics: Metrics, width: number = WIDTH): Html {
  const { bits } = metrics;
  const stored = componentsOf(metrics).map(({ name, value }, place) => ({
    row: "stored",
    component: name,
    value,
    fill: partColour(place),
  }));
  const bars = [{ row: "nominal", component: "nominal", value: bits.nominal, fill: "var(--quiet)" }, ...stored];
  const totals = [{ row: "nominal", value: bits.nominal }, { row: "stored", value: bits.stored.total }];
  const end = 1.2 * Math.max(bits.stored.total, bits.nominal);
  return draw(
    {
      width,
      height: 170,
      marginLeft: MARGIN_LEFT,
      marginTop: 6,
      marginBottom: 46,
      x: {
        label: "bits per weight",
        labelAnchor: "center",
        labelOffset: 36,
        labelArrow: "none",
        domain: [0, end],
        ticks: 5,
      },
      y: { label: null, domain: ["nominal", "stored"], tickSize: 0 },
      marks: [
        Plot.barX(
          bars,
          Plot.stackX({ y: "row", x: "value", fill: "fill", insetTop: 4, insetBottom: 4, insetRight: 1 }),
        ),
        Plot.text(totals, { y: "row", x: "value", text: ({ value }) => formatBits(value), ...END_LABEL }),
      ],
      color: { type: "identity" },
    },
    "Bits per weight",
    bars.map(({ row, component, value }) =>
      row === component ? `${row}: ${formatBits(value)}` : `${row}, ${component}: ${formatBits(value)}`
    ).join("; "),
  );
}

/** Error of each layer: one cell a layer, one column a block; the stronger the colour, the larger the error. */
export function errorChart(
  { layer_error: { layers } }: { readonly layer_error: Pick<Metrics["layer_error"], "layers"> },
  width: number = WIDTH,
): Html {
  const values = layers.map(({ name, error }) => ({ name, value: error }));
  return layersChart(
    values,
    { title: "Error per layer", width },
    formatNumber,
    ({ layers, blocks, largest }) =>
      `${layers} layers in ${blocks} blocks; the largest error is ${formatNumber(largest)}`,
  );
}

/** Bits that each layer was given: one cell a layer, one column a block; the stronger the colour, the more bits. */
export function allocationChart(
  { mean, layers, blocks: means }: Pick<NonNullable<Metrics["allocation"]>, "mean" | "layers" | "blocks">,
  width: number = WIDTH,
): Html {
  const values = layers.map(({ name, bits }) => ({ name, value: bits }));
  return layersChart(
    values,
    { title: "Bits per layer", width },
    formatBits,
    () => `mean ${formatBits(mean)}, by block: ${means.map(formatBits).join(", ")}`,
  );
}

/** A number of each layer: one cell a layer, one column a block; the stronger the colour, the larger the number. */
function layersChart(
  layers: readonly { readonly name: string; readonly value: number }[],
  { title, width }: { readonly title: string; readonly width: number },
  format: (value: number) => string,
  describe: (seen: { readonly layers: number; readonly blocks: number; readonly largest: number }) => string,
): Html {
  const cells = layers.flatMap(({ name, value }) => {
    const place = placeOf(name);
    return place === undefined ? [] : [{ name, value, ...place }];
  });
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const all = [...new Set(cells.map(({ block }) => block))];
  const wide = Math.ceil(all.length / MOST_COLUMNS);
  const blocks = all.filter((_, i) => i % wide === 0);
  // More columns than a screen can show: the largest of neighbours stands for them.
  const places = new Map(all.map((block, i) => [block, blocks[Math.floor(i / wide)]]));
  const drawn = wide === 1 ? cells : Map.groupBy(cells, ({ block, kind }) => `${places.get(block)} ${kind}`).values()
    .map((group) => ({ ...group.reduce((a, b) => a.value >= b.value ? a : b), block: places.get(group[0].block) ?? 0 }))
    .toArray();
  const largest = most(cells.map(({ value }) => value));
  return draw(
    {
      width,
      height: 46 + kinds.length * 24,
      marginLeft: MARGIN_LEFT,
      marginTop: 4,
      marginBottom: 42,
      x: { ...BLOCK_AXIS, domain: blocks, ticks: sparse(blocks, width), padding: 0.06 },
      y: { label: null, domain: kinds, tickSize: 0, padding: 0.06 },
      opacity: { type: "identity" },
      marks: [
        Plot.cell(drawn, {
          x: "block",
          y: "kind",
          fill: "var(--accent)",
          fillOpacity: ({ value }) => 0.06 + 0.94 * value / largest,
          title: ({ name, value }) => `${name}: ${format(value)}`,
        }),
      ],
    },
    title,
    describe({ layers: cells.length, blocks: all.length, largest }),
  );
}

/** N of M per transformer block. */
export function keepChart(keep: readonly number[], of: number, width: number = WIDTH): Html {
  const every = Math.ceil(keep.length / MOST_COLUMNS);
  const bars = keep.map((kept, block) => ({ block, kept })).filter(({ block }) => block % every === 0);
  const blocks = bars.map(({ block }) => block);
  return draw(
    {
      width,
      height: 204,
      marginTop: 28,
      marginBottom: 42,
      marginLeft: 32,
      x: { ...BLOCK_AXIS, domain: blocks, ticks: sparse(blocks, width), padding: 0.15 },
      y: {
        label: `weights kept of ${of}`,
        domain: [0, of],
        ticks: Math.min(of, 8),
        tickFormat: "d",
        labelArrow: "none",
      },
      marks: [
        Plot.barY(bars, {
          x: "block",
          y: "kept",
          fill: "var(--accent)",
          title: ({ block, kept }) => `block ${block}: ${kept}`,
        }),
        Plot.ruleY([0]),
        Plot.ruleY([of], { strokeDasharray: "3,3", strokeOpacity: 0.6 }),
      ],
    },
    "Weights kept per block",
    `of ${of}, by block: ${keep.join(", ")}`,
  );
}

/** How alike what goes into a block and what comes out of it are, as the search measured it. */
export function redundancyChart(
  blocks: readonly { readonly block: number; readonly redundancy: number }[],
  width: number = WIDTH,
): Html {
  const every = Math.ceil(blocks.length / MOST_COLUMNS);
  const bars = blocks.filter((_, i) => i % every === 0);
  const values = blocks.map(({ redundancy }) => redundancy);
  const names = bars.map(({ block }) => block);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  return draw(
    {
      width,
      height: 204,
      marginTop: 28,
      marginBottom: 42,
      marginLeft: 40,
      x: { ...BLOCK_AXIS, domain: names, ticks: sparse(names, width), padding: 0.15 },
      y: { label: "redundancy", domain: [low, high === low ? 1 : high], ticks: 5, labelArrow: "none", nice: true },
      marks: [
        Plot.barY(bars, {
          x: "block",
          y: "redundancy",
          fill: "var(--accent)",
          title: ({ block, redundancy }) => `block ${block}: ${formatNumber(redundancy)}`,
        }),
        Plot.ruleY([0]),
      ],
    },
    "Redundancy per block",
    blocks.map(({ block, redundancy }) => `block ${block}: ${formatNumber(redundancy)}`).join("; "),
  );
}

/** How far hidden states are from the original's after each block. @param title which no other chart of the page has */
export function blockErrorChart(errors: readonly number[], title: string, width: number = WIDTH): Html {
  const points = errors.map((error, block) => ({ block, error }));
  return draw(
    {
      width,
      height: 204,
      marginTop: 28,
      marginBottom: 42,
      marginLeft: 46,
      x: {
        label: "block",
        labelAnchor: "center",
        labelOffset: 34,
        labelArrow: "none",
        ticks: Math.min(8, errors.length),
      },
      y: { label: "relative error", domain: [0, most(errors)], ticks: 5, labelArrow: "none", nice: true },
      marks: [
        Plot.ruleY([0]),
        Plot.line(points, { x: "block", y: "error", stroke: "var(--accent)", strokeWidth: 1.5 }),
        ...(points.length > MOST_COLUMNS ? [] : [Plot.dot(points, {
          ...{ x: "block", y: "error", fill: "var(--accent)", r: 2.5 },
          title: ({ block, error }) => `block ${block}: ${formatNumber(error)}`,
        })]),
      ],
    },
    title,
    points.map(({ block, error }) => `block ${block}: ${formatNumber(error)}`).join("; "),
  );
}

/**
 * Memory of the process while it ran.
 *
 * @param memory when a step ended, in milliseconds since the epoch, and the most bytes held since the one before; rising
 * @param began milliseconds since the epoch
 */
export function memoryChart(
  memory: readonly (readonly [number, number])[],
  began: number,
  width: number = WIDTH,
): Html {
  const part = Math.ceil(memory.length / MOST_POINTS);
  const points = Array.from(
    { length: Math.ceil(memory.length / part) },
    (_, i) => memory.slice(i * part, (i + 1) * part),
  )
    .map((group) => ({
      seconds: Math.max(0, (group[group.length - 1][0] - began) / 1000),
      bytes: Math.max(...group.map(([, bytes]) => bytes)),
    }));
  // From the beginning on, and level up to the end of a step.
  const line = [{ seconds: 0, bytes: points[0]?.bytes ?? 0 }, ...points];
  const largest = most(points.map(({ bytes }) => bytes));
  const unit = 2 ** (10 * Math.min(3, Math.floor(Math.log2(largest) / 10)));
  const end = most(points.map(({ seconds }) => seconds)), [length, name] = unitOf(end);
  return draw(
    {
      width,
      height: 204,
      marginTop: 28,
      marginBottom: 42,
      marginLeft: 48,
      marginRight: 24,
      x: {
        label: "time",
        labelAnchor: "center",
        labelOffset: 36,
        labelArrow: "none",
        domain: [0, end / length],
        ticks: width / 90,
        tickFormat: (time: number) => `${Number(time.toPrecision(6))} ${name}`,
      },
      y: {
        label: `${["bytes", "KiB", "MiB", "GiB"][Math.round(Math.log2(unit) / 10)]}`,
        ...{ domain: [0, 1.05 * largest / unit], ticks: 4, labelArrow: "none", grid: true },
      },
      marks: [
        Plot.areaY(line, {
          ...{ x: ({ seconds }) => seconds / length, y: ({ bytes }) => bytes / unit, curve: "step-before" },
          ...{ fill: "var(--accent)", fillOpacity: 0.18 },
        }),
        Plot.line(line, {
          ...{ x: ({ seconds }) => seconds / length, y: ({ bytes }) => bytes / unit, curve: "step-before" },
          ...{ stroke: "var(--accent)", strokeWidth: 1.5 },
        }),
        Plot.ruleY([0]),
      ],
    },
    "Memory",
    `at most ${formatBytes(largest)} while steps ran, over ${formatSeconds(end)}`,
  );
}

/** Seconds in the unit that a time which has such an end is told in, and its name. */
function unitOf(end: number): [number, string] {
  return end < 120 ? [1, "s"] : end < 7200 ? [60, "min"] : [3600, "h"];
}

/** Seconds by stage. */
export function timeChart({ seconds }: Metrics, width: number = WIDTH): Html {
  const bars = Object.entries(seconds.stages).map(([stage, spent]) => ({ stage, spent }));
  return draw(
    {
      width,
      height: 10 + bars.length * Math.max(26, Math.min(32, 190 / bars.length)),
      marginLeft: MARGIN_LEFT,
      marginTop: 4,
      marginBottom: 4,
      x: { axis: null, domain: [0, 1.3 * most(bars.map(({ spent }) => spent))] },
      y: { label: null, domain: bars.map(({ stage }) => stage), tickSize: 0 },
      marks: [
        Plot.barX(bars, { y: "stage", x: "spent", fill: "var(--accent)", insetTop: 3, insetBottom: 3 }),
        Plot.text(bars, { y: "stage", x: "spent", text: ({ spent }) => formatSeconds(spent), ...END_LABEL }),
      ],
    },
    "Time by stage",
    bars.map(({ stage, spent }) => `${stage}: ${formatSeconds(spent)}`).join("; "),
  );
}

/** Of charts that have a column for each block. */
export const BLOCK_AXIS = { label: "transformer block", labelOffset: 36, tickSize: 0 } as const;
const FACET_TITLE = { frameAnchor: "top-left", dy: -14, dx: -MARGIN_LEFT, fontWeight: "600" } as const;

/**
 * Some of the blocks, in round steps: as many as there is room for their numbers.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sparse } from "./charts.ts";
 *
 * const blocks = Array.from({ length: 32 }, (_, block) => block);
 * assert.deepEqual(sparse(blocks, 360), [0, 5, 10, 15, 20, 25, 30]);
 * assert.deepEqual(sparse([0, 1, 2], 360), [0, 1, 2]);
 * ```
 * @param width of the chart in pixels
 */
export function sparse(blocks: readonly number[], width: number): number[] {
  const least = blocks.length * 30 / width, unit = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const step = unit * ([1, 2, 5].find((each) => each * unit >= least) ?? 10);
  return blocks.filter((_, i) => i % step === 0);
}
