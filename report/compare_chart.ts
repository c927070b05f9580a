/** Errors of blocks of several runs in one picture. */
import * as Plot from "@observablehq/plot";
import type { ComparedPlace } from "./compare_layers.ts";
import type { Html } from "./markup.ts";
import { formatNumber } from "./numbers.ts";
import { draw, most, partColour, WIDTH } from "./plot.ts";

/**
 * Mean error of each block, a line for each run.
 *
 * @param places of `compareLayers(…, "block")`; what is no block is left out
 * @param names of the runs
 * @param size `narrow`: for phones
 * @returns undefined where there are no two blocks with an error
 */
export function compareChart(
  places: readonly ComparedPlace[],
  names: readonly string[],
  size: "wide" | "narrow",
): Html | undefined {
  const points = places.flatMap(({ place, results }) =>
    /^\d+$/.test(place)
      ? results.flatMap(({ error }, run) => error === undefined ? [] : [{ block: Number(place), error, run }])
      : []
  );
  const blocks = [...new Set(points.map(({ block }) => block))];
  if (blocks.length < 2) return undefined;
  return draw(
    {
      ...(size === "wide" ? { width: 840, height: 300 } : { width: WIDTH, height: 260 }),
      ...{ marginLeft: 56, marginTop: 16, marginBottom: 46 },
      x: {
        ...{ label: "transformer block", labelAnchor: "center", labelArrow: "none", labelOffset: 40 },
        ...{
          domain: [Math.min(...blocks), Math.max(...blocks)],
          tickFormat: "d",
          ticks: Math.min(blocks.length, size === "wide" ? 12 : 6),
        },
      },
      y: { label: "error", domain: [0, 1.05 * most(points.map(({ error }) => error))], grid: true, labelArrow: "none" },
      marks: [
        Plot.line(points, {
          x: "block",
          y: "error",
          z: "run",
          stroke: ({ run }) => partColour(run),
          strokeWidth: 1.75,
        }),
        Plot.dot(points, {
          ...{ x: "block", y: "error", r: 2.5, fill: ({ run }) => partColour(run) },
          title: ({ block, error, run }) => `${names[run]}, block ${block}: ${formatNumber(error)}`,
        }),
        Plot.ruleY([0]),
      ],
      color: { type: "identity" },
    },
    `Error by block, ${size}`,
    names.map((name, run) =>
      `${name}: ${points.filter((point) => point.run === run).map(({ error }) => formatNumber(error)).join(", ")}`
    ).join("; "),
  );
}
