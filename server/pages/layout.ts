/** What all pages share: the document, the bar at the top, the keys. Styles and scripts are files of their own, as the content policy wants. */
import { type Content, type Html, markup } from "../../report/markup.ts";
import type { RunSummary } from "../schemas.ts";

/** A page. */
export interface PageParts {
  readonly title: string;
  /** Which entry of the bar it belongs to. */
  readonly place?: "runs" | "recipes" | "cache";
  /** Scripts of the page itself, by name; `app.js` is on all. */
  readonly scripts?: readonly string[];
  /** What keys do here besides what they do everywhere. */
  readonly keys?: readonly (readonly [string, string])[];
  readonly body: Content;
}

const PLACES = [["runs", "/", "Runs"], ["recipes", "/recipes", "Recipes"], ["cache", "/cache", "Cache"]] as const;

const KEYS = [["g r", "runs"], ["g e", "recipes"], ["g c", "cache"], ["?", "show the keys"], [
  "Esc",
  "close, or leave a field",
]] as const;

/** A complete HTML document. */
export function layout({ title, place, scripts = [], keys = [], body }: PageParts): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · pbs2p</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/report.css">
<link rel="stylesheet" href="/assets/app.css">
${["app.js", ...scripts].map((name) => markup`<script type="module" src="/assets/${name}"></script>\n`)}</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="bar">
<a class="brand" href="/">pbs2p</a>
<nav aria-label="Pages">${
    PLACES.map(([name, href, text]) =>
      name === place ? markup`<a href="${href}" aria-current="page">${text}</a>` : markup`<a href="${href}">${text}</a>`
    )
  }<a href="/api/openapi.json">API</a></nav>
<span class="link-state" role="status" data-link hidden>not connected</span>
<button type="button" class="quiet" data-keys-button aria-haspopup="dialog">Keys <kbd>?</kbd></button>
</header>
<main id="main" tabindex="-1">
${body}
</main>
<dialog class="keys" data-keys aria-labelledby="keys-title">
<h2 id="keys-title">Keys</h2>
<dl>${
    [...keys, ...KEYS].map(([key, what]) =>
      markup`<div><dt>${key.split(" ").map((each) => markup`<kbd>${each}</kbd> `)}</dt><dd>${what}</dd></div>`
    )
  }</dl>
<form method="dialog"><button>Close</button></form>
</dialog>
</body>
</html>
`.html;
}

/** What a state is called. */
export const STATE_WORDS: Readonly<Record<RunSummary["state"], string>> = {
  finished: "finished",
  running: "running",
  failed: "failed",
  interrupted: "interrupted",
  silent: "no sign of life",
};

/** A state as a coloured dot and a word. */
export function badge(state: string, words: string = state): Html {
  return markup`<span class="badge" data-state="${state}"><span class="word">${words}</span></span>`;
}

/** A time; the browser shows it as its own. */
export function moment(at: number): Html {
  const iso = new Date(at).toISOString();
  return markup`<time datetime="${iso}">${iso.slice(0, 16).replace("T", " ")}</time>`;
}

/** How far something is, with words for those who do not see it. */
export function progressBar(done: number, total: number, label: string): Html {
  return markup`<progress max="${Math.max(total, 1)}" value="${done}" aria-label="${label}"></progress>`;
}

/** What tells a run from others of the same recipe: the chance in its name. */
export function shortId(run: string): Html {
  const chance = /^\d{8}-\d{9}-([0-9a-f]{6})-/.exec(run)?.[1];
  return chance === undefined ? markup`` : markup`<span class="id">${chance}</span>`;
}
