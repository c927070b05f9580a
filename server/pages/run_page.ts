/** One run: what it does now, its steps, its result, its log and its recipe. Parts that change while it runs have names, and are fetched anew. */
import type { RunAnswer } from "../answers.ts";
import { type Content, type Html, markup } from "../../report/markup.ts";
import { formatBits, formatNumber, formatSeconds } from "../../report/numbers.ts";
import { describePlace } from "../../report/reasons.ts";
import { fold } from "../../report/page.ts";
import { resultTiles } from "../../report/report.ts";
import { chartsSoFar, runCharts, sayAllocation } from "../../report/run_charts.ts";
import {
  allocationTable,
  bitsTable,
  type Cell,
  datum,
  errorTable,
  perplexityTable,
  table,
} from "../../report/tables.ts";
import type { RecipeDetail, RunDetail } from "../schemas.ts";
import { type JobsShown, STOP_KEY, workButton, workWords } from "./job_parts.ts";
import { badge, layout, moment, progressBar, STATE_WORDS } from "./layout.ts";
import { recipeSection } from "./recipe_section.ts";

const KEYS = [
  ["1 … 5", "go to a section"],
  ["/", "filter steps"],
  ["← → ↑ ↓", "walk through the graph, when it has the focus"],
  ["j k", "next, previous step"],
] as const;

const SECTIONS = [["steps", "Steps"], ["result", "Result"], ["blocks", "Blocks"], ["log", "Log"], [
  "recipe",
  "Recipe",
]] as const;

/** The page. */
export function runPage(
  answer: RunAnswer,
  recipe: RecipeDetail | undefined,
  { report, packed, jobs }: { readonly report: boolean; readonly packed: boolean; readonly jobs?: JobsShown },
): string {
  const { detail: { summary, position, stages } } = answer;
  const lanes = stages.length;
  return layout({
    title: `${summary.recipe} · ${summary.model}`,
    ...{ place: "runs", scripts: ["run.js", ...(jobs ? ["jobs.js"] : [])], keys: jobs ? [...KEYS, STOP_KEY] : KEYS },
    body: markup`<div data-run="${summary.id}" data-position="${position}" data-over="${
      summary.outcome === "unfinished" ? "" : "yes"
    }">
<div class="title"><h1>${summary.recipe}</h1><p class="soft">${summary.run}</p><span class="actions">${
      // A point of a sweep is gone on with by its sweep.
      !summary.id.includes(":") && workButton(jobs, {
        again: { run: summary.id },
        going: summary.outcome === "unfinished",
        left: ["failed", "interrupted", "silent"].includes(summary.state) ||
          summary.state === "running" && jobs?.over === true,
      })}${packed && markup`<a class="button" href="/runs/${summary.id}/try">Try</a>`}${
      recipe !== undefined && recipe.recipe !== null &&
      markup`<a class="button" href="/recipes/edit?run=${encodeURIComponent(summary.id)}">Edit recipe</a>`
    }${
      report && markup`<a class="button" href="/runs/${summary.id}/report">Report</a>`
    }<a class="button" href="/api/runs/${summary.id}">JSON</a></span></div>
${jobs && workWords}
${headPart(answer.detail)}
<nav class="sections" aria-label="Sections">${SECTIONS.map(([id, text]) => markup`<a href="#${id}">${text}</a>`)}</nav>
<section id="steps"><h2>Steps</h2>
<div class="steps">
<div class="graph">
<div class="graph-scroll" role="application" aria-roledescription="graph of steps" aria-label="Steps by stage and block" aria-describedby="step-words" tabindex="0" data-graph style="--lanes: ${lanes}"><canvas aria-hidden="true"></canvas></div>
<p class="legend note" data-legend></p>
</div>
<aside class="step" aria-label="Selected step" data-step><p class="soft" id="step-words" role="status">Point at a step, or walk through them with the arrow keys.</p></aside>
</div>
${stagesPart(answer.detail)}
<details class="all-steps" data-all-steps><summary>All steps</summary>
<div class="tools"><input type="search" data-filter placeholder="Filter by step, state or reason" aria-label="Filter steps" autocomplete="off" spellcheck="false"><kbd class="hint" aria-hidden="true">/</kbd><span class="soft" role="status" data-count></span></div>
<div class="rows" role="region" aria-label="All steps" tabindex="0" data-rows><table class="list"><thead><tr><th class="words" scope="col">Step</th><th class="words" scope="col">State</th><th scope="col">Time</th><th scope="col" class="spare-1">Memory</th><th scope="col" class="spare-1">Written</th><th class="words spare-1" scope="col">Why it ran</th></tr></thead><tbody></tbody></table></div>
</details></section>
<section id="result"><h2>Result</h2>${resultPart(answer)}</section>
<section id="blocks"><h2>Blocks</h2>${blocksPart(answer)}</section>
<section id="log"><h2>Log</h2>
<div class="tools"><input type="search" data-log-filter placeholder="Filter the log" aria-label="Filter the log" autocomplete="off" spellcheck="false"><label class="soft"><input type="checkbox" data-follow checked> Follow</label></div>
<div class="log" role="log" aria-live="off" aria-label="Log" tabindex="0" data-log><div></div></div></section>
<section id="recipe"><h2>Recipe</h2>${recipeSection(recipe)}</section>
</div>`,
  });
}

/** The parts that change while a run goes on. */
export function runParts(answer: RunAnswer): string {
  return [headPart(answer.detail), stagesPart(answer.detail), resultPart(answer), blocksPart(answer)]
    .map(({ html }) => html).join("\n");
}

function part(name: string, content: Content): Html {
  return markup`<div data-part="${name}">${content}</div>`;
}

function headPart({ summary, warnings }: RunDetail): Html {
  const { state, progress: { done, total, left }, model, method, device, started, seconds, steps, error } = summary;
  const going = state === "running" || state === "silent";
  const what = going
    ? markup`${done} of ${total} steps${left !== undefined && markup`, about ${formatSeconds(left)} left`}`
    : markup`${formatSeconds(seconds)}, ${steps.run} steps run, ${steps.cached} from the cache`;
  return part(
    "head",
    markup`<p class="facts">${
      badge(state, STATE_WORDS[state])
    } <span>${what}</span> <span class="soft">${model} · ${method} · ${describePlace(device)} · ${
      moment(started)
    }</span></p>
${going && progressBar(done, total, "Steps done")}
${
      state === "silent" &&
      markup`<p class="message">The journal has said nothing for long: the run was probably killed. The same command goes on where it ended.</p>`
    }
${error !== undefined && markup`<p class="message bad">${error}</p>`}
${
      warnings.length > 0 &&
      markup`<details class="trouble"><summary>${warnings.length} ${
        warnings.length === 1 ? "warning" : "warnings"
      }</summary><ul>${warnings.slice(0, 100).map((text) => markup`<li>${text}</li>`)}</ul></details>`
    }`,
  );
}

function stagesPart({ stages }: RunDetail): Html {
  const row = ({ stage, total, cached, done, now, seconds, failed }: RunDetail["stages"][number]) => {
    const state = failed
      ? "failed"
      : now !== undefined
      ? "running"
      : done === total
      ? (cached === total ? "cached" : "done")
      : "waiting";
    return markup`<tr><th scope="row">${badge(state, stage)}</th><td>${done}/${total}</td><td class="bar-cell">${
      progressBar(done, total, `${stage}: steps done`)
    }</td><td>${cached > 0 ? `${cached} cached` : ""}</td><td>${
      seconds > 0 && datum(seconds, formatSeconds(seconds))
    }</td><td class="words now">${now ?? ""}</td></tr>`;
  };
  return part(
    "stages",
    markup`<div class="scroll" role="region" aria-label="Stages" tabindex="0"><table class="list stages">
<thead><tr><th scope="col" class="words">Stage</th><th scope="col">Steps</th><th scope="col"><span class="visually-hidden">Progress</span></th><th scope="col">Cached</th><th scope="col">Time</th><th scope="col" class="words">Now</th></tr></thead>
<tbody>${stages.map(row)}</tbody></table></div>`,
  );
}

function resultPart({ detail, gathered, metrics }: RunAnswer): Html {
  if (metrics !== undefined) {
    return part(
      "result",
      markup`${resultTiles(metrics)}
${runCharts(metrics, gathered)}
${fold("Numbers", markup`<div class="numbers">${perplexityTable(metrics, undefined)}${bitsTable(metrics)}</div>`)}`,
    );
  }
  const { perplexity } = gathered, charts = chartsSoFar(gathered);
  const measured = [...perplexity].map(([step, value]) =>
    [{ words: step }, datum(value, formatNumber(value))] as readonly Cell[]
  );
  const nothing = charts === undefined && measured.length === 0;
  return part(
    "result",
    markup`${
      nothing && markup`<p class="soft">${
        detail.summary.outcome === "unfinished"
          ? "Nothing is measured yet."
          : "The run ended before anything was measured."
      }</p>`
    }${charts}${measured.length > 0 && table("Perplexity so far", [{ words: "Step" }, "Perplexity"], measured)}`,
  );
}

function blocksPart({ detail: { blocks }, metrics }: RunAnswer): Html {
  if (blocks.length === 0) return part("blocks", markup`<p class="soft">Nothing is known of blocks yet.</p>`);
  const allocation = metrics?.allocation;
  const columns = [
    ["keep", metrics?.of === undefined ? "N" : `N of ${metrics.of}`, formatNumber],
    ["bits", "Bits", formatBits],
    ["error", "Error", formatNumber],
    ["redundancy", "Redundancy", formatNumber],
    ["seconds", "Time", formatSeconds],
  ] as const;
  const shown = columns.filter(([name]) => blocks.some((block) => block[name] !== undefined));
  const worst = Math.max(...blocks.map(({ error }) => error ?? 0));
  const cell = (value: number | undefined, format: (value: number) => string) =>
    value === undefined ? markup`<span class="none">–</span>` : datum(value, format(value));
  const rows = blocks.map((block) =>
    markup`<tr><th scope="row">${block.block}</th>${
      shown.map(([name, , format]) =>
        markup`<td${
          name === "error" && block.error !== undefined &&
          markup` class="shaded" style="--share: ${(100 * block.error / (worst || 1)).toFixed(1)}%"`
        }>${cell(block[name], format)}</td>`
      )
    }</tr>`
  );
  return part(
    "blocks",
    markup`<div class="rows" role="region" aria-label="Blocks" tabindex="0"><table class="list blocks">
<thead><tr><th scope="col">Block</th>${shown.map(([, head]) => markup`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${rows}</tbody></table></div>
${metrics !== undefined && metrics.layer_error.layers.length > 0 && fold("Error of every layer", errorTable(metrics))}${
      allocation !== undefined &&
      fold("Bits of every layer", markup`<p>${sayAllocation(allocation)}</p>${allocationTable(allocation)}`)
    }`,
  );
}
