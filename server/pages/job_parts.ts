/** Buttons that start, stop and go on with work, and the list of what was asked for: on pages of a server that may start runs. */
import { type Content, type Html, markup } from "../../report/markup.ts";
import type { JobAnswer } from "../job_schemas.ts";
import { badge } from "./layout.ts";

/** What a page knows of jobs; undefined where the server starts nothing. */
export interface JobsShown {
  readonly list: readonly JobAnswer[];
  /** Whether what the page shows was made here and is over, although it may not say so itself. */
  readonly over: boolean;
  /** The job that makes what the page shows, while it does. */
  readonly making?: JobAnswer;
}

/** A key of pages with a button that stops something. */
export const STOP_KEY = ["S", "go to what can be stopped"] as const;

/** How a job is coloured, and what its state is called: as those of runs are. */
function stateOf({ state, exit }: JobAnswer): readonly [state: string, word: string] {
  if (state === "stopping") return ["running", state];
  if (state !== "ended") return [state, state];
  const outcome = exit === 0 || exit === 7 || exit === 8
    ? "finished"
    : exit === 130 || exit === 137
    ? "interrupted"
    : "failed";
  return [outcome, outcome];
}

/** A button that stops the job which makes what a page shows, or starts it again where it did not end well. */
export function workButton(
  jobs: JobsShown | undefined,
  { again, going, left }: {
    readonly again: Readonly<Record<string, string>>;
    /** Whether it goes on, as far as its journal says: the command that has said its last word may take a moment more to end. */
    readonly going: boolean;
    /** Whether something is left to be done. */
    readonly left: boolean;
  },
): Content {
  if (jobs === undefined) return "";
  if (jobs.making !== undefined && going) {
    return markup`<button type="button" data-stop="${jobs.making.id}">${
      jobs.making.state === "stopping" ? "Stop at once" : "Stop"
    }</button>`;
  }
  return left && markup`<button type="button" data-start="${JSON.stringify(again)}">Go on</button>`;
}

/** Where a page says what came of starting and stopping. */
export const workWords: Html = markup`<p class="message bad" role="alert" data-work-trouble hidden></p>`;

/** What was asked for, the newest first; a part that is fetched anew. */
export function jobsPart(jobs: readonly JobAnswer[]): Html {
  const going = jobs.some(({ state }) => state !== "ended");
  return markup`<div data-part="jobs" data-going="${going ? "yes" : ""}">${
    jobs.length > 0 && markup`<section aria-labelledby="jobs-title"><h2 id="jobs-title">Started here</h2>
<div class="scroll" role="region" aria-label="Started here" tabindex="0"><table class="list jobs"><thead><tr><th scope="col" class="words">State</th><th scope="col" class="words">What</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead><tbody>${
      jobs.slice(0, 10).map(jobRow)
    }</tbody></table></div></section>`
  }</div>`;
}

function jobRow(job: JobAnswer): Html {
  const { id, kind, name, state, run, sweep, words, log } = job;
  const address = run !== undefined ? `/runs/${run}` : sweep !== undefined ? `/sweeps/${sweep}` : undefined;
  const what = address === undefined ? name : markup`<a href="${address}">${name}</a>`;
  // What ended well, or as it was asked to, needs no more words than that.
  const said = log.length > 0 &&
    (state === "running" && address === undefined || job.exit !== undefined && ![0, 130].includes(job.exit));
  return markup`<tr><td class="words">${
    badge(...stateOf(job))
  }</td><td class="words wrap">${what} <span class="soft">${kind}</span>${
    words !== undefined && job.exit !== 0 && markup`<p class="soft">${words}</p>`
  }${
    said &&
    markup`<details><summary>${log[log.length - 1].slice(0, 200)}</summary><pre tabindex="0">${
      log.join("\n")
    }</pre></details>`
  }</td><td>${
    state !== "ended" &&
    markup`<button type="button" data-stop="${id}" aria-label="Stop ${name}">${
      state === "stopping" ? "Stop at once" : state === "waiting" ? "Cancel" : "Stop"
    }</button>`
  }</td></tr>`;
}
