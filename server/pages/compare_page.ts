/** Runs side by side: what their recipes set differently, what came of it, and block by block. */
import { compareChart } from "../../report/compare_chart.ts";
import { type Content, type Html, markup } from "../../report/markup.ts";
import { formatBits, formatBytes, formatExactly, formatNumber, formatSeconds } from "../../report/numbers.ts";
import { figure, fold } from "../../report/page.ts";
import { partColour } from "../../report/plot.ts";
import type { Comparison } from "../schemas.ts";
import { badge, layout, moment, shortId, STATE_WORDS } from "./layout.ts";

const NONE = markup`<span class="none">–</span>`;

/** The page. */
export function comparePage(comparison: Comparison): string {
  const { runs } = comparison;
  const names = runs.map((_, place) => nameOf(place));
  return layout({
    ...{ title: "Compare", place: "runs" },
    body: runs.length < 2
      ? markup`<div class="title"><h1>Compare</h1></div><div class="empty"><p><strong>Fewer than two runs are chosen.</strong> Select some in the <a href="/">list of runs</a>: <kbd>x</kbd> selects, <kbd>c</kbd> compares.</p></div>`
      : markup`<div class="title"><h1>Compare ${runs.length} runs</h1><span class="actions"><a class="button" href="/api/compare?${
        runs.map(({ id }) => `run=${encodeURIComponent(id)}`).join("&")
      }">JSON</a></span></div>
${runTable(runs, names)}
<section><h2>Recipes</h2>${recipeTable(comparison, names)}</section>
<section><h2>Results</h2>${metricTables(comparison, names)}</section>
<section><h2>Block by block</h2>${places(comparison, names)}</section>`,
  });
}

/** a, b, …, z, aa, … */
function nameOf(place: number): string {
  const letter = String.fromCharCode(97 + place % 26);
  return place < 26 ? letter : nameOf(Math.floor(place / 26) - 1) + letter;
}

function swatch(name: string, place: number): Html {
  return markup`<span class="swatch" style="--swatch: ${partColour(place)}">${name}</span>`;
}

function scroll(label: string, content: Content): Html {
  return markup`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;
}

function runTable(runs: Comparison["runs"], names: readonly string[]): Html {
  const rows = runs.map(({ id, run, recipe, model, method, state, started }, place) =>
    markup`<tr><th scope="row">${
      swatch(names[place], place)
    }</th><td class="words"><a href="/runs/${id}" title="${run}">${recipe}</a>${
      shortId(run)
    }<span class="under">${model} · ${method}</span></td><td class="words spare-2">${model}</td><td class="words spare-2">${method}</td><td class="words">${
      badge(state, STATE_WORDS[state])
    }</td><td class="spare-1">${moment(started)}</td></tr>`
  );
  return scroll(
    "Runs",
    markup`<table class="list"><thead><tr><th scope="col" class="words"><span class="visually-hidden">Letter</span></th><th scope="col" class="words">Run</th><th scope="col" class="words spare-2">Model</th><th scope="col" class="words spare-2">Method</th><th scope="col" class="words">State</th><th scope="col" class="spare-1">Started</th></tr></thead><tbody>${rows}</tbody></table>`,
  );
}

function recipeTable({ recipe }: Comparison, names: readonly string[]): Html {
  if (recipe.length === 0) return markup`<p class="soft">The recipes are the same.</p>`;
  const text = (value: unknown) =>
    value === null
      ? NONE
      : markup`<code>${
        typeof value === "string" ? value : JSON.stringify(value).replaceAll(',"', ', "').replaceAll('":', '": ')
      }</code>`;
  return scroll(
    "Values that differ",
    markup`<table class="list differences"><thead><tr><th scope="col" class="words">Setting</th>${
      names.map((name, place) => markup`<th scope="col" class="words">${swatch(name, place)}</th>`)
    }</tr></thead><tbody>${
      recipe.map(({ field, values }) =>
        markup`<tr><th scope="row" class="words">${field}</th>${
          values.map((value) => markup`<td class="words wrap">${text(value)}</td>`)
        }</tr>`
      )
    }</tbody></table>`,
  );
}

function metricTables({ metrics }: Comparison, names: readonly string[]): Html {
  if (metrics.length === 0) return markup`<p class="soft">None of the runs left results.</p>`;
  const differ = metrics.filter(({ values }) => new Set(values).size > 1),
    same = metrics.filter(({ values }) => new Set(values).size <= 1);
  return markup`${differ.length > 0 && metricTable("Numbers that differ", differ, names)}${
    same.length > 0 &&
    fold(`${same.length} ${same.length === 1 ? "number is" : "numbers are"} the same`, sameTable(same))
  }`;
}

/** A number as its place in metrics.json wants it. */
function number(path: string, value: number): string {
  if (/(^|_)bytes(\.|$)/.test(path)) return formatBytes(value);
  return path.startsWith("seconds.") ? formatSeconds(value) : formatExactly(value);
}

function metricTable(label: string, rows: Comparison["metrics"], names: readonly string[]): Html {
  const cells = (path: string, values: readonly (number | null)[]) =>
    values.map((value, run) =>
      markup`<td>${value === null ? NONE : number(path, value)}</td>${
        run > 0 && markup`<td class="change">${change(value, values[0])}</td>`
      }`
    );
  return scroll(
    label,
    markup`<table class="list differences"><thead><tr><th scope="col" class="words">Number</th>${
      names.map((name, run) =>
        markup`<th scope="col">${swatch(name, run)}</th>${run > 0 && markup`<th scope="col">to ${names[0]}</th>`}`
      )
    }</tr></thead><tbody>${
      rows.map(({ path, values }) => markup`<tr><th scope="row" class="words">${path}</th>${cells(path, values)}</tr>`)
    }</tbody></table>`,
  );
}

function sameTable(rows: Comparison["metrics"]): Html {
  return scroll(
    "Numbers that are the same",
    markup`<table class="list differences"><thead><tr><th scope="col" class="words">Number</th><th scope="col">In all</th></tr></thead><tbody>${
      rows.map(({ path, values: [value] }) =>
        markup`<tr><th scope="row" class="words">${path}</th><td>${
          value === null ? NONE : number(path, value)
        }</td></tr>`
      )
    }</tbody></table>`,
  );
}

/** How far a number is from the first run's: in per cent, where these say something. */
function change(value: number | null | undefined, first: number | null | undefined): string {
  if (value === null || value === undefined || first === null || first === undefined || value === first) return "";
  const sign = value < first ? "−" : "+", by = Math.abs(value - first);
  const share = Math.abs(100 * by / first);
  return first === 0 || share >= 1000
    ? `${sign}${formatExactly(by)}`
    : `${sign}${share < 10 ? share.toFixed(1) : Math.round(share)} %`;
}

function places({ places, runs }: Comparison, names: readonly string[]): Html {
  if (places.length === 0) return markup`<p class="soft">None of the runs left errors of blocks.</p>`;
  const titles = runs.map(({ recipe }, place) => `${names[place]} (${recipe})`);
  const wide = compareChart(places, titles, "wide"), narrow = compareChart(places, titles, "narrow");
  const has = (name: "keep" | "bits", run: number) => places.some(({ results }) => results[run]?.[name] !== undefined);
  const columns = names.map((name, run) => ({ name, run, keep: has("keep", run), bits: has("bits", run) }));
  const entry = (value: number | undefined, format: (value: number) => string) =>
    value === undefined ? NONE : format(value);
  const head = columns.map(({ name, run, keep, bits }) =>
    markup`${keep && markup`<th scope="col">${name} N</th>`}${
      bits && markup`<th scope="col">${name} bits</th>`
    }<th scope="col">${swatch(`${name} error`, run)}</th>${run > 0 && markup`<th scope="col">to ${names[0]}</th>`}`
  );
  const rows = places.map(({ place, results }) =>
    markup`<tr><th scope="row">${place}</th>${
      columns.map(({ run, keep, bits }) => {
        const { keep: kept, bits: given, error } = results[run];
        return markup`${keep && markup`<td>${entry(kept, formatNumber)}</td>`}${
          bits && markup`<td>${entry(given, formatBits)}</td>`
        }<td>${entry(error, formatNumber)}</td>${
          run > 0 && markup`<td class="change">${change(error, results[0].error)}</td>`
        }`;
      })
    }</tr>`
  );
  return markup`${
    wide !== undefined && narrow !== undefined &&
    markup`<div class="charts full">${
      figure(
        "Error by block",
        markup`<div class="wide">${wide}</div><div class="narrow">${narrow}</div>`,
        columns.map(({ name, run }) => markup`${swatch(`${name} ${runs[run].recipe}`, run)} `),
      )
    }</div>`
  }${
    scroll(
      "Blocks",
      markup`<table class="list differences"><thead><tr><th scope="col">Block</th>${head}</tr></thead><tbody>${rows}</tbody></table>`,
    )
  }`;
}
