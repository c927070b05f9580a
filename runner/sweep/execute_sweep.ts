/**
 * Runs the points of a sweep: each an ordinary run in the sweep's folder, all on one cache, so that what they share is made
 * once. It can be stopped or killed at any moment; the same command then goes on where it ended.
 *
 * Not the words and tables for people: whoever calls it renders the record.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { ArtifactCache } from "../cache/cache.ts";
import type { RunEvent } from "../events.ts";
import { readSmallText } from "../journal.ts";
import type { Mirrors } from "../mirror/mirrors.ts";
import { makePlan } from "../plan.ts";
import { executeRun, type RunResult } from "../run.ts";
import { asError, asListenerError, exitCodeOf } from "../run_errors.ts";
import type { Recipe } from "../../recipes/language.ts";
import { spanned } from "../../telemetry/spans.ts";
import type { Json, OpenOptions, Pipeline } from "../stage.ts";
import type { SweepEvent } from "./events.ts";
import { Lending } from "./lending.ts";
import type { SweepPoint, SweepRecord } from "./record.ts";
import { countSteps, reachable, type SharedWork, shareWork } from "./sharing.ts";
import type { PointWork, SurveyedPoint } from "./survey.ts";
import { POINTS, type Sweep, type SweepFolder } from "./sweep_folder.ts";

/** How a sweep is run. */
export interface SweepOptions<R extends Recipe> {
  readonly pipeline: Pipeline<R>;
  readonly open: Omit<OpenOptions, "cache" | "hashes" | "purpose">;
  readonly cache: ArtifactCache;
  /** Those that the points were surveyed with. */
  readonly mirrors?: Mirrors;
  readonly folder: SweepFolder;
  /** Files for people, by name, made of the record whenever it is written. */
  readonly render: (record: SweepRecord) => Readonly<Record<string, string>>;
  /** Points that are run; default: all. */
  readonly only?: (point: Pick<SweepPoint, "id" | "label">) => boolean;
  /** Tries points again that failed before although nothing has changed. */
  readonly retryFailed?: boolean;
  /** Begins no more points once one has failed. */
  readonly stopOnFailure?: boolean;
  /** Points that run side by side in this process; each step uses all cores already. */
  readonly jobs?: number;
  /** The command that goes on after an interruption. */
  readonly next?: string;
  readonly onEvent?: (event: SweepEvent) => void;
  /** Stops the sweep cleanly. */
  readonly signal?: AbortSignal;
}

/** How a sweep ended. */
export interface SweepResult {
  readonly record: SweepRecord;
  /** 0, 8 where points failed, 130, or what made it impossible to go on. */
  readonly exit: number;
  readonly error?: Error;
  /** Points that were run by this process. */
  readonly ran: number;
  /** Points that failed before, and were not tried again. */
  readonly untried: number;
}

/** Exit code of a sweep some points of which failed. */
export const SOME_FAILED = 8;

/** Exit codes that concern every point: no folder to write to, a full disk, a cache beyond healing. */
const FATAL: readonly number[] = [2, 4, 6];

/** The record is written when that takes at most so much of the time. */
const WRITING = 0.1;

type Undated = SweepEvent extends infer Event ? Event extends SweepEvent ? Omit<Event, "at"> : never : never;

/**
 * Runs a sweep. Failures of points are results, not exceptions.
 *
 * @param surveyed all points of the sweep, in its order
 * @throws whatever is not foreseen
 */
export async function executeSweep<R extends Recipe>(
  sweep: Sweep,
  surveyed: readonly SurveyedPoint<R>[],
  options: SweepOptions<R>,
): Promise<SweepResult> {
  return await spanned(
    "sweep",
    { "pbs2p.points": surveyed.length },
    () => new SweepRun(sweep, surveyed, options).execute(),
    {
      attributesOf: ({ exit, ran }) => ({ "pbs2p.exit": exit, "pbs2p.points.run": ran }),
      failureOf: ({ error }) => error,
    },
  );
}

class SweepRun<R extends Recipe> {
  readonly #sweep: Sweep;
  readonly #surveyed: readonly SurveyedPoint<R>[];
  readonly #options: SweepOptions<R>;
  readonly #signal: AbortSignal;
  readonly #began = performance.now();
  readonly #started: number;
  /** Of earlier processes. */
  readonly #before: number;
  readonly #steps: SweepRecord["steps"];
  readonly #points: SweepPoint[];
  readonly #selected: readonly boolean[];
  /** Positions of points that are not over. */
  readonly #open = new Set<number>();
  readonly #untried: number;
  #ran = 0;
  #fatal: Error | undefined;
  /** As it was written last. */
  #latest: SweepRecord | undefined;
  #wrote = { at: -Infinity, took: 0 };

  constructor(sweep: Sweep, surveyed: readonly SurveyedPoint<R>[], options: SweepOptions<R>) {
    const { folder: { record }, only = () => true, signal } = options;
    this.#sweep = sweep;
    this.#surveyed = surveyed;
    this.#options = options;
    this.#signal = signal ?? new AbortController().signal;
    this.#started = record?.started ?? Date.now();
    this.#before = record?.seconds ?? 0;
    this.#steps = countSteps(surveyed.flatMap(({ work }) => work ?? []));
    this.#selected = surveyed.map(only);
    const known = new Map(record?.points.map((point) => [point.id, point]));
    this.#points = surveyed.map((point) => this.#stateOf(point, known.get(point.id)));
    this.#untried = this.#points.filter(({ state, key }, at) => this.#selected[at] && state === "failed" && key).length;
  }

  async execute(): Promise<SweepResult> {
    const { cache, mirrors, folder, stopOnFailure = false, jobs = 1 } = this.#options;
    const todo = this.#points.flatMap(({ state }, at) => this.#selected[at] && isOpen(state) ? [at] : []);
    const works = todo.map((at) => this.#workOf(at));
    const shared = shareWork(works, reachable(works, cache, mirrors));
    const lending = new Lending(shared.lent, { cache, owner: folder.id });
    this.#start(todo, shared);
    const running = new Map<number, Promise<number>>();
    try {
      for (const [position] of todo.entries()) this.#open.add(position);
      for (let next = 0; next < todo.length || running.size > 0;) {
        const stop = this.#signal.aborted || this.#fatal !== undefined || (stopOnFailure && this.#failed() > 0);
        if (stop) next = todo.length;
        while (next < todo.length && running.size < jobs) {
          lending.begin(next);
          const position = next++;
          running.set(position, this.#runPoint(todo[shared.order[position]]).then(() => position));
        }
        if (running.size === 0) break;
        const over = await Promise.race(running.values());
        running.delete(over);
        this.#open.delete(over);
        lending.release(Math.min(todo.length, ...this.#open));
        this.#write();
      }
      if (this.#open.size === 0) this.#sweepUp();
    } finally {
      await Promise.allSettled(running.values());
      lending.end();
      this.#write(true);
    }
    return this.#finish();
  }

  /** A point as it is before anything is done for it. */
  #stateOf({ id, label, values, work, failure }: SurveyedPoint<R>, before: SweepPoint | undefined): SweepPoint {
    const base = { id, label, values, ...(work ? { key: work.key } : {}) };
    if (work === undefined) {
      return { ...base, state: "failed", exit: failure?.exit ?? 1, error: failure?.message ?? "it cannot be opened" };
    }
    if (before === undefined || before.key !== work.key) return { ...base, state: "waiting" };
    const again = before.state === "failed" && this.#options.retryFailed === true;
    const gone = before.state === "finished" && !this.#hasResult(before);
    return again || gone ? { ...base, state: "waiting" } : before;
  }

  #hasResult({ run }: SweepPoint): boolean {
    return run !== undefined && existsSync(join(this.#options.folder.path, run, "metrics.json"));
  }

  #start(todo: readonly number[], { order, shares }: SharedWork): void {
    const { folder: { id, path } } = this.#options;
    this.#write(true);
    this.#emit({
      ...{ type: "sweep-started", sweep: id, name: this.#sweep.name, folder: path },
      points: this.#points.map(({ id, label, state }) => ({ id, label, state })),
      order: order.map((index) => ({ point: this.#points[todo[index]].id, seconds: shares[index].seconds })),
    });
  }

  /** Runs one point; whatever happens is in the record then. */
  async #runPoint(at: number): Promise<void> {
    const { id: point, label } = this.#points[at];
    const began = performance.now();
    let step: string | undefined;
    const onEvent = (event: RunEvent) => {
      if (event.type === "step-failed") step = event.step;
      this.#emit({ type: "point-event", point, label, event });
    };
    this.#ran++;
    this.#emit({ type: "point-started", point, label });
    let end: Partial<SweepPoint> & Pick<SweepPoint, "state">;
    try {
      end = await this.#makePoint(at, onEvent);
    } catch (thrown) {
      const error = asError(thrown), exit = exitCodeOf(error);
      if (!this.#signal.aborted && FATAL.includes(exit)) this.#fatal ??= error;
      const state = this.#signal.aborted || FATAL.includes(exit) ? "interrupted" : "failed";
      end = { state, ...(state === "failed" ? { exit, error: error.message } : {}) };
    }
    const seconds = (performance.now() - began) / 1000;
    if (end.state === "failed" && step !== undefined) end = { ...end, step };
    const { id, values, key } = this.#points[at];
    this.#points[at] = { id, ...(key === undefined ? {} : { key }), label, values, seconds, ...end };
    const { exit, error } = end;
    this.#emit({
      ...{ type: "point-finished", point, label, state: end.state, seconds },
      ...(exit === undefined ? {} : { exit }),
      ...(error === undefined ? {} : { error }),
      ...(end.step === undefined ? {} : { step: end.step }),
    });
  }

  async #makePoint(
    at: number,
    onEvent: (event: RunEvent) => void,
  ): Promise<Partial<SweepPoint> & Pick<SweepPoint, "state">> {
    const { pipeline, open, cache, mirrors, folder, next } = this.#options;
    const { recipe, sources, label } = this.#surveyed[at];
    const subject = await pipeline.open(recipe, {
      ...{ ...open, purpose: "run", cache: cache.folder, hashes: cache.fileHashes },
    });
    try {
      const plan = await makePlan(subject, cache, { recipe, sources, mirrors });
      const result = await executeRun(plan, subject, {
        ...{ cache, mirrors, recipe, name: label, runsDir: join(folder.path, POINTS), onEvent, signal: this.#signal },
        ...(sources === undefined ? {} : { sources }),
        ...(next === undefined ? {} : { next }),
      });
      return this.#endOf(result, at);
    } finally {
      await subject.close();
    }
  }

  #endOf(
    { outcome, exit, error, folder, peakMemory }: RunResult,
    at: number,
  ): Partial<SweepPoint> & Pick<SweepPoint, "state"> {
    if (outcome === "failed" && FATAL.includes(exit)) this.#fatal ??= error;
    // What concerns all points says nothing of this one.
    const state = outcome === "failed" && this.#fatal ? "interrupted" : outcome;
    const run = `${POINTS}/${basename(folder)}`;
    const metrics = readMetrics(join(folder, "metrics.json"));
    return {
      ...{ state, run, peakMemory },
      ...(outcome === "finished" ? { alone: this.#alone(this.#workOf(at)) } : {}),
      ...(state === "failed" ? { exit, error: error?.message ?? "the run failed" } : {}),
      ...(metrics === undefined ? {} : { metrics }),
    };
  }

  /** Seconds of all steps when they were made, whoever made them. */
  #alone({ steps }: PointWork): number {
    return steps.reduce((sum, { key }) => sum + (this.#options.cache.record(key)?.seconds ?? 0), 0);
  }

  /** Deletes what points that were killed meant to hand on, once no point is left to take it. */
  #sweepUp(): void {
    if (this.#points.some(({ state }) => isOpen(state))) return;
    const { cache } = this.#options;
    const transient = new Set(
      this.#surveyed.flatMap(({ work }) => work?.steps ?? []).flatMap(({ outputs }) =>
        outputs.flatMap(({ key, retain }) => retain === "transient" ? [key] : [])
      ),
    );
    for (const key of transient) if (cache.has(key)) cache.drop(key);
  }

  #finish(): SweepResult {
    const states = this.#points.filter((_, at) => this.#selected[at]).map(({ state }) => state);
    const count = (wanted: (state: SweepPoint["state"]) => boolean) => states.filter(wanted).length;
    const exit = this.#signal.aborted && count(isOpen) > 0
      ? 130
      : this.#fatal
      ? exitCodeOf(this.#fatal)
      : count((state) => state === "failed") > 0
      ? SOME_FAILED
      : 0;
    const record = this.#latest ?? this.#record();
    this.#emit({
      ...{ type: "sweep-finished", exit, seconds: record.seconds, finished: count((state) => state === "finished") },
      ...{ failed: count((state) => state === "failed"), left: count(isOpen) },
    });
    return { record, exit, ran: this.#ran, untried: this.#untried, ...(this.#fatal ? { error: this.#fatal } : {}) };
  }

  #failed(): number {
    return this.#points.filter(({ state }, at) => this.#selected[at] && state === "failed").length;
  }

  #record(): SweepRecord {
    const { folder: { id, identity } } = this.#options, { name, axes, repeats } = this.#sweep;
    const seconds = this.#before + (this.#ran > 0 ? (performance.now() - this.#began) / 1000 : 0);
    return {
      ...{ sweep: id, name, started: this.#started, seconds, axes, repeats },
      ...{ points: [...this.#points], steps: this.#steps, identity },
    };
  }

  /** Writes the record, unless that would take too much of the time, as with points that take none. */
  #write(always = false): void {
    const began = performance.now();
    if (!always && began - this.#wrote.at < this.#wrote.took / WRITING) return;
    const record = this.#record(), { folder, render } = this.#options;
    this.#latest = record;
    // What is asked for again and is all there stays as it is.
    if (this.#ran === 0 && JSON.stringify(record) === JSON.stringify(folder.record)) return;
    folder.write(record, render(record));
    this.#wrote = { at: performance.now(), took: performance.now() - began };
  }

  #workOf(at: number): PointWork {
    const { work, label } = this.#surveyed[at];
    if (work === undefined) throw new Error(`Cannot run point "${label}" as it was not opened`);
    return work;
  }

  #emit(event: Undated): void {
    try {
      this.#options.onEvent?.({ at: Date.now(), ...event });
    } catch (error) {
      throw asListenerError(error);
    }
  }
}

function isOpen(state: SweepPoint["state"]): boolean {
  return state === "waiting" || state === "interrupted";
}

/** metrics.json of a run; undefined where it left none. */
function readMetrics(path: string): Json | undefined {
  // Written by this very process a moment ago.
  return existsSync(path) ? JSON.parse(readSmallText(path)) as Json : undefined;
}
