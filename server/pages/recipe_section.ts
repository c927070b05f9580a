/** A run's recipe, each value with the place where it is stated, and its lock. */
import { stringify } from "yaml";
import { type Html, markup } from "../../report/markup.ts";
import { fold } from "../../report/page.ts";
import type { RecipeDetail } from "../schemas.ts";

interface Line {
  readonly depth: number;
  readonly key: string;
  /** Missing where what follows is inside. */
  readonly value?: string;
  readonly path: string;
}

/** The section's content. */
export function recipeSection(detail: RecipeDetail | undefined): Html {
  if (detail === undefined || detail.recipe === null) {
    return markup`<p class="soft">The run ended before it wrote its recipe.</p>`;
  }
  const { recipe, origins, lock } = detail;
  const known = Object.keys(origins).length > 0;
  const lines = [...linesOf(recipe)];
  const defaults = lines.filter(({ path }) => origins[path] === "default").length;
  return markup`${
    known
      ? markup`<p class="note"><label><input type="checkbox" data-only-stated> Only what is stated: ${
        lines.length - defaults
      } of ${lines.length}</label></p>`
      : markup`<p class="note">Runs of older versions did not keep where values are stated.</p>`
  }
<div class="rows" role="region" aria-label="Recipe" tabindex="0"><table class="list recipe">
<thead><tr><th scope="col" class="words">Setting</th><th scope="col" class="words">Value</th>${
    known && markup`<th scope="col" class="words">Stated in</th>`
  }</tr></thead>
<tbody>${lines.map((line) => row(line, known ? origins[line.path] : undefined, known))}</tbody></table></div>
${lock !== null && fold("Lock", markup`<pre tabindex="0">${stringify(lock, { lineWidth: 120 })}</pre>`)}`;
}

function row(
  { depth, key, value, path }: Line,
  origin: RecipeDetail["origins"][string] | undefined,
  known: boolean,
): Html {
  const from = origin === undefined ? "" : typeof origin === "string" ? origin : `${origin.file}:${origin.line}`;
  return markup`<tr${
    from === "default" && markup` data-default`
  }><th scope="row" class="words" style="--depth: ${depth}" title="${path}">${key}</th><td class="words value">${
    value ?? ""
  }</td>${known && markup`<td class="words from">${from}</td>`}</tr>\n`;
}

function* linesOf(value: unknown, path: readonly string[] = []): Generator<Line> {
  const depth = path.length - 1, key = path[path.length - 1] ?? "";
  const flat = !isTree(value) || Object.keys(value).length === 0 || isShortList(value);
  if (path.length > 0) yield { depth, key, path: path.join("."), ...(flat ? { value: textOf(value) } : {}) };
  if (flat || !isTree(value)) return;
  for (const [name, inner] of Object.entries(value)) yield* linesOf(inner, [...path, name]);
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isShortList(value: unknown): boolean {
  return Array.isArray(value) && value.every((each) => !isTree(each));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
