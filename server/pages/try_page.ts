/** A prompt, and what a run's packed model makes of it beside what the original does. */
import { type Html, markup } from "../../report/markup.ts";
import { formatBits, formatBytes } from "../../report/numbers.ts";
import type { RunSummary } from "../schemas.ts";
import { LONGEST_PROMPT, MOST_TOKENS } from "../text_schemas.ts";
import type { Found, Side } from "../writers.ts";
import { layout } from "./layout.ts";

/** What the page shows. */
export interface TryParts {
  readonly summary: RunSummary;
  readonly packed: Found;
  readonly original: Found;
}

const KEYS = [["Ctrl Enter", "write, from the prompt"], ["s", "stop"], ["i", "go to the prompt"]] as const;

/** The page. */
export function tryPage({ summary, packed, original }: TryParts): string {
  const { id, run, recipe, result } = summary, able = "label" in packed || "label" in original;
  const bits = result === undefined ? "" : `${formatBits(result.stored)} bits a weight, ${formatBytes(result.bytes)}`;
  const setting = (name: string, label: string, value: number, more: Html) =>
    markup`<label>${label} <input type="number" name="${name}" value="${value}" required ${more}></label>`;
  return layout({
    title: `Try ${recipe}`,
    ...{ place: "runs", scripts: ["try.js"], keys: KEYS },
    body: markup`<div data-try="${id}">
<div class="title"><h1>Try ${recipe}</h1><p class="soft"><a href="/runs/${id}">${run}</a></p></div>
<form class="prompt" data-form>
<label for="prompt">Prompt</label>
<textarea id="prompt" name="prompt" rows="3" maxlength="${LONGEST_PROMPT}" autocomplete="off" spellcheck="false" aria-describedby="prompt-note">Once upon a time</textarea>
<p class="note" id="prompt-note">The models continue this text. Nothing of it is kept.</p>
<div class="tools settings">${setting("maxTokens", "Tokens", 96, markup`min="1" max="${MOST_TOKENS}" step="1"`)}${
      setting("temperature", "Temperature", 0, markup`min="0" max="100" step="any"`)
    }${
      setting("seed", "Seed", 0, markup`min="0" max="9007199254740991" step="1"`)
    }<span class="soft" data-greedy>At temperature 0 the likeliest token is taken, whatever the seed</span>
<span class="buttons"><button type="submit" class="main" data-write${
      !able && markup` disabled`
    }>Write <kbd>Ctrl</kbd> <kbd>Enter</kbd></button><button type="button" data-stop disabled>Stop</button></span></div>
<p class="message bad" role="alert" data-trouble hidden></p>
</form>
<p class="soft agreement" role="status" data-agreement></p>
<div class="answers">${answer("packed", "Packed", packed, bits)}${
      answer("original", "Original", original, "label" in original ? original.label : "")
    }</div>
</div>`,
  });
}

function answer(side: Side, title: string, found: Found, words: string): Html {
  return markup`<section class="answer" data-side="${side}" data-able="${
    "label" in found ? "yes" : ""
  }"><h2>${title} <span class="soft">${words}</span></h2>${
    "why" in found
      ? markup`<p class="message">${found.why}</p>`
      : markup`<p class="text" role="region" aria-label="${title}: text" tabindex="0" data-text></p>
<p class="facts soft" role="status" data-facts>Up to ${found.positions.toLocaleString("en")} tokens with the prompt</p>`
  }</section>`;
}
