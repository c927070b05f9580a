/** What the cache keeps: by kind, by model, and for which runs. */
import { type Html, markup } from "../../report/markup.ts";
import { formatBytes, formatSeconds } from "../../report/numbers.ts";
import { datum } from "../../report/tables.ts";
import type { CacheDetail } from "../schemas.ts";
import { badge, layout, progressBar, STATE_WORDS } from "./layout.ts";

/** The page. @param cache undefined where there is none yet */
export function cachePage(cache: CacheDetail | undefined): string {
  return layout({
    ...{ title: "Cache", place: "cache", scripts: ["sorted.js"] },
    body: cache === undefined || cache.kinds.length === 0
      ? markup`<div class="title"><h1>Cache</h1></div><div class="empty"><p><strong>The cache is empty.</strong> A run fills it, and the next one that needs the same takes it from there:</p><pre tabindex="0">deno task run configs/quickstart.yaml</pre></div>`
      : content(cache),
  });
}

function content({ bytes, limit, downloads, kinds, models, runs, unused }: CacheDetail): Html {
  const artifacts = kinds.reduce((sum, { artifacts }) => sum + artifacts, 0);
  const seconds = kinds.reduce((sum, { seconds }) => sum + seconds, 0);
  const size = (value: number) => datum(value, formatBytes(value));
  const tiles = [
    ["Kept", size(bytes), markup`of ${size(limit)}${progressBar(bytes, limit, "Share of the limit")}`],
    [
      "Artifacts",
      datum(artifacts, artifacts.toLocaleString("en")),
      markup`${datum(seconds, formatSeconds(seconds))} to make all again`,
    ],
    ["Downloads", size(downloads), "models and texts; not counted above"],
    ["Without a run", size(unused), "of no run in the folder, or of one that did not keep keys"],
  ];
  return markup`<div class="title"><h1>Cache</h1><p class="soft"><code>deno task cache gc</code> shrinks it, <code>cache verify</code> checks it.</p><span class="actions"><a class="button" href="/api/cache">JSON</a></span></div>
<dl class="tiles">${
    tiles.map(([label, value, note]) => markup`<div><dt>${label}</dt><dd>${value}</dd><dd>${note}</dd></div>`)
  }</dl>
<section><h2>By kind</h2>${
    table(
      "Kinds",
      ["Stage", "Output"],
      ["Artifacts", "Size", "Time to make again", "Runs"],
      kinds.map((row) => [
        [row.stage, row.output],
        [
          [row.artifacts, row.artifacts.toLocaleString("en")],
          [row.bytes, formatBytes(row.bytes)],
          [row.seconds, formatSeconds(row.seconds)],
          [row.runs, row.runs === 0 ? "–" : `${row.runs}`],
        ],
      ]),
    )
  }</section>
<section><h2>By run</h2>${
    runs.length === 0 ? markup`<p class="soft">No run in the folder says which steps it has in the cache.</p>` : table(
      "Runs",
      ["Run", "State"],
      ["Size", "For it alone"],
      runs.map(({ id, run, state, bytes, alone }) => [
        [
          markup`<a href="/runs/${id}">${run}</a>`,
          badge(state, STATE_WORDS[state as keyof typeof STATE_WORDS] ?? state),
        ],
        [[bytes, formatBytes(bytes)], [alone, formatBytes(alone)]],
      ]),
    )
  }</section>
<section><h2>By model</h2>${
    table(
      "Models",
      ["Model"],
      ["Artifacts", "Size", "Time to make again"],
      models.map((row) => [
        [row.model],
        [[row.artifacts, row.artifacts.toLocaleString("en")], [row.bytes, formatBytes(row.bytes)], [
          row.seconds,
          formatSeconds(row.seconds),
        ]],
      ]),
    )
  }</section>`;
}

type Cells = readonly [readonly (string | Html)[], readonly (readonly [number, string])[]];

/** A table that can be sorted: first words, then numbers. */
function table(label: string, words: readonly string[], numbers: readonly string[], rows: readonly Cells[]): Html {
  const head = (text: string, kind: string) =>
    markup`<th scope="col" class="${kind}"><button type="button">${text}</button></th>`;
  return markup`<div class="scroll" role="region" aria-label="${label}" tabindex="0"><table class="list compact" data-sortable>
<thead><tr>${words.map((text) => head(text, "words"))}${numbers.map((text) => head(text, "number"))}</tr></thead>
<tbody>${
    rows.map(([texts, values]) =>
      markup`<tr>${texts.map((text) => markup`<td class="words">${text}</td>`)}${
        values.map(([value, text]) => markup`<td data-value="${value}">${text}</td>`)
      }</tr>\n`
    )
  }</tbody></table></div>`;
}
