/** report.html: a run's result on one page, in one file, without scripts and without a request to anywhere. */
import type { RunEvent } from "../runner/events.ts";
import type { Expectations } from "./expectation.ts";
import { sayBits } from "./bits_note.ts";
import { gather } from "./gather.ts";
import { type Content, type Html, markup } from "./markup.ts";
import { type Metrics, totalError } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { fold, type Section, sectionsPage } from "./page.ts";
import { sayPropagation } from "./propagation.ts";
import { runCharts, sayAllocation } from "./run_charts.ts";
import {
  allocationTable,
  bitsTable,
  blockErrorTable,
  datum,
  divergenceDetails,
  divergenceTable,
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

const DIVERGENCE_NOTE =
  "KL divergence of the compressed model's next token from the original's, over so many of the tokens that perplexity is of: its mean with " +
  "the standard error, and what it stays below after a share of them. Δp is what the right token's probability has changed by.";

function divergenceSection(metrics: Metrics): Section {
  const details = divergenceDetails(metrics);
  return {
    title: "Divergence from the original",
    content: markup`<p>${DIVERGENCE_NOTE}</p>${divergenceTable(metrics)}${
      details.length > 0 && fold("Tokens by divergence, and along windows", details)
    }${fold("Hidden states after each block", blockErrorTable(metrics))}`,
  };
}

/**
 * Renders the report.
 *
 * @returns a complete HTML document
 */
export function renderReport(content: ReportContent): string {
  const { metrics, recipe, lock, events, environment } = content;
  const { allocation, steps: { run, cached } } = metrics;
  const troubles = warnings(events), steps = stepTable(events);
  const sections: (Section | false)[] = [
    { title: "Result", untitled: true, content: resultTiles(metrics) },
    troubles.length > 0 &&
    { title: "Warnings", content: markup`<ul>${troubles.map((text) => markup`<li>${text}</li>`)}</ul>` },
    { title: "Charts", content: runCharts(metrics, gather(events)) },
    Object.keys(metrics.perplexity).length > 0 &&
    { title: "Perplexity", short: true, content: perplexityTable(metrics, recipe.expect) },
    Object.values(metrics.perplexity).some(({ divergence }) => divergence !== undefined) && divergenceSection(metrics),
    Object.keys(metrics.tasks).length > 0 && { title: "Tasks", short: true, content: taskTable(metrics) },
    {
      ...{ title: "Bits per weight", tall: true },
      content: markup`<p>${sayBits(metrics)}</p>${bitsTable(metrics)}`,
    },
    allocation !== undefined && {
      title: "Bits by layer",
      short: true,
      content: markup`<p>${sayAllocation(allocation)}</p>${fold("Bits of every layer", allocationTable(allocation))}`,
    },
    { title: "Layers", short: true, content: layers(metrics) },
    {
      ...{ title: "Steps", short: true },
      content: markup`<p>${tally(run)} run, ${tally(cached)} from the cache.</p>${
        steps && fold("Every step, and why it ran", steps)
      }`,
    },
    {
      title: "Recipe and lock",
      short: true,
      content: fold("recipe.lock.yaml", markup`<pre tabindex="0">${lock}</pre>`),
    },
    {
      title: "Environment",
      content: table(
        "Environment",
        ["Part", { words: "Value" }],
        Object.entries(environment).map(([part, words]) => [part, { words }]),
      ),
    },
  ];
  return sectionsPage(
    `${metrics.model} · ${metrics.method} · ${metrics.run}`,
    header(content),
    sections.filter((section) => section !== false),
  );
}

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
  const { mean, layers } = metrics.layer_error, total = totalError(metrics);
  return markup`<p>${ERROR_NOTE} Mean ${datum(mean, formatNumber(mean))}, total ${
    datum(total, formatNumber(total))
  }, over ${layers.length} layers.</p>
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
