/** The list of runs and sweeps. */
import { countRunning } from "../../report/leaderboard_cells.ts";
import { datum } from "../../report/tables.ts";
import { type Content, type Html, markup } from "../../report/markup.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "../../report/numbers.ts";
import type { RunList, RunSummary } from "../schemas.ts";
import { jobsPart, type JobsShown, STOP_KEY, workWords } from "./job_parts.ts";
import { badge, layout, moment, progressBar, shortId, STATE_WORDS } from "./layout.ts";

const KEYS = [
  ["/", "filter"],
  ["j k", "next, previous run"],
  ["Enter", "open"],
  ["x", "select"],
  ["c", "compare what is selected"],
  ["s", "sort by the next column"],
] as const;

/** A column: what it says, and how it is read by who sorts. */
interface Column {
  readonly name: string;
  readonly head: string;
  readonly title?: string;
  readonly words?: boolean;
  /** Left out where there is no room. */
  readonly spare?: 1 | 2 | 3;
  readonly cell: (run: RunSummary) => Content;
  /** What is sorted by; missing: what the cell says. */
  readonly value?: (run: RunSummary) => number | string | undefined;
}

const COLUMNS: readonly Column[] = [
  {
    ...{ name: "state", head: "State", words: true },
    cell: ({ state }) => badge(state, STATE_WORDS[state]),
    value: ({ state }) => state,
  },
  {
    ...{ name: "run", head: "Run", words: true },
    cell: ({ id, run, recipe, model, method }) =>
      markup`<a href="/runs/${id}" title="${run}">${recipe}</a>${
        shortId(run)
      }<span class="under">${model} · ${method}</span>`,
    value: ({ recipe }) => recipe,
  },
  { name: "model", head: "Model", words: true, spare: 2, cell: ({ model }) => model },
  { name: "method", head: "Method", words: true, spare: 2, cell: ({ method }) => method },
  {
    ...{
      name: "perplexity",
      head: "Perplexity",
      title: "Of the compressed model, on the first text; the original's is below",
    },
    cell: ({ result }) => perplexityCell(result),
    value: ({ result }) => Object.values(result?.perplexity ?? {})[0]?.compressed ?? undefined,
  },
  {
    ...{ name: "stored", head: "Stored", title: "Stored bits per weight of the compressed layers", spare: 1 },
    ...numberOf(({ result }) => result?.stored, formatBits),
  },
  {
    ...{ name: "file", head: "File bits", title: "Bits per weight of the whole packed file" },
    ...numberOf(({ result }) => result?.file, formatBits),
  },
  {
    ...{ name: "size", head: "Size", title: "The packed file", spare: 2 },
    ...numberOf(({ result }) => result?.bytes, formatBytes),
  },
  {
    ...{ name: "error", head: "Layer error", title: "Relative error, mean over the layers", spare: 2 },
    ...numberOf(({ result }) => result?.layerError.mean, formatNumber),
  },
  {
    ...{ name: "steps", head: "Steps", spare: 1 },
    cell: (run) => stepsCell(run),
    value: ({ progress }) => progress.total,
  },
  {
    ...{ name: "time", head: "Time", spare: 1 },
    ...numberOf(({ seconds }) => seconds, formatSeconds),
  },
  {
    name: "started",
    head: "Started",
    cell: ({ started }) => moment(started),
    value: ({ started }) => started,
    spare: 1,
  },
];

function numberOf(
  value: (run: RunSummary) => number | undefined,
  format: (value: number) => string,
): Pick<Column, "cell" | "value"> {
  return {
    value,
    cell: (run) => {
      const found = value(run);
      return found === undefined ? markup`<span class="none">–</span>` : datum(found, format(found));
    },
  };
}

function perplexityCell(result: RunSummary["result"]): Content {
  const [first] = Object.entries(result?.perplexity ?? {});
  if (first === undefined) return markup`<span class="none">–</span>`;
  const [name, { original, compressed }] = first;
  const text = (value: number | null) => value === null ? "∞" : formatNumber(value);
  return markup`<span title="${name}: ${text(original)} before">${text(compressed)}</span>`;
}

/** How far a run is. */
export function stepsCell({ id, state, progress: { done, total, left }, steps }: RunSummary): Content {
  if (state !== "running") {
    return markup`<span title="${steps.run} run, ${steps.cached} cached">${done}/${total}</span>`;
  }
  return markup`<span class="inline-progress">${
    progressBar(done, total, `Steps of ${id} done`)
  } <span>${done}/${total}${left !== undefined && `, ${formatSeconds(left)} left`}</span></span>`;
}

/** A run's row. */
export function runRow(run: RunSummary): Html {
  const cells = COLUMNS.map((column) => {
    const { words = false, spare, cell, value } = column;
    const sorted = value?.(run);
    return markup`<td${classes(words, spare)}${value !== undefined && markup` data-value="${sorted ?? ""}"`}>${
      cell(run)
    }</td>`;
  });
  return markup`<tr data-id="${run.id}" data-state="${run.state}">
<td class="pick"><input type="checkbox" name="run" value="${run.id}" aria-label="Select ${run.recipe}, ${run.run}"></td>
${cells}</tr>
`;
}

function classes(words: boolean, spare: Column["spare"]): Html {
  const names = [...(words ? ["words"] : []), ...(spare === undefined ? [] : [`spare-${spare}`])];
  return names.length === 0 ? markup`` : markup` class="${names.join(" ")}"`;
}

/** The page. @param position of the list, to be told of changes from there on */
export function runsPage(
  { runs, sweeps, unread }: RunList,
  { position, jobs }: { readonly position: string; readonly jobs?: JobsShown },
): string {
  return layout({
    ...{
      title: "Runs",
      place: "runs",
      scripts: ["runs.js", ...(jobs ? ["jobs.js"] : [])],
      keys: jobs ? [...KEYS, STOP_KEY] : KEYS,
    },
    body: markup`<div class="title"><h1>Runs</h1></div>
${unread.length > 0 && troubles(unread)}
${jobs && markup`${workWords}${jobsPart(jobs.list)}`}
<form action="/compare" method="get" data-runs data-position="${position}">
<div class="tools">
<input type="search" name="" data-filter placeholder="Filter by name, model, method, state" aria-label="Filter runs" autocomplete="off" spellcheck="false"><kbd class="hint" aria-hidden="true">/</kbd>
<span class="soft" role="status" data-count>${count(runs.length)}</span>
<button data-compare>Compare</button>
</div>
<div class="scroll" role="region" aria-label="Runs" tabindex="0"${runs.length === 0 && markup` hidden`}>
<table class="list" data-sortable>
<thead><tr><th class="pick"><span class="visually-hidden">Select</span></th>${COLUMNS.map(heading)}</tr></thead>
<tbody>${runs.map(runRow)}</tbody>
</table></div>
</form>
<div class="empty" data-empty${runs.length > 0 && markup` hidden`}>
<p><strong>No runs yet.</strong> This one takes a minute, and appears here as it begins:</p>
<pre tabindex="0">deno task run configs/quickstart.yaml</pre>
</div>
${sweepsPart(sweeps)}`,
  });
}

function count(runs: number): string {
  return runs === 1 ? "1 run" : `${runs} runs`;
}

function heading({ name, head, title, words = false, spare }: Column): Html {
  return markup`<th scope="col"${classes(words, spare)}${
    name === "started" && markup` aria-sort="descending"`
  }><button type="button" data-sort="${name}"${title !== undefined && markup` title="${title}"`}>${head}</button></th>`;
}

/** The sweeps, which are fetched anew while the page is open. */
export function sweepsPart(sweeps: RunList["sweeps"]): Html {
  return markup`<div data-part="sweeps">${sweeps.length > 0 && sweepTable(sweeps)}</div>`;
}

function sweepTable(sweeps: RunList["sweeps"]): Html {
  const row = ({ sweep, name, started, seconds, points, running }: RunList["sweeps"][number]) => {
    const total = Object.values(points).reduce((a, b) => a + b);
    const others = Object.entries(countRunning(points, running.length)).filter(([, count]) => count > 0)
      .map(([state, count]) => badge(state, `${count} ${state}`));
    const spent = seconds + Math.max(0, ...running.map(({ seconds }) => seconds));
    return markup`<tr>
<td class="words"><a href="/sweeps/${sweep}" title="${sweep}">${name}</a></td>
<td>${points.finished}/${total}</td><td class="words">${others.length === 0 ? badge("finished") : others}${
      running.map((run) =>
        markup`<span class="below"><a href="/runs/${run.id}">${run.recipe}</a> ${stepsCell(run)}</span>`
      )
    }</td>
<td class="spare-1">${datum(spent, formatSeconds(spent))}</td><td class="spare-1">${moment(started)}</td></tr>\n`;
  };
  return markup`<section><h2>Sweeps</h2>
<div class="scroll" role="region" aria-label="Sweeps" tabindex="0"><table class="list compact">
<thead><tr><th scope="col" class="words">Sweep</th><th scope="col">Points</th><th scope="col" class="words">State</th><th scope="col" class="spare-1">Time</th><th scope="col" class="spare-1">Started</th></tr></thead>
<tbody>${sweeps.map(row)}</tbody></table></div></section>`;
}

function troubles(unread: RunList["unread"]): Html {
  return markup`<details class="trouble"><summary>${unread.length} ${
    unread.length === 1 ? "folder cannot" : "folders cannot"
  } be read</summary><ul>${unread.map(({ name, why }) => markup`<li>${name}: ${why}</li>`)}</ul></details>`;
}
