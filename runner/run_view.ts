/** The state of a run as far as people want to see it, from its events alone; not its drawing, nor its words and units. */
import type { RunEvent, StepSummary } from "./events.ts";

/** One stage's line. */
export interface StageView {
  readonly stage: string;
  /** Steps of the stage that the run needs. */
  readonly total: number;
  /** Of these, taken from the cache. */
  readonly cached: number;
  /** Of these, from a mirror. */
  readonly fetched: number;
  readonly done: number;
  /** What is being done: `block 3`, and what the step says of itself. */
  readonly now?: string;
  /** Of the steps done in this run. */
  readonly seconds: number;
  readonly failed: boolean;
}

/** A run in progress. */
export interface RunView {
  /** In the order in which they first run. */
  readonly stages: readonly StageView[];
  readonly done: number;
  readonly total: number;
  /** Seconds still to go, by what steps were expected to take and what they took; undefined before the run has begun. */
  readonly left?: number;
  /** Of the steps that are being done, the most seconds that one was expected to take; undefined where none is. */
  readonly longest?: number;
}

interface Step extends StepSummary {
  state: StepSummary["state"];
  progress: "waiting" | "running" | "done" | "failed";
  began: number;
  took: number;
  note: string;
}

/** Follows a run. */
export class RunTracker {
  readonly #steps = new Map<string, Step>();

  /** Takes in one event. */
  follow(event: RunEvent): void {
    if (event.type === "run-started") {
      for (const step of event.steps) {
        this.#steps.set(step.id, {
          ...step,
          progress: step.state === "run" || step.state === "fetch" ? "waiting" : "done",
          began: 0,
          took: 0,
          note: "",
        });
      }
      return;
    }
    // What was being done when a run ended is still to be done.
    if (event.type === "run-interrupted" || event.type === "run-failed") {
      for (const step of this.#steps.values()) {
        if (step.progress === "running") Object.assign(step, { progress: "waiting", note: "" });
      }
    }
    if (!("step" in event)) return;
    const step = this.#steps.get(event.step);
    if (!step) return;
    // Steps that were cached run again when their results turn out to be damaged.
    if (event.type === "step-started") {
      Object.assign(step, { state: event.fetch ? "fetch" : "run", progress: "running", began: event.at });
    }
    if (event.type === "step-progress") step.note = event.note ?? `${event.done}/${event.total}`;
    if (event.type === "step-failed") step.progress = "failed";
    if (event.type === "step-finished") Object.assign(step, { progress: "done", took: event.seconds, note: "" });
  }

  /** @param at now, milliseconds since the epoch */
  view(at: number): RunView {
    const needed = [...this.#steps.values()].filter(({ state }) => state !== "skip");
    const stages = Map.groupBy(needed, ({ stage }) => stage);
    const expected = needed.flatMap(({ progress, seconds }) => progress === "running" ? [seconds] : []);
    const done = needed.filter(({ progress }) => progress === "done").length;
    return {
      stages: [...stages].map(([stage, steps]) => viewStage(stage, steps)),
      done,
      total: needed.length,
      ...(this.#steps.size > 0 ? { left: secondsLeft(needed, at) } : {}),
      ...(expected.length > 0 ? { longest: Math.max(...expected) } : {}),
    };
  }
}

function viewStage(stage: string, steps: readonly Step[]): StageView {
  const running = steps.filter(({ progress }) => progress === "running");
  const now = running.map(({ id, block, note }) => {
    const name = block === undefined ? id.replace(`${stage}.`, "") : `block ${block}`;
    return note === "" ? name : `${name}: ${note}`;
  });
  return {
    stage,
    total: steps.length,
    cached: steps.filter(({ state }) => state === "cached").length,
    fetched: steps.filter(({ state }) => state === "fetch").length,
    done: steps.filter(({ progress }) => progress === "done").length,
    ...(now.length > 0 ? { now: now.join(", ") } : {}),
    seconds: steps.reduce((sum, { took }) => sum + took, 0),
    failed: steps.some(({ progress }) => progress === "failed"),
  };
}

/** Cached steps say nothing of the time that others take, so that they are left out on both sides. */
function secondsLeft(steps: readonly Step[], at: number): number {
  const run = steps.filter(({ state }) => state === "run");
  const over = run.filter(({ progress }) => progress === "done");
  const sum = (of: readonly Step[], value: (step: Step) => number) =>
    of.reduce((total, step) => total + value(step), 0);
  const expected = sum(over, ({ seconds }) => seconds);
  // The first few steps say little: the expectation counts as if a tenth of the run had met it.
  const prior = 0.1 * sum(run, ({ seconds }) => seconds);
  const pace = expected + prior > 0 ? (sum(over, ({ took }) => took) + prior) / (expected + prior) : 1;
  return sum(
    run.filter(({ progress }) => progress !== "done" && progress !== "failed"),
    ({ progress, seconds, began }) => Math.max(0, seconds * pace - (progress === "running" ? (at - began) / 1000 : 0)),
  );
}
