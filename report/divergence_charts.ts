/** How far a compressed model's next tokens are from the original's: over tokens, and over how much of a window it has seen. */
import * as Plot from "@observablehq/plot";
import type { Figure } from "./chart_grid.ts";
import type { Divergence } from "./divergence.ts";
import { type Html, markup } from "./markup.ts";
import type { Metrics } from "./metrics.ts";
import { formatNumber } from "./numbers.ts";
import { draw, most, WIDTH } from "./plot.ts";
import { datum } from "./tables.ts";

const FRAME = { height: 204, marginTop: 28, marginBottom: 42, marginLeft: 46 };
const X = { labelAnchor: "center", labelOffset: 34, labelArrow: "none" } as const;

/** Both charts of each text that was looked at; none of old runs, which kept neither. */
export function divergenceFigures({ perplexity }: Pick<Metrics, "perplexity">): Figure[] {
  const texts = Object.entries(perplexity), several = texts.length > 1;
  const number = (value: number) => datum(value, formatNumber(value));
  return texts.flatMap(([name, { divergence }]) => {
    if (divergence?.histogram === undefined || divergence.context === undefined) return [];
    const { histogram, context, kl } = divergence, of = several ? `, ${name}` : "";
    const [tokens, along] = [`KL divergence of tokens${of}`, `KL divergence by context${of}`];
    return [
      {
        title: tokens,
        chart: (width?: number) => histogramChart(histogram, tokens, width),
        caption: markup`From the original model, in nats: median ${number(kl.median)}, mean ${
          number(kl.mean)
        }, 99 % below ${number(kl.p99)}.`,
      },
      ...(context.length < 2 ? [] : [{
        title: along,
        chart: (width?: number) => contextChart(context, along, width),
        caption: "Mean in nats, by how many tokens of the window the models have seen.",
      }]),
    ];
  });
}

/** Tokens by how far they are from the original's, on a logarithmic axis. */
export function histogramChart(
  histogram: NonNullable<Divergence["histogram"]>,
  title: string,
  width: number = WIDTH,
): Html {
  const all = histogram.reduce((sum, { tokens }) => sum + tokens, 0);
  const step = histogram.length < 2 ? 10 ** 0.25 : histogram[1].below / histogram[0].below;
  const bars = histogram.map(({ below, tokens }) => ({ above: below / step, below, share: tokens / all }));
  return draw(
    {
      ...{ width, ...FRAME },
      x: {
        ...{ ...X, label: "nats", type: "log", domain: [bars[0].above, bars[bars.length - 1].below] },
        ticks: 6,
        tickFormat: (value: number) => value >= 0.001 ? `${value}` : value.toExponential(0).replace("-", "−"),
      },
      y: {
        ...{ label: "% of tokens", percent: true, labelArrow: "none", ticks: 4 },
        domain: [0, 100 * most(bars.map(({ share }) => share))],
      },
      marks: [
        Plot.ruleY([0]),
        Plot.rect(bars, {
          ...{ x1: "above", x2: "below", y1: 0, y2: "share", fill: "var(--accent)", insetLeft: 0.5, insetRight: 0.5 },
          title: ({ above, below, share }) =>
            `${formatNumber(above)} to ${formatNumber(below)}: ${(100 * share).toFixed(1)} %`,
        }),
      ],
    },
    title,
    bars.map(({ below, share }) => `below ${formatNumber(below)}: ${(100 * share).toFixed(1)} %`).join("; "),
  );
}

/** Mean divergence by how much of a window was seen. */
export function contextChart(context: NonNullable<Divergence["context"]>, title: string, width: number = WIDTH): Html {
  const say = ({ from, to }: typeof context[number]) => from === to ? `${from}` : `${from} to ${to}`;
  return draw(
    {
      ...{ width, ...FRAME },
      x: {
        ...{ ...X, label: "tokens seen", type: "log", base: 2 },
        ticks: context.map(({ from }) => from).filter((_, i) => i % Math.ceil(context.length / 8) === 0),
        tickFormat: (value: number) => `${value}`,
      },
      y: { label: "nats", domain: [0, most(context.map(({ kl }) => kl))], ticks: 5, labelArrow: "none", nice: true },
      marks: [
        Plot.ruleY([0]),
        Plot.line(context, { x: "from", y: "kl", stroke: "var(--accent)", strokeWidth: 1.5 }),
        Plot.dot(context, {
          ...{ x: "from", y: "kl", fill: "var(--accent)", r: 2.5 },
          title: (bucket) => `${say(bucket)} tokens: ${formatNumber(bucket.kl)}`,
        }),
      ],
    },
    title,
    context.map((bucket) => `${say(bucket)} tokens: ${formatNumber(bucket.kl)}`).join("; "),
  );
}
