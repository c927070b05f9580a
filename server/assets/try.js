/** A prompt continued by two models at once, as their tokens come. */
import { onKey } from "./app.js";
import { seconds } from "./words.js";

const root = document.querySelector("[data-try]");
const form = root.querySelector("[data-form]"), prompt = form.elements.prompt;
const writeButton = form.querySelector("[data-write]"), stopButton = form.querySelector("[data-stop]");
const trouble = form.querySelector("[data-trouble]"), agreement = root.querySelector("[data-agreement]");
const sides = [...root.querySelectorAll("[data-side][data-able=yes]")];
const ENDS = {
  end: "the model ended it",
  limit: "ended at the limit",
  positions: "the model has no more positions",
  stopped: "stopped",
};

let stop;

/** What was written on each side, for comparison. */
const texts = new Map();

/** The line below a text. */
function say(side, words, state = "") {
  const facts = side.querySelector("[data-facts]");
  facts.textContent = words;
  side.dataset.state = state;
}

/** Lines of a stream of JSON. */
async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

/** Lets one model write. */
async function write(side, wanted, signal) {
  const name = side.dataset.side, text = side.querySelector("[data-text]");
  const given = document.createElement("span"), made = document.createElement("span");
  given.className = "given";
  given.textContent = wanted.prompt;
  text.replaceChildren(given, made);
  texts.set(name, "");
  say(side, "Reading the weights…", "writing");
  const began = performance.now();
  let pieces = 0, first, ended = false;
  try {
    const answer = await fetch(`/api/runs/${encodeURIComponent(root.dataset.try)}/${name}/text`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wanted),
      signal,
    });
    if (!answer.ok) return say(side, (await answer.json()).error, "failed");
    for await (const event of linesOf(answer.body)) {
      if (event.type === "text") {
        pieces++;
        first ??= performance.now();
        const near = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
        made.append(event.text);
        if (near) text.scrollTop = text.scrollHeight;
        texts.set(name, texts.get(name) + event.text);
        const rate = pieces > 1 ? `, ${((pieces - 1) / ((performance.now() - first) / 1000)).toFixed(1)} a second` : "";
        // What is read aloud is told at the end alone.
        if (pieces % 8 === 1) say(side, `${pieces} tokens${rate}`, "writing");
      } else if (event.type === "end") {
        ended = true;
        const { tokens, rate, first, why } = event;
        const parts = [
          `${tokens} ${tokens === 1 ? "token" : "tokens"} in ${seconds(event.seconds)}`,
          ...(first === undefined ? [] : [`first after ${seconds(first)}`]),
          ...(rate === undefined ? [] : [`then ${rate < 100 ? rate.toFixed(1) : Math.round(rate)} a second`]),
          ENDS[why],
        ];
        say(side, parts.join(", "), "done");
      } else if (event.type === "error") {
        ended = true;
        say(side, event.error, "failed");
      }
    }
    if (!ended) say(side, "The server ended before the text did", "failed");
  } catch (error) {
    if (error.name === "AbortError") {
      say(side, `${pieces} tokens in ${seconds((performance.now() - began) / 1000)}, stopped`, "done");
    } else say(side, "The server does not answer: start it again, then write again", "failed");
  }
}

/** How long two texts are the same, and marks where they part. */
function compare() {
  const [a, b] = [texts.get("packed"), texts.get("original")];
  if (a === undefined || b === undefined || a === "" || b === "") return;
  const [first, second] = [a, b].map((text) => [...text]);
  let same = 0;
  while (same < first.length && same < second.length && first[same] === second[same]) same++;
  const all = same === first.length && same === second.length;
  for (const side of sides) {
    const text = [...texts.get(side.dataset.side)], made = side.querySelector("[data-text] span:last-child");
    const shared = document.createElement("span");
    shared.className = "shared";
    shared.textContent = text.slice(0, same).join("");
    made.replaceChildren(shared, text.slice(same).join(""));
  }
  agreement.textContent = all
    ? "Both wrote the same."
    : same === 0
    ? "They part at once."
    : `They are the same for ${same.toLocaleString("en")} of ${
      first.length.toLocaleString("en")
    } characters, underlined, and part there.`;
}

async function writeAll() {
  if (stop !== undefined || !form.reportValidity()) return;
  const { maxTokens, temperature, seed } = form.elements;
  const wanted = {
    prompt: prompt.value,
    maxTokens: Number(maxTokens.value),
    temperature: Number(temperature.value),
    seed: Number(seed.value),
  };
  stop = new AbortController();
  texts.clear();
  agreement.textContent = "";
  trouble.hidden = true;
  // The focus stays on a button that is there.
  const focused = document.activeElement === writeButton;
  stopButton.disabled = false;
  if (focused) stopButton.focus();
  writeButton.disabled = true;
  await Promise.all(sides.map((side) => write(side, wanted, stop.signal)));
  stop = undefined;
  const held = document.activeElement === stopButton;
  writeButton.disabled = false;
  if (held) writeButton.focus();
  stopButton.disabled = true;
  compare();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  writeAll();
});
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  writeAll();
});
stopButton.addEventListener("click", () => stop?.abort());
onKey("s", () => stop === undefined ? false : stop.abort());
onKey("i", () => prompt.focus());
form.elements.temperature.addEventListener("input", () => {
  root.querySelector("[data-greedy]").hidden = Number(form.elements.temperature.value) !== 0;
});
