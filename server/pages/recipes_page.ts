/** The recipes of configs/, and one of them, or of a run, being written: its text, what is wrong with it, what a run of it would do. */
import { type Html, markup } from "../../report/markup.ts";
import type { RecipeId } from "../recipe_desk.ts";
import type { RecipeList, RecipeSource } from "../recipe_schemas.ts";
import { type JobsShown, workWords } from "./job_parts.ts";
import { layout } from "./layout.ts";

const FOLDERS: Readonly<Record<string, string>> = {
  "": "Recipes",
  ablations: "Ablations",
  bases: "Bases, which others extend",
  methods: "Every method on one model",
  reference: "What tests compare with",
  sweeps: "Sweeps",
};

/** The list. */
export function recipesPage({ recipes }: RecipeList): string {
  const groups = Map.groupBy(recipes, ({ file }) => file.includes("/") ? file.slice(0, file.lastIndexOf("/")) : "");
  const row = ({ file, description, sweep }: RecipeList["recipes"][number]) =>
    markup`<tr data-text="${file} ${description ?? ""}"><td class="words"><a href="/recipes/edit?file=${
      encodeURIComponent(file)
    }">${file.slice(file.lastIndexOf("/") + 1)}</a>${
      sweep && markup` <span class="soft">sweep</span>`
    }</td><td class="words wrap">${description ?? ""}</td></tr>`;
  const part = (folder: string, list: RecipeList["recipes"]): Html => {
    const title = FOLDERS[folder] ?? folder;
    return markup`<section><h2>${title}</h2><div class="scroll" role="region" aria-label="${title}" tabindex="0"><table class="list recipes"><thead class="visually-hidden"><tr><th scope="col">Recipe</th><th scope="col">What it is</th></tr></thead><tbody>${
      list.map(row)
    }</tbody></table></div></section>`;
  };
  return layout({
    ...{ title: "Recipes", place: "recipes" },
    body:
      markup`<div class="title"><h1>Recipes</h1><p class="soft">of the folder <code>configs</code></p><span class="actions"><a class="button" href="/api/recipes">JSON</a></span></div>
${[...groups].map(([folder, list]) => part(folder, list))}`,
  });
}

const KEYS = [
  ["i", "go to the text"],
  ["Ctrl Space", "complete, in the text"],
  ["↑ ↓ Enter", "choose what completes"],
  ["F8", "go to the next problem"],
  ["Ctrl Enter", "plan"],
] as const;
const RUN_KEY = ["Ctrl Shift Enter", "run"] as const;

/** The editor. @param jobs where the server may start runs */
export function recipePage(source: RecipeSource, { file, run }: RecipeId, jobs?: JobsShown): string {
  const what = run === undefined
    ? markup`<p class="soft">${source.name}</p>`
    : markup`<p class="soft">as of run <a href="/runs/${run}">${source.name}</a></p>`;
  const title = file === undefined ? "Recipe" : file.slice(file.lastIndexOf("/") + 1);
  return layout({
    title,
    ...{ place: "recipes", scripts: ["recipe.js", ...(jobs ? ["jobs.js"] : [])] },
    keys: jobs ? [...KEYS, RUN_KEY] : KEYS,
    body: markup`<div data-recipe data-file="${file ?? ""}" data-recipe-run="${run ?? ""}">
<div class="title"><h1>${title}</h1>${what}<span class="actions"><button type="button" data-copy>Copy</button><button type="button" data-revert disabled>Revert</button></span></div>
<div class="workbench">
<div class="editor" data-editor>
<div class="gutter" aria-hidden="true" data-gutter></div>
<div class="sheet">
<pre class="paint" aria-hidden="true" data-paint></pre>
<textarea data-source aria-label="Text of the recipe" aria-describedby="caret-words" aria-autocomplete="list" aria-controls="completion" spellcheck="false" autocomplete="off" autocapitalize="off" wrap="off" rows="24">${
      // HTML drops the first line break.
      "\n" + source.text}</textarea>
<ul class="completion" id="completion" role="listbox" aria-label="Completions" data-completion hidden></ul>
</div>
</div>
<div class="beside">
<section class="caret" aria-label="At the caret"><h2>At the caret</h2><div id="caret-words" data-caret><p class="soft">The key at the caret is described here.</p></div></section>
<section aria-label="Problems"><h2>Problems</h2><p class="soft" role="status" data-verdict>Checking…</p><ol class="problems" data-problems></ol></section>
</div>
</div>
<p class="note">Ctrl-Space completes, Ctrl-Enter plans; Esc and then Tab leave the text. Nothing is saved: copy the text, or it stays in this tab.</p>
<div class="tools"><button type="button" class="main" data-plan>Plan <kbd>Ctrl</kbd> <kbd>Enter</kbd></button>${
      jobs && markup`<button type="button" data-run-it>Run <kbd>Ctrl</kbd> <kbd>Shift</kbd> <kbd>Enter</kbd></button>`
    }<span class="soft" role="status" data-plan-words></span></div>
${jobs && workWords}
<p class="message bad" role="alert" data-trouble hidden></p>
<section data-plan-part hidden><h2>Plan</h2><p data-plan-costs></p><p class="soft" data-plan-where></p><ul class="message" data-plan-warnings hidden></ul>
<div class="scroll" role="region" aria-label="Steps of the plan" tabindex="0"><table class="list"><thead><tr><th scope="col" class="words" data-plan-head>Steps</th><th scope="col" class="words">State</th><th scope="col">Time</th><th scope="col" class="words" data-plan-why>Why</th></tr></thead><tbody data-plan-rows></tbody></table></div></section>
</div>`,
  });
}
