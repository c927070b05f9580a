/** Starting and stopping work, on pages of a server that may: buttons say what, and pages are shown what comes of it. */
import { onKey, replaceParts } from "./app.js";

const trouble = () => document.querySelector("[data-work-trouble]");

/** Asks the server for work, or to stop it. @returns the job, or undefined once the page has said why not */
export async function ask(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body ?? {}),
  }).catch(() => undefined);
  const said = await answer?.json().catch(() => undefined);
  const words = answer === undefined
    ? "The server does not answer: start it again"
    : answer.ok && said !== undefined
    ? undefined
    : said?.error ?? "The server does not answer as it should";
  const place = trouble();
  if (place !== null) {
    place.hidden = words === undefined;
    place.textContent = words ?? "";
  }
  return words === undefined ? said : undefined;
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Starts work and goes where it can be watched; work that waits is in the list of runs.
 *
 * @param tell shown what is going on
 */
export async function start(wanted, tell) {
  tell("Starting…");
  let job = await ask("/api/jobs", wanted);
  for (let looks = 0; job !== undefined; looks++) {
    if (job.run !== undefined) return location.assign(`/runs/${encodeURIComponent(job.run)}`);
    if (job.sweep !== undefined) return location.assign(`/sweeps/${encodeURIComponent(job.sweep)}`);
    // What it waits for may just be ending.
    if (job.state === "waiting" && looks > 20) return location.assign("/");
    if (job.state === "ended") {
      const place = trouble();
      place.textContent = job.log.at(-1) ?? job.words;
      place.hidden = false;
      break;
    }
    if (looks === 20) tell("Starting: reading the model and the texts…");
    await pause(looks < 20 ? 150 : 500);
    const answer = await fetch(`/api/jobs/${job.id}`).catch(() => undefined);
    if (answer?.ok) job = await answer.json();
  }
  tell("");
}

addEventListener("click", async ({ target }) => {
  const button = target.closest?.("button[data-stop], button[data-start]");
  if (button === null || button === undefined || button.disabled) return;
  button.disabled = true;
  if (button.dataset.start !== undefined) {
    const words = button.textContent;
    await start(JSON.parse(button.dataset.start), (text) => button.textContent = text === "" ? words : text);
    button.disabled = false;
    return;
  }
  const job = await ask(`/api/jobs/${button.dataset.stop}/stop`);
  button.disabled = false;
  if (job === undefined) return;
  if (job.state === "stopping") button.textContent = "Stop at once";
  else button.hidden = true;
  await refresh();
  await watch(job.id);
});

const watched = new Set();
/** Shows how a job ends that was asked to stop: what is killed writes no last word that others could follow. */
async function watch(id) {
  if (watched.has(id)) return;
  watched.add(id);
  for (let state = ""; state !== "ended";) {
    await pause(500);
    const answer = await fetch(`/api/jobs/${id}`).catch(() => undefined);
    if (!answer?.ok) return;
    ({ state } = await answer.json());
  }
  if (document.querySelector('[data-part="jobs"]') === null) location.reload();
  else await refresh();
}

/** Shows the list as it is now. */
async function refresh() {
  if (document.querySelector('[data-part="jobs"]') === null) return;
  const answer = await fetch("/parts/jobs").catch(() => undefined);
  if (answer?.ok) replaceParts(await answer.text());
}

setInterval(() => {
  if (document.hidden || document.querySelector('[data-part="jobs"][data-going="yes"]') === null) return;
  refresh();
}, 1500);

onKey("S", () => {
  const button = document.querySelector("button[data-stop]");
  if (button === null) return false;
  button.focus();
});
