/** report.html: a run's result on one page, in one file, without scripts and without a request to anywhere. */
import type { RunEvent } from "../runner/events.ts";
import type { Recipe } from "../runner/schema.ts";
import { bitsChart, COMPONENT_COLOURS, errorChart, keepChart, perplexityChart, timeChart } from "./charts.ts";
import { type Content, type Html, html, trusted } from "./html.ts";
import type { Metrics } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import css from "./report.css" with { type: "text" };
import { bitsTable, datum, errorTable, perplexityTable, stepTable, taskTable, warnings } from "./tables.ts";

/** What a report is made of. */
export interface ReportContent {
  readonly metrics: Metrics;
  readonly recipe: Recipe;
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
export function renderReport({ metrics, recipe, lock, events, environment }: ReportContent): string {
  const { method, model, device, run } = metrics;
  const of = recipe.stages["coarse-search"].of;
  const groupSize = recipe.stages.spbo.group_size;
  const started = events.find((event) => event.type === "run-started");
  const steps = stepTable(events);
  const troubles = warnings(events);
  const page = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
        <link rel="icon" href="data:,">
        <title>${model} · ${method} · ${run}</title>
        <style>
    ${trusted(css)}</style>
      </head>
      <body>
        <header>
    <h1>${model}</h1>
    <p class="soft">${recipe.name !== undefined && `${recipe.name}: `}compressed with ${method} on ${device
      .kind} (${device.name})${started !== undefined &&
      html`, <time datetime="${new Date(started.at).toISOString()}">${
        new Date(started.at).toISOString().slice(0, 16).replace("T", " ")
      } UTC</time>`}. Run ${run}.</p>
    ${recipe.description !== undefined && html`<p>${recipe.description}</p>`}
        </header>
        <main>
    ${tiles(metrics)}
    ${troubles.length > 0 &&
      html`
        <section>
          <h2>Warnings</h2>
          <ul>${troubles.map((trouble) => html`<li>${trouble}</li>`)}</ul>
        </section>
      `}
    <div class="charts">
    ${charts(metrics, of)}
    </div>
    <section>
    <h2>Perplexity</h2>
    ${perplexityTable(metrics, recipe.expect)}
    </section>
    ${Object.keys(metrics.tasks).length > 0 && html`<section><h2>Tasks</h2>${taskTable(metrics)}</section>`}
    <section>
    <h2>Bits per weight</h2>
    <p>Stored bits are counted on the bytes of the packed file. The nominal number is the one that papers print for this setting; it
    leaves out where the kept weights are, the marks and the scales.</p>
    ${bitsTable(metrics, groupSize)}
    </section>
    <section>
    <h2>Layers</h2>
    <p>Error is tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ), with Ŵ decoded from the packed file and H from the calibration inputs.
    Mean ${datum(metrics.layer_error.mean, formatNumber(metrics.layer_error.mean))} over ${metrics.layer_error.layers
      .length} layers.</p>
    <details><summary>Error of every layer</summary>${errorTable(metrics)}</details>
    </section>
    ${steps !== undefined && html`
      <section>
        <h2>Steps</h2>
        <p>${datum(metrics.steps.run, `${metrics.steps.run}`)} run, ${datum(
          metrics.steps.cached,
          `${metrics.steps.cached}`,
        )} from the cache.</p>
        <details><summary>Every step, and why it ran</summary>${steps}</details>
      </section>
    `}
    <section>
    <h2>Recipe and lock</h2>
    <details><summary>recipe.lock.yaml</summary><pre tabindex="0">${lock}</pre></details>
    </section>
    <section>
    <h2>Environment</h2>
    <div class="scroll" role="region" aria-label="Environment" tabindex="0"><table><tbody>${Object.entries(environment)
      .map(([name, value]) =>
        html`
          <tr>
            <th scope="row">${name}</th>
            <td class="words">${value}</td>
          </tr>\\n
        `
      )}</tbody></table></div>
    </section>
        </main>
      </body>
    </html>
  `;
  return page.html;
}

function tiles({ perplexity, bits, bytes, seconds, peak_memory_bytes: memory, steps }: Metrics): Html {
  const first = Object.entries(perplexity)[0];
  const tile = (label: string, value: Content, note: Content) =>
    html`
      <div>
        <dt>${label}</dt>
        <dd>${value}</dd>
        <dd>${note}</dd>
      </div>\\n
    `;
  return html`<dl class="tiles">
${
    first !== undefined && tile(
      `Perplexity, ${first[0]}`,
      datum(first[1].compressed, formatNumber(first[1].compressed)),
      html`original ${datum(first[1].original, formatNumber(first[1].original))}`,
    )
  }${
    tile(
      "Stored bits per weight",
      datum(bits.stored.total, formatBits(bits.stored.total)),
      html`nominal ${datum(bits.nominal, formatBits(bits.nominal))}, whole model ${
        datum(bits.model, formatBits(bits.model))
      }`,
    )
  }${
    tile(
      "Packed file",
      datum(bytes.packed, formatBytes(bytes.packed)),
      html`original ${datum(bytes.original, formatBytes(bytes.original))}`,
    )
  }${
    tile(
      "Time",
      datum(seconds.total, formatSeconds(seconds.total)),
      html`${datum(steps.run, `${steps.run}`)} steps run, ${datum(steps.cached, `${steps.cached}`)} cached`,
    )
  }${tile("Peak memory", datum(memory, formatBytes(memory)), "whole process")}</dl>`;
}

function charts(metrics: Metrics, of: number): Html[] {
  const { bits, keep, layer_error: { layers }, seconds } = metrics;
  const errors = layers.map(({ error }) => error);
  const list: Html[] = [];
  if (Object.keys(metrics.perplexity).length > 0) {
    list.push(figure("Perplexity", perplexityChart(metrics), "Lower is better. Measured on the decoded packed model."));
  }
  const swatches = (["mask", "signs", "segments", "scales"] as const).map((component) =>
    html`
      <span class="swatch" style="--swatch: ${COMPONENT_COLOURS[component]}">${component} ${datum(
        bits.stored[component],
        formatBits(bits.stored[component]),
      )}</span>
    `
  );
  list.push(figure("Bits per weight", bitsChart(metrics), swatches));
  if (layers.length > 0) {
    const low = Math.min(...errors);
    const high = Math.max(...errors);
    list.push(figure(
      "Error per layer",
      errorChart(metrics),
      html`The stronger the colour, the larger the error: ${datum(low, formatNumber(low))} to ${
        datum(high, formatNumber(high))
      }.`,
    ));
  }
  if (keep.length > 0) {
    list.push(figure("Weights kept per block", keepChart(metrics, of), `Of every ${of} consecutive weights.`));
  }
  if (Object.keys(seconds.stages).length > 0) {
    list.push(figure("Time by stage", timeChart(metrics), "Steps served from the cache took none."));
  }
  return list;
}

function figure(title: string, chart: Html, caption: Content): Html {
  return html`<figure><h3>${title}</h3>${chart}<figcaption>${caption}</figcaption></figure>\n`;
}
