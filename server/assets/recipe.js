/** A recipe that is being written: checked while somebody types, completed, described, planned. */
import { onKey } from "./app.js";
import { Editor } from "./editor.js";
import { describe, suggest } from "./recipe_schema.js";
import { bytes, seconds } from "./words.js";
import { placeAt } from "./yaml_place.js";

const root = document.querySelector("[data-recipe]");
const part = (name) => root.querySelector(`[data-${name}]`);
const editor = new Editor(part("editor"));
const problems = part("problems"), verdict = part("verdict"), caretPart = part("caret");
const trouble = part("trouble"), planButton = part("plan"), revertButton = part("revert");
const { file, recipeRun } = root.dataset;
const original = editor.text;
const name = `pbs2p recipe ${file} ${recipeRun}`;
// Before anything is waited for: what is typed meanwhile is not overwritten.
const draft = sessionStorage.getItem(name);
if (draft !== null && draft !== original) editor.text = draft;

/** Milliseconds without a key after which a text is checked. */
const PAUSE = 250;

const schema = await (await fetch("/api/recipes/schema")).json();
/** Diagnostics with where they are in the text. */
let found = [];

const make = (name, properties = {}, children = []) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((each) => each !== undefined));
  return element;
};

/** The recipe as it is, as the server is asked. */
export function wanted() {
  return { ...(file === "" ? { run: recipeRun } : { file }), text: editor.text };
}

/** Asks the server. @returns what it answers, or what is wrong */
export async function ask(path, body, signal) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return undefined;
  });
  if (answer === undefined) return { error: "The server does not answer: start it again" };
  return await answer.json().catch(() => ({ error: "The server does not answer as it should" }));
}

/** Shows what went wrong; nothing where nothing did. */
export function complain(words) {
  trouble.hidden = words === undefined;
  trouble.textContent = words ?? "";
}

/** Where a diagnostic is: columns count characters, which may take two places of a text each. */
function spanOf({ line, column, endColumn, file }, lines, starts) {
  if (line === undefined || file !== undefined || line > lines.length) return undefined;
  const characters = [...lines[line - 1]], width = (count) => characters.slice(0, count).join("").length;
  const from = starts[line - 1] + width(column - 1), to = starts[line - 1] + width((endColumn ?? column + 1) - 1);
  return { from: Math.min(from, editor.text.length), to: Math.max(from, to) };
}

let checking;
async function check() {
  checking?.abort();
  const mine = checking = new AbortController(), { text } = editor;
  let answer;
  try {
    answer = await ask("/api/recipes/check", wanted(), mine.signal);
  } catch {
    // A later one is on its way.
    return;
  }
  if (mine !== checking || text !== editor.text) return;
  if (answer.error !== undefined) {
    verdict.textContent = answer.error;
    verdict.dataset.state = "bad";
    return;
  }
  const lines = text.split("\n"), starts = [];
  let at = 0;
  for (const line of lines) {
    starts.push(at);
    at += line.length + 1;
  }
  found = answer.diagnostics.map((each) => ({ ...each, span: spanOf(each, lines, starts) }));
  const marks = found.flatMap(({ span, severity }) =>
    span === undefined ? [] : [{ from: span.from, to: span.to === span.from ? span.from + 1 : span.to, severity }]
  );
  editor.mark(marks.sort((a, b) => a.from - b.from));
  problems.replaceChildren(...found.map(problemRow));
  const errors = found.filter(({ severity }) => severity === "error").length, warnings = found.length - errors;
  const counts = [[errors, "error"], [warnings, "warning"]].filter(([count]) => count > 0)
    .map(([count, word]) => `${count} ${word}${count === 1 ? "" : "s"}`);
  const sweep = answer.points === undefined ? "" : ` A sweep of ${answer.points} points.`;
  verdict.textContent = (counts.length === 0 ? "None: it can be run." : `${counts.join(", ")}.`) + sweep;
  verdict.dataset.state = errors > 0 ? "bad" : "";
  root.dataset.checked = errors > 0 ? "errors" : "well";
  const runIt = part("run-it");
  if (runIt !== null) runIt.disabled = errors > 0;
  sayCaret();
}

/** Lines that explain a diagnostic. */
function wordsOf({ found, allowed, suggestion, note }) {
  const lines = [["found", found], ["allowed", allowed], ["did you mean", suggestion], ["note", note]];
  return make(
    "dl",
    {},
    lines.filter(([, text]) => text !== undefined).flatMap(([label, text]) => [
      make("dt", { textContent: label }),
      make("dd", { textContent: text }),
    ]),
  );
}

function problemRow(problem) {
  const { severity, message, line, column, file, span } = problem;
  const where = line === undefined ? "" : file === undefined ? `line ${line}, ${column}` : `${file}:${line}:${column}`;
  const title = span === undefined
    ? make("strong", { textContent: message })
    : make("button", { type: "button", textContent: message, onclick: () => editor.go(span.from, span.to) });
  const row = make("li", {}, [
    title,
    make("span", { className: "soft", textContent: ` ${severity} ${where}` }),
    wordsOf(problem),
  ]);
  row.dataset.severity = severity;
  return row;
}

/** Says what is known of where the caret is: what is wrong there, and the key. */
function sayCaret(choice) {
  const { text, caret } = editor;
  const here = found.filter(({ span }) => span !== undefined && span.from <= caret && caret <= span.to);
  // To the end of the word, so that a key is told whole.
  const end = caret + /^[\w.-]*/.exec(text.slice(caret))[0].length;
  const place = placeAt(text, end);
  const path = place === undefined ? [] : place.kind === "key" ? [...place.path, place.prefix] : place.path;
  if (choice !== undefined && place?.kind === "key") path.splice(-1, 1, choice.label);
  while (path.at(-1) === "*" || path.at(-1) === "") path.pop();
  const known = describe(schema, path);
  const children = here.map((problem) =>
    make("div", { className: `message ${problem.severity === "error" ? "bad" : ""}` }, [
      make("p", { textContent: problem.message }),
      wordsOf(problem),
    ])
  );
  if (known !== undefined) {
    const facts = [known.type, known.standard === undefined ? "" : `default ${known.standard}`].filter((each) =>
      each !== ""
    );
    children.push(
      make("p", {}, [make("code", { textContent: path.join(".") })]),
      make("p", { textContent: known.description ?? "" }),
      make("p", { className: "soft", textContent: facts.join("; ") }),
    );
  }
  if (children.length === 0) {
    children.push(
      make("p", {
        className: "soft",
        textContent: path.length === 0 ? "No key here." : `Nothing is known of ${path.join(".")}.`,
      }),
    );
  }
  caretPart.replaceChildren(...children);
}

editor.complete = (offset, text) => {
  const place = placeAt(text, offset);
  return place === undefined ? [] : suggest(schema, place).map((each) => ({ ...each, from: place.from }));
};
editor.onCaret = sayCaret;
let timer;
editor.onChange = () => {
  clearTimeout(timer);
  timer = setTimeout(check, PAUSE);
  delete root.dataset.checked;
  revertButton.disabled = editor.text === original;
  // A tab that is loaded again goes on with what was written.
  if (editor.text === original) sessionStorage.removeItem(name);
  else sessionStorage.setItem(name, editor.text);
};

/** A row of a plan: steps that are alike. */
function ofSteps({ step, state, words, why, seconds: time }) {
  const waits = state === "run";
  return { what: step, state: waits ? "waiting" : state, words, time: waits ? time : undefined, why };
}

/** A row of a sweep's plan. */
function ofPoint({ label, state, run, rest, seconds: time, error }) {
  return {
    ...{ what: label, words: state, time: run > 0 ? time : undefined },
    state: state === "will run" ? "waiting" : error === undefined ? "cached" : "failed",
    why: error ?? `${run} to run, ${rest} shared, cached or not needed`,
  };
}

/** Shows what a run or sweep would do. */
async function plan() {
  if (planButton.disabled) return;
  planButton.disabled = true;
  part("plan-words").textContent = "Planning…";
  const answer = await ask("/api/recipes/plan", wanted());
  planButton.disabled = false;
  part("plan-words").textContent = "";
  complain(answer.error);
  part("plan-part").hidden = answer.error !== undefined;
  if (answer.error !== undefined) return;
  const { totals: { run, cached, seconds: time, memory, disk }, points, warnings, model, method, device } = answer;
  part("plan-costs").textContent = points !== undefined
    ? `${answer.words}.`
    : run === 0
    ? `All is cached (${cached} steps): nothing to do.`
    : `${run} steps to run, ${cached} cached: about ${seconds(time)}, ${bytes(memory)} of memory and ${
      bytes(disk)
    } of disk at the peak.`;
  part("plan-where").textContent = [model, method, device].filter((each) => each !== undefined).join(" · ");
  part("plan-warnings").hidden = warnings.length === 0;
  part("plan-warnings").replaceChildren(...warnings.map((text) => make("li", { textContent: text })));
  part("plan-head").textContent = points === undefined ? "Steps" : "Points";
  part("plan-why").textContent = points === undefined ? "Why" : "Steps";
  const rows = points === undefined ? answer.groups.map(ofSteps) : points.map(ofPoint);
  part("plan-rows").replaceChildren(...rows.map(({ what, state, words, time, why }) => {
    const badge = make("span", { className: "badge", textContent: words });
    badge.dataset.state = state;
    return make("tr", {}, [
      make("td", { className: "words", textContent: what }),
      make("td", { className: "words" }, [badge]),
      make("td", { textContent: time === undefined ? "–" : seconds(time) }),
      make("td", { className: "words wrap", textContent: why ?? "" }),
    ]);
  }));
  part("plan-part").scrollIntoView({ block: "nearest" });
}

const runButton = part("run-it");
/** Has the server run it, where it may. */
async function run() {
  if (runButton === null || runButton.disabled) return;
  runButton.disabled = true;
  const { start } = await import("./jobs.js");
  await start(wanted(), (words) => part("plan-words").textContent = words);
  runButton.disabled = root.dataset.checked === "errors";
}
runButton?.addEventListener("click", run);

planButton.addEventListener("click", plan);
root.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (event.shiftKey) run();
    else plan();
  }
  if (event.key === "F8") {
    const spans = found.flatMap(({ span }) => span ?? []).sort((a, b) => a.from - b.from);
    const next = spans.find(({ from }) => from > editor.caret) ?? spans[0];
    if (next !== undefined) editor.go(next.from);
    event.preventDefault();
  }
});
revertButton.addEventListener("click", () => {
  editor.text = original;
  editor.area.focus();
});
part("copy").addEventListener("click", async () => {
  // Only pages of this machine or over HTTPS may write the clipboard by themselves.
  await navigator.clipboard?.writeText(editor.text).then(
    () => verdict.textContent = "Copied.",
    () => editor.area.select(),
  );
});
onKey("i", () => editor.go(editor.caret));

editor.onChange();
clearTimeout(timer);
check();
