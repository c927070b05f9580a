/** One run: its graph, its steps and its log, as they are and as they come. */
import { calmly, listen, onKey, replaceParts } from "./app.js";
import { Graph } from "./graph.js";
import { Log } from "./log.js";
import { StepRows } from "./step_rows.js";
import { bytes, seconds } from "./words.js";

const root = document.querySelector("[data-run]");
const id = root.dataset.run, address = `/api/runs/${encodeURIComponent(id)}`;
const WORDS = {
  done: "run",
  cached: "cached",
  running: "running",
  failed: "failed",
  waiting: "waiting",
  skip: "not needed",
};

const graph = new Graph(root.querySelector("[data-graph]"));
const rows = new StepRows(root.querySelector("[data-all-steps]"), WORDS);
const log = new Log(root.querySelector("#log"));
const panel = root.querySelector("[data-step]");
const legend = root.querySelector("[data-legend]");
let steps = new Map(), selected;

graph.onSelect = choose;
rows.onSelect = (step) => graph.select(step);

function choose(step) {
  selected = step;
  rows.select(step);
  describe();
}

/** An element with text, and others in it. */
function make(name, { text, ...properties } = {}, children = []) {
  const element = Object.assign(document.createElement(name), properties);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** Writes what is known of the selected step beside the graph. */
function describe() {
  const step = steps.get(selected);
  if (step === undefined) return;
  const badge = make("span", { className: "badge", text: WORDS[step.state] });
  badge.dataset.state = step.state;
  const entries = [];
  const say = (what, text) =>
    text !== undefined && text !== "" && entries.push(make("dt", { text: what }), make("dd", { text }));
  say("why", step.because);
  say("time", step.seconds === undefined ? undefined : `${seconds(step.seconds)}, expected ${seconds(step.expected)}`);
  if (step.seconds === undefined && step.state !== "cached" && step.state !== "skip") {
    say("expected", seconds(step.expected));
  }
  say("now", step.state === "running" ? step.note : undefined);
  say("memory", step.memory === undefined ? undefined : bytes(step.memory));
  say("written", step.bytes === undefined ? undefined : bytes(step.bytes));
  say("error", step.error);
  const links = (what, ids) => {
    if (ids.length === 0) return;
    const few = ids.slice(0, 8).flatMap((each, i) => [
      ...(i > 0 ? [", "] : []),
      make("button", { type: "button", text: each, onclick: () => graph.select(each) }),
    ]);
    entries.push(
      make("dt", { text: what }),
      make("dd", {}, ids.length > 8 ? [...few, `, and ${ids.length - 8} more`] : few),
    );
  };
  links("takes", step.inputs ?? []);
  links("goes to", graph.usersOf(step.id));
  if (step.key !== undefined) {
    entries.push(make("dt", { text: "key" }), make("dd", { text: `${step.key.slice(0, 16)}…`, title: step.key }));
  }
  const words = make("p", { id: "step-words" }, [badge]);
  words.setAttribute("role", "status");
  panel.replaceChildren(make("h3", { text: step.id }), words, make("dl", {}, entries));
}

/** How many steps are in each state. */
function count() {
  const counts = new Map();
  for (const { state } of steps.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
  legend.replaceChildren(
    ...Object.entries(WORDS).filter(([state]) => counts.has(state)).map(([state, word]) => {
      const badge = make("span", { className: "badge", text: `${counts.get(state).toLocaleString("en")} ${word}` });
      badge.dataset.state = state;
      return badge;
    }),
  );
}

const redraw = calmly(() => {
  graph.draw();
  rows.draw();
  count();
  describe();
}, 100);

const refresh = calmly(async () => {
  const answer = await fetch(`/runs/${encodeURIComponent(id)}/parts`);
  if (answer.ok) replaceParts(await answer.text());
}, 900);

/** What an event changes of its step. */
function follow(event) {
  const step = steps.get(event.step);
  if (step === undefined) return;
  if (event.type === "step-started") Object.assign(step, { state: "running", began: event.at });
  if (event.type === "step-progress") step.note = event.note ?? `${event.done}/${event.total}`;
  if (event.type === "step-failed") Object.assign(step, { state: "failed", error: event.error.message });
  if (event.type === "step-finished") {
    Object.assign(step, { state: "done", seconds: event.seconds, bytes: event.bytes, memory: event.memory });
  }
}

async function load() {
  const answer = await fetch(`${address}/steps`);
  if (!answer.ok) return undefined;
  const { position, steps: list } = await answer.json();
  steps = new Map(list.map((step) => [step.id, step]));
  graph.show(list);
  rows.show(list);
  count();
  return position;
}

const position = await load();
log.open(address, position ?? Number(root.dataset.position));
if (root.dataset.over === "" && position !== undefined) {
  listen(`${address}/live`, position, {
    journal: (event) => {
      if (event.type === "run-started") return load();
      follow(event);
      log.add(event);
      redraw();
      refresh();
    },
    end: () => {
      root.dataset.over = "yes";
      redraw();
      // The report is there now.
      location.reload();
    },
  });
  // What is left, and whether there is still a sign of life.
  setInterval(() => root.dataset.over === "" && !document.hidden && refresh(), 5000);
}

for (const [i, link] of root.querySelectorAll(".sections a").entries()) onKey(`${i + 1}`, () => link.click());
onKey(["j", "ArrowDown"], (event) => event.key === "j" || event.target === rows.element ? rows.walk(1) : false);
onKey(["k", "ArrowUp"], (event) => event.key === "k" || event.target === rows.element ? rows.walk(-1) : false);
onKey("/", () => rows.focusFilter());

const links = new Map([...root.querySelectorAll(".sections a")].map((link) => [link.hash.slice(1), link]));
const seen = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
  const first = [...links.keys()].find((name) => seen.has(name));
  for (const [name, link] of links) {
    if (name === first) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}, { rootMargin: "-100px 0px -40% 0px" });
for (const section of root.querySelectorAll("section[id]")) watcher.observe(section);

root.addEventListener("change", (event) => {
  if (event.target.matches("[data-only-stated]")) {
    root.querySelector("table.recipe").classList.toggle("only", event.target.checked);
  }
});
