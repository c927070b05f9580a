/** The charts of a run's report and of its page: which there are, and what is said of them. */
import {
  allocationChart,
  bitsChart,
  blockErrorChart,
  errorChart,
  keepChart,
  memoryChart,
  perplexityChart,
  redundancyChart,
  timeChart,
} from "./charts.ts";
import { chartGrid, type Figure } from "./chart_grid.ts";
import { divergenceFigures } from "./divergence_charts.ts";
import type { Gathered } from "./gather.ts";
import { sayHeldOut } from "./held_out.ts";
import { HELD_OUT, heldOutByBlockChart, heldOutByKindChart, pairErrors, SAMPLES } from "./held_out_chart.ts";
import { type Content, type Html, markup } from "./markup.ts";
import { componentsOf, type Metrics } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber } from "./numbers.ts";
import { partColour } from "./plot.ts";
import { datum } from "./tables.ts";
import { taskChart } from "./task_chart.ts";
import { sayTaskSpeed, taskSpeed } from "./task_speed.ts";

const REDUNDANCY_NOTE =
  "How alike a block's inputs and outputs are: blocks that change little keep fewer weights, or bits.";

/** All charts of a run that has ended, with their captions. */
export function runCharts(metrics: Metrics, gathered: Gathered): Html {
  const { perplexity, tasks, seconds } = metrics;
  const asked = sayTaskSpeed(taskSpeed(metrics, gathered.steps)).join(", ");
  return chartGrid([
    ...(Object.keys(perplexity).length === 0 ? [] : [{
      title: "Perplexity",
      chart: (width?: number) => perplexityChart(metrics, width),
      caption: "Lower is better. Measured on the decoded packed model.",
    }]),
    ...divergenceFigures(metrics),
    ...blockErrorFigures(metrics),
    ...(Object.keys(tasks).length === 0 ? [] : [{
      title: "Zero-shot accuracy",
      chart: (width?: number) => taskChart(metrics, width),
      caption: `In percent, with standard errors; higher is better.${asked && ` ${asked}.`}`,
    }]),
    bitsFigure(metrics),
    ...layerFigures(metrics),
    ...processFigures(gathered),
    ...(Object.keys(seconds.stages).length === 0 ? [] : [{
      title: "Time by stage",
      chart: (width?: number) => timeChart(metrics, width),
      caption: "Steps served from the cache took none.",
    }]),
  ]);
}

/** Charts of a run that goes on: what its events say so far. */
export function chartsSoFar(gathered: Gathered): Html | undefined {
  const { errors, bits } = gathered;
  const layers = [...errors].map(([name, error]) => ({ name, error }));
  const given = [...bits].map(([name, bits]) => ({ name, bits }));
  const mean = given.reduce((sum, { bits }) => sum + bits, 0) / Math.max(given.length, 1);
  const figures: Figure[] = [
    ...(layers.length === 0 ? [] : [{
      ...{ title: "Error per layer", gains: true },
      chart: (width?: number) => errorChart({ layer_error: { layers } }, width),
      caption: `The stronger the colour, the larger the error, of ${layers.length} layers so far.`,
    }]),
    ...(given.length === 0 ? [] : [{
      ...{ title: "Bits per layer", gains: true },
      chart: (width?: number) => allocationChart({ mean, layers: given, blocks: [] }, width),
      caption: `The stronger the colour, the more stored bits a weight; mean ${formatBits(mean)} over layers.`,
    }]),
    ...processFigures(gathered),
  ];
  return figures.length === 0 ? undefined : chartGrid(figures);
}

/** How errors grow from block to block, text by text. */
function blockErrorFigures({ perplexity }: Metrics): Figure[] {
  return Object.entries(perplexity).flatMap(([name, { block_errors: errors }]) =>
    errors === undefined
      ? []
      : [errorFigure(errors, `Error after each block${Object.keys(perplexity).length > 1 ? `, ${name}` : ""}`)]
  );
}

function errorFigure(errors: readonly number[], title: string): Figure {
  return {
    title,
    chart: (width) => blockErrorChart(errors, title, width),
    caption: "Of the hidden states, relative to the original model's: ‖H − H₀‖ ÷ ‖H₀‖ over tokens of the text.",
  };
}

function bitsFigure(metrics: Metrics): Figure {
  const caption = componentsOf(metrics).map(({ name, value }, place) =>
    swatch(markup`${name} ${datum(value, formatBits(value))}`, partColour(place))
  );
  return { title: "Bits per weight", chart: (width) => bitsChart(metrics, width), caption };
}

/** What is known of layers and blocks. */
function layerFigures({ allocation, keep = [], of, layer_error: errors }: Metrics): Figure[] {
  const figures: Figure[] = [];
  if (errors.layers.length > 0) {
    const sorted = errors.layers.map(({ error }) => error).toSorted((a, b) => a - b);
    const [low, high] = [sorted[0], sorted[sorted.length - 1]];
    const range = markup`${datum(low, formatNumber(low))} to ${datum(high, formatNumber(high))}`;
    figures.push({
      ...{ title: "Error per layer", gains: true, chart: (width) => errorChart({ layer_error: errors }, width) },
      caption: markup`The stronger the colour, the larger the error: ${range}.`,
    });
  }
  figures.push(...heldOutFigures(errors));
  if (allocation !== undefined) {
    figures.push({
      ...{ title: "Bits per layer", gains: true, chart: (width) => allocationChart(allocation, width) },
      caption: markup`The stronger the colour, the more stored bits a weight: ${rangeOf(allocation.layers)}.`,
    });
  }
  if (keep.length > 0 && of !== undefined) {
    figures.push({
      ...{ title: "Weights kept per block", gains: true, chart: (width) => keepChart(keep, of, width) },
      caption: markup`Of every ${datum(of, `${of}`)} consecutive weights.`,
    });
  }
  return figures;
}

/** Errors on the samples and held out: by block where there are some, and by kind of layer. */
function heldOutFigures(errors: Metrics["layer_error"]): Figure[] {
  const { mean, held_out: heldOut } = errors;
  const blocks = pairErrors(errors, "block"), kinds = pairErrors(errors, "kind");
  if (heldOut === undefined || kinds.length === 0) return [];
  const number = (value: number) => datum(value, formatNumber(value));
  const swatches = markup`${swatch(markup`on the samples, mean ${number(mean)}`, SAMPLES)} ${
    swatch(markup`held out, mean ${number(heldOut.mean)}`, HELD_OUT)
  }`;
  return [
    ...(blocks.length < 2 ? [] : [{
      ...{ title: "Held-out error by block", gains: true, caption: swatches },
      chart: (width?: number) => heldOutByBlockChart(blocks, width),
    }]),
    {
      title: "Held-out error by kind",
      chart: (width) => heldOutByKindChart(kinds, width),
      caption: markup`${blocks.length < 2 && markup`${swatches}<br>`}${sayHeldOut(errors)}`,
    },
  ];
}

/** What the journal alone says, whether the run has ended or not. */
function processFigures({ blocks, memory, began }: Gathered): Figure[] {
  const measured = blocks.flatMap(({ block, redundancy }) => redundancy === undefined ? [] : [{ block, redundancy }]);
  const most = memory.reduce((most, [, bytes]) => Math.max(most, bytes), 0);
  return [
    ...(measured.length === 0 ? [] : [{
      ...{ title: "Redundancy per block", gains: true, caption: REDUNDANCY_NOTE },
      chart: (width?: number) => redundancyChart(measured, width),
    }]),
    ...(memory.length < 2 ? [] : [{
      ...{ title: "Memory", gains: true },
      chart: (width?: number) => memoryChart(memory, began ?? memory[0][0], width),
      caption: `Of the process, at most ${formatBytes(most)} while steps ran.`,
    }]),
  ];
}

function swatch(words: Content, colour: string): Html {
  return markup`<span class="swatch" style="--swatch: ${colour}">${words}</span> `;
}

/** What bits layers were given, and what they were worth. */
export function sayAllocation({ mean, layers, check }: NonNullable<Metrics["allocation"]>): Html {
  const number = (value: number) => datum(value, formatNumber(value));
  return markup`Layers have ${rangeOf(layers)} stored bits a weight, mean ${datum(mean, formatBits(mean))}.${
    check !== undefined &&
    markup` ${
      check.kept ? "Kept" : "The same for all"
    }: on calibration windows held out the divergence from the original was ${
      number(check.allocated)
    } nats a token with the bits that were found, ${number(check.uniform)} with the same for all.`
  }`;
}

function rangeOf(layers: NonNullable<Metrics["allocation"]>["layers"]): Html {
  const bits = layers.map(({ bits }) => bits).toSorted((a, b) => a - b);
  const [low, high] = [bits[0], bits[bits.length - 1]];
  return markup`${datum(low, formatBits(low))} to ${datum(high, formatBits(high))}`;
}
