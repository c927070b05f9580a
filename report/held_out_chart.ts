/** Errors on the windows that were calibrated on and on windows held out, side by side: by block, and by kind of layer. */
import * as Plot from "@observablehq/plot";
import { BLOCK_AXIS, MARGIN_LEFT, MOST_COLUMNS, sparse } from "./charts.ts";
import { placeOf } from "./layer_names.ts";
import type { Html } from "./markup.ts";
import type { Metrics } from "./metrics.ts";
import { formatNumber } from "./numbers.ts";
import { draw, most, WIDTH } from "./plot.ts";

/** Mean errors of some layers. */
export interface ErrorPair {
  readonly name: string;
  readonly samples: number;
  readonly heldOut: number;
}

/** Colours of the two. */
export const SAMPLES = "var(--quiet)", HELD_OUT = "var(--accent)";

/**
 * Errors of layers in groups, unweighted means; layers outside blocks are a kind of their own.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { pairErrors } from "./held_out_chart.ts";
 *
 * const layers = (factor: number) => [["0.up", 1], ["0.down", 3], ["1.up", 5]].map(([name, error]) => ({
 *   ...{ name: `layers.${name}`, error: factor * Number(error) },
 * }));
 * const errors = { mean: 3, layers: layers(1), held_out: { mean: 6, layers: layers(2) } };
 * assert.deepEqual(pairErrors(errors, "block"), [{ name: "0", samples: 2, heldOut: 4 }, { name: "1", samples: 5, heldOut: 10 }]);
 * assert.deepEqual(pairErrors(errors, "kind").map(({ name, samples }) => [name, samples]), [["up", 3], ["down", 3]]);
 * ```
 */
export function pairErrors({ layers, held_out: heldOut }: Metrics["layer_error"], by: "block" | "kind"): ErrorPair[] {
  const apart = new Map(heldOut?.layers.map(({ name, error }) => [name, error]));
  const groups = new Map<string, { samples: number; heldOut: number; count: number }>();
  for (const { name, error } of layers) {
    const place = placeOf(name), other = apart.get(name);
    const key = by === "block" ? place?.block : place?.kind ?? name;
    if (other === undefined || key === undefined) continue;
    const { samples, heldOut, count } = groups.get(`${key}`) ?? { samples: 0, heldOut: 0, count: 0 };
    groups.set(`${key}`, { samples: samples + error, heldOut: heldOut + other, count: count + 1 });
  }
  return [...groups].map(([name, { samples, heldOut, count }]) => ({
    name,
    samples: samples / count,
    heldOut: heldOut / count,
  }));
}

/** Two bars for each block. */
export function heldOutByBlockChart(pairs: readonly ErrorPair[], width: number = WIDTH): Html {
  const every = Math.ceil(pairs.length / MOST_COLUMNS);
  const drawn = pairs.filter((_, i) => i % every === 0).map((pair) => ({ ...pair, block: Number(pair.name) }));
  const blocks = drawn.map(({ block }) => block);
  const marginLeft = 48, marginRight = 20, padding = 0.2;
  const half = (width - marginLeft - marginRight) / drawn.length * (1 - padding) / 2;
  const bar = (value: "samples" | "heldOut", options: Plot.BarYOptions) =>
    Plot.barY(drawn, { x: "block", y: value, title: describe, ...options });
  return draw(
    {
      ...{ width, height: 204, marginTop: 28, marginBottom: 42, marginLeft, marginRight },
      x: { ...BLOCK_AXIS, domain: blocks, ticks: sparse(blocks, width), padding },
      y: { label: "error", domain: [0, 1.05 * most(drawn.flatMap(both))], ticks: 5, labelArrow: "none", grid: true },
      marks: [
        bar("samples", { fill: SAMPLES, insetRight: half }),
        bar("heldOut", { fill: HELD_OUT, insetLeft: half }),
        Plot.ruleY([0]),
      ],
    },
    "Held-out error by block",
    pairs.map((pair) => `block ${describe(pair)}`).join("; "),
  );
}

/** Two bars for each kind of layer. */
export function heldOutByKindChart(pairs: readonly ErrorPair[], width: number = WIDTH): Html {
  const row = 25, half = row * 0.4;
  const bar = (value: "samples" | "heldOut", options: Plot.BarXOptions) =>
    Plot.barX(pairs, { x: value, y: "name", title: describe, ...options });
  return draw(
    {
      ...{ width, height: 46 + pairs.length * row, marginLeft: MARGIN_LEFT, marginTop: 4, marginBottom: 42 },
      x: {
        ...{ label: "mean error", labelOffset: 36, labelAnchor: "center", labelArrow: "none", grid: true },
        ...{ domain: [0, 1.05 * most(pairs.flatMap(both))], ticks: width / 80 },
      },
      y: { label: null, domain: pairs.map(({ name }) => name), tickSize: 0, padding: 0.2 },
      marks: [
        bar("samples", { fill: SAMPLES, insetBottom: half }),
        bar("heldOut", { fill: HELD_OUT, insetTop: half }),
        Plot.ruleX([0]),
      ],
    },
    "Held-out error by kind",
    pairs.map(describe).join("; "),
  );
}

function both({ samples, heldOut }: ErrorPair): number[] {
  return [samples, heldOut];
}

function describe({ name, samples, heldOut }: ErrorPair): string {
  return `${name}: ${formatNumber(samples)} on the samples, ${formatNumber(heldOut)} held out`;
}
