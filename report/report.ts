/** report.html: a run's result on one page, in one file, without scripts and without a request to anywhere. */
import type { RunEvent } from "../runner/events.ts";
import {
  allocationChart,
  bitsChart,
  errorChart,
  keepChart,
  memoryChart,
  perplexityChart,
  redundancyChart,
  timeChart,
} from "./charts.ts";
import type { Expectations } from "./expectation.ts";
import { gather, type Gathered } from "./gather.ts";
import { sayHeldOut } from "./held_out.ts";
import { type Content, type Html, markup } from "./markup.ts";
import { componentsOf, type Metrics, totalError } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { figure, fold, page, section } from "./page.ts";
import { partColour } from "./plot.ts";
import { sayPropagation } from "./propagation.ts";
import {
  bitsTable,
  datum,
  errorTable,
  heldOutTable,
  perplexityTable,
  propagationTable,
  stepTable,
  table,
  taskTable,
  warnings,
} from "./tables.ts";

/** What a report is made of. */
export interface ReportContent {
  readonly metrics: Metrics;
  /** What the recipe says of itself, and what it expects. */
  readonly recipe: { readonly name?: string; readonly description?: string; readonly expect?: Expectations };
  /** recipe.lock.yaml as written: the complete recipe and what was locked. */
  readonly lock: string;
  /** The run's journal. */
  readonly events: readonly RunEvent[];
  /** Versions and machine, by name; see `readEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Renders the report.
 *
 * @returns a complete HTML document
 */
export function renderReport(content: ReportContent): string {
  const { metrics, recipe, lock, events, environment } = content;
  const troubles = warnings(events);
  const steps = stepTable(events);
  return page(
    `${metrics.model} · ${metrics.method} · ${metrics.run}`,
    markup`${header(content)}
<main>
${resultTiles(metrics)}
${troubles.length > 0 && section("Warnings", markup`<ul>${troubles.map((text) => markup`<li>${text}</li>`)}</ul>`)}
<div class="charts">
${runCharts(metrics, gather(events))}</div>
${section("Perplexity", perplexityTable(metrics, recipe.expect))}
${Object.keys(metrics.tasks).length > 0 && section("Tasks", taskTable(metrics))}
${section("Bits per weight", markup`<p>${BITS_NOTE}</p>${bitsTable(metrics)}`)}
${section("Layers", layers(metrics))}
${
      section(
        "Steps",
        markup`<p>${tally(metrics.steps.run)} run, ${tally(metrics.steps.cached)} from the cache.</p>${
          steps && fold("Every step, and why it ran", steps)
        }`,
      )
    }
${section("Recipe and lock", fold("recipe.lock.yaml", markup`<pre tabindex="0">${lock}</pre>`))}
${
      section(
        "Environment",
        table(
          "Environment",
          ["Part", { words: "Value" }],
          Object.entries(environment).map(([part, words]) => [part, { words }]),
        ),
      )
    }
</main>`,
  );
}

const BITS_NOTE =
  "Stored bits are counted on the bytes of the packed file. The nominal number is the one that papers print for such a " +
  "setting; it leaves out where the kept weights are, the marks and the scales.";
const ERROR_NOTE =
  "Error is tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ), with Ŵ decoded from the packed file and H from the calibration inputs.";

const PROPAGATION_NOTE =
  "Weights move by a share p towards their outputs in the original model, each layer as far as one half of the calibration " +
  "said that it helps on the other.";

function header({ metrics: { method, device, model, run }, recipe, events }: ReportContent): Html {
  const started = events.find((event) => event.type === "run-started");
  const time = started === undefined ? "" : new Date(started.at).toISOString();
  return markup`<header>
<h1>${model}</h1>
<p class="soft">${
    recipe.name !== undefined && `${recipe.name}: `
  }compressed with ${method} on ${device.kind} (${device.name})${
    device.forward !== undefined && `, forward passes on ${device.forward.provider}`
  }${
    time !== "" && markup`, <time datetime="${time}">${time.slice(0, 16).replace("T", " ")} UTC</time>`
  }. Run ${run}.</p>
${recipe.description !== undefined && markup`<p>${recipe.description}</p>`}
</header>`;
}

function tally(count: number): Html {
  return datum(count, `${count}`);
}

function layers(metrics: Metrics): Html {
  const { mean, layers } = metrics.layer_error, total = totalError(metrics), heldOut = sayHeldOut(metrics.layer_error);
  return markup`<p>${ERROR_NOTE} Mean ${datum(mean, formatNumber(mean))}, total ${
    datum(total, formatNumber(total))
  }, over ${layers.length} layers.</p>
${heldOut !== undefined && markup`<p>${heldOut}</p>`}
${fold("Error of every layer", errorTable(metrics))}${heldOutErrors(metrics)}${propagation(metrics)}`;
}

function heldOutErrors({ layer_error: errors }: Metrics): Content {
  return errors.held_out === undefined
    ? ""
    : fold("Error of every layer on windows held out", heldOutTable(errors, errors.held_out));
}

function propagation({ propagation }: Metrics): Content {
  if (propagation === undefined) return "";
  return markup`<p>${PROPAGATION_NOTE} Here ${sayPropagation(propagation).join(", ")}.</p>
${fold("How far every layer moved", propagationTable(propagation))}`;
}

/** The numbers that say most. */
export function resultTiles({ perplexity, bits, bytes, seconds, peak_memory_bytes: memory, steps }: Metrics): Html {
  const bit = (value: number) => datum(value, formatBits(value));
  const size = (value: number) => datum(value, formatBytes(value));
  const number = (value: number) => datum(value, formatNumber(value));
  const tiles: [string, Content, Content][] = Object.entries(perplexity).slice(0, 1).map(
    (
      [name, { original, compressed }],
    ) => [`Perplexity, ${name}`, number(compressed), markup`original ${number(original)}`],
  );
  tiles.push(
    [
      "Stored bits per weight",
      bit(bits.stored.total),
      markup`nominal ${bit(bits.nominal)}, whole model ${bit(bits.model)}`,
    ],
    ["Packed file", size(bytes.packed), markup`original ${size(bytes.original)}`],
    [
      "Time",
      datum(seconds.total, formatSeconds(seconds.total)),
      markup`${tally(steps.run)} steps run, ${tally(steps.cached)} cached`,
    ],
    ["Peak memory", size(memory), "whole process"],
  );
  return markup`<dl class="tiles">
${tiles.map(([label, value, note]) => markup`<div><dt>${label}</dt><dd>${value}</dd><dd>${note}</dd></div>\n`)}</dl>`;
}

/** All charts of a run that has ended, with their captions. */
export function runCharts(metrics: Metrics, gathered: Gathered): Html[] {
  const { allocation, keep = [], of, layer_error: { layers }, perplexity, seconds } = metrics;
  const list: Html[] = [];
  if (Object.keys(perplexity).length > 0) {
    list.push(figure("Perplexity", perplexityChart(metrics), "Lower is better. Measured on the decoded packed model."));
  }
  const swatches = componentsOf(metrics).map(({ name, value }, place) =>
    markup`<span class="swatch" style="--swatch: ${partColour(place)}">${name} ${
      datum(value, formatBits(value))
    }</span> `
  );
  list.push(figure("Bits per weight", bitsChart(metrics), swatches));
  if (layers.length > 0) {
    const errors = layers.map(({ error }) => error).toSorted((a, b) => a - b);
    const [low, high] = [errors[0], errors[errors.length - 1]];
    const range = markup`${datum(low, formatNumber(low))} to ${datum(high, formatNumber(high))}`;
    list.push(
      figure("Error per layer", errorChart(metrics), markup`The stronger the colour, the larger the error: ${range}.`),
    );
  }
  if (keep.length > 0 && of !== undefined) {
    const caption = markup`Of every ${tally(of)} consecutive weights.`;
    list.push(figure("Weights kept per block", keepChart(keep, of), caption));
  }
  if (allocation !== undefined) list.push(figure("Bits per layer", allocationChart(allocation), given(allocation)));
  list.push(...processCharts(gathered));
  if (Object.keys(seconds.stages).length > 0) {
    list.push(figure("Time by stage", timeChart(metrics), "Steps served from the cache took none."));
  }
  return list;
}

/** Charts of what the journal alone says, whether the run has ended or not. */
export function processCharts({ blocks, memory, began }: Gathered): Html[] {
  const measured = blocks.flatMap(({ block, redundancy }) => redundancy === undefined ? [] : [{ block, redundancy }]);
  const most = memory.reduce((most, [, bytes]) => Math.max(most, bytes), 0);
  return [
    ...(measured.length === 0 ? [] : [figure("Redundancy per block", redundancyChart(measured), REDUNDANCY_NOTE)]),
    ...(memory.length < 2 ? [] : [
      figure(
        "Memory",
        memoryChart(memory, began ?? memory[0][0]),
        `Of the process, at most ${formatBytes(most)} while steps ran.`,
      ),
    ]),
  ];
}

const REDUNDANCY_NOTE =
  "How alike a block's inputs and outputs are: blocks that change little keep fewer weights, or bits.";

/** What the bits of layers come from, and what they were worth. */
function given({ mean, layers, check }: NonNullable<Metrics["allocation"]>): Html {
  const bits = layers.map(({ bits }) => bits).toSorted((a, b) => a - b);
  const bit = (value: number) => datum(value, formatBits(value)),
    number = (value: number) => datum(value, formatNumber(value));
  return markup`The stronger the colour, the more stored bits a weight: ${bit(bits[0])} to ${
    bit(bits[bits.length - 1])
  }, mean ${bit(mean)}.${
    check !== undefined &&
    markup` ${
      check.kept ? "Kept" : "The same for all"
    }: on calibration windows held out the divergence from the original was ${
      number(check.allocated)
    } nats a token with the bits that were found, ${number(check.uniform)} with the same for all.`
  }`;
}
