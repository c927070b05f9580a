/**
 * Runs and sweeps that this server has been asked to make: each a command of its own in a process of its own, one after the other. What it
 * has not started it does not stop.
 */
import { redact } from "./redact.ts";
import type { JobAnswer } from "./job_schemas.ts";

/** A command of this project that runs. */
export interface StartedCommand {
  /** Its exit code, once it has ended and all its output was told. */
  readonly ended: Promise<number>;
  /** As Ctrl-C does. */
  interrupt(): void;
  kill(): void;
}

/** Starts a command of this project's command line, and tells each line of its output. */
export type Launch = (
  args: readonly string[],
  tell: (line: string, from: "out" | "error") => void,
) => StartedCommand;

/** What is to be made. */
export interface Wanted {
  readonly kind: "run" | "sweep";
  /** For people. */
  readonly name: string;
  /** Of the command line, without the command. */
  readonly args: readonly string[];
}

/** How jobs are started. */
export interface JobsOptions {
  readonly launch: Launch;
  /** So many at once; the others wait. */
  readonly limit: number;
  /** Milliseconds that a job which was asked to stop has for it, whatever is asked meanwhile: a second click means no more than one. */
  readonly patience?: number;
  /** Told whenever something has changed. */
  readonly onChange?: () => void;
}

interface Job {
  readonly id: string;
  readonly wanted: Wanted;
  state: JobAnswer["state"];
  command?: StartedCommand;
  /** When it was asked to stop. */
  asked?: number;
  /** Of the run or sweep, as addresses have it. */
  made?: string;
  exit?: number;
  readonly log: string[];
  done?: Promise<void>;
}

/** Lines that are kept of what a command says beside its events, and characters of one. */
const MOST_LINES = 60, LONGEST = 2000;
/** Milliseconds in which a step may come to where it can stop. */
const PATIENCE = 2000;
/** Jobs that are remembered, and that may wait. */
const MOST_JOBS = 50, MOST_WAITING = 20;

/** What exit codes mean. */
const EXITS: Readonly<Record<number, string>> = {
  0: "finished",
  2: "the recipe or the arguments are wrong",
  3: "the input is wrong",
  4: "no space left on the disk",
  5: "a step failed",
  6: "the cache is damaged",
  7: "finished; the result misses what the recipe expects",
  8: "finished; points of the sweep failed",
  130: "stopped; it can go on where it ended",
  137: "ended at once; it can go on where it ended",
};

/** More jobs than may wait. */
export class TooManyJobsError extends Error {}

/** The jobs of one server. */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #patience: number;
  /** The oldest first. */
  readonly #jobs = new Map<string, Job>();
  #count = 0;
  #closing = false;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#patience = options.patience ?? PATIENCE;
  }

  /** Starts something, or lets it wait for its turn. @throws {TooManyJobsError} */
  start(wanted: Wanted): JobAnswer {
    const waiting = [...this.#jobs.values()].filter(({ state }) => state === "waiting");
    if (this.#closing || waiting.length >= MOST_WAITING) {
      throw new TooManyJobsError(
        this.#closing
          ? "Cannot start anything: the server ends"
          : `Cannot start more: ${waiting.length} jobs wait already`,
      );
    }
    const job: Job = { id: `${++this.#count}`, wanted, state: "waiting", log: [] };
    this.#jobs.set(job.id, job);
    const over = [...this.#jobs.values()].filter(({ state }) => state === "ended");
    for (const { id } of over.slice(0, Math.max(0, this.#jobs.size - MOST_JOBS))) this.#jobs.delete(id);
    this.#next();
    return answer(job);
  }

  /** The newest first. */
  list(): JobAnswer[] {
    return [...this.#jobs.values()].reverse().map(answer);
  }

  get(id: string): JobAnswer | undefined {
    const job = this.#jobs.get(id);
    return job && answer(job);
  }

  /** The job that makes a run or a sweep, while it does. */
  making(made: string): JobAnswer | undefined {
    const job = [...this.#jobs.values()].find((each) => each.made === made && each.state !== "ended");
    return job && answer(job);
  }

  /** Whether a run or a sweep was made here, and is over, whatever it leaves to read: what is killed says no last word. */
  isOver(made: string): boolean {
    const own = [...this.#jobs.values()].filter((each) => each.made === made);
    return own.length > 0 && own.every(({ state }) => state === "ended");
  }

  /**
   * Asks a job to stop cleanly; asked once more after some seconds it ends at once, and loses at most the step in progress.
   *
   * @returns undefined where there is none
   */
  stop(id: string): JobAnswer | undefined {
    const job = this.#jobs.get(id);
    if (job === undefined) return undefined;
    if (job.state === "waiting") {
      job.state = "ended";
      job.exit = 130;
    } else if (job.state === "running") {
      job.state = "stopping";
      job.asked = performance.now();
      job.command?.interrupt();
    } else if (job.state === "stopping" && performance.now() - (job.asked ?? 0) >= this.#patience) job.command?.kill();
    this.#options.onChange?.();
    return answer(job);
  }

  /** Stops everything cleanly, and waits for it. */
  async close(): Promise<void> {
    this.#closing = true;
    const jobs = [...this.#jobs.values()];
    for (const { id, state } of jobs) if (state === "waiting" || state === "running") this.stop(id);
    await Promise.all(jobs.map(({ done }) => done));
  }

  /** Whether anything is in work. */
  get busy(): boolean {
    return [...this.#jobs.values()].some(({ state }) => state === "running" || state === "stopping");
  }

  #next(): void {
    const jobs = [...this.#jobs.values()];
    const going = jobs.filter(({ state }) => state === "running" || state === "stopping").length;
    for (const job of jobs.filter(({ state }) => state === "waiting").slice(0, this.#options.limit - going)) {
      job.done = this.#run(job);
    }
    this.#options.onChange?.();
  }

  async #run(job: Job): Promise<void> {
    job.state = "running";
    try {
      const { kind, args } = job.wanted;
      job.command = this.#options.launch([kind, ...args, "--json"], (line, from) => {
        if (from === "error" || !listen(job, line)) keep(job, line);
      });
      job.exit = await job.command.ended;
    } catch (error) {
      keep(job, `error: ${error instanceof Error ? error.message : error}`);
      job.exit = 1;
    }
    job.state = "ended";
    job.command = undefined;
    this.#next();
  }
}

/** Takes what an event says. @returns whether it is one */
function listen(job: Job, line: string): boolean {
  let event: { readonly type?: unknown; readonly run?: unknown; readonly sweep?: unknown };
  try {
    event = JSON.parse(line);
  } catch {
    // The last line is a path.
    return line.startsWith("/") || /^[A-Za-z]:[\\/]/.test(line);
  }
  if (typeof event !== "object" || event === null) return false;
  const { type, run, sweep } = event;
  if (job.wanted.kind === "run" && type === "run-started" && typeof run === "string") job.made = run;
  if (type === "sweep-started" && typeof sweep === "string") job.made = sweep;
  return true;
}

function keep({ log }: Job, line: string): void {
  if (line.trim() === "") return;
  log.push(redact(line.slice(0, LONGEST)));
  if (log.length > MOST_LINES) log.shift();
}

function answer({ id, wanted: { kind, name }, state, made, exit, log }: Job): JobAnswer {
  return {
    ...{ id, kind, name, state, log: [...log] },
    ...(made === undefined ? {} : { [kind]: made }),
    ...(exit === undefined ? {} : { exit, words: EXITS[exit] ?? `ended with code ${exit}` }),
  };
}
