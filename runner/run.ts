/**
 * Runs a plan: step after step, each published before the next begins, every event in the journal. It can be stopped or
 * killed at any moment; the same command then goes on where it ended and comes to the same bytes.
 */
import { join } from "node:path";
import type { CorruptArtifactError } from "./cache/artifact.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import type { Undated } from "./context.ts";
import type { Reason, RunEvent } from "./events.ts";
import { type Graph, makerOf, type Node, outputKeys, resolve, type State } from "./graph.ts";
import { JOURNAL, type Journal, openJournal } from "./journal.ts";
import { beginLock, completeLock } from "./lock.ts";
import { type MemoryWatch, watchMemory } from "./memory.ts";
import { fetchStep } from "./fetch_step.ts";
import type { Mirrors } from "./mirror/mirrors.ts";
import { formatBytes } from "../files/format_bytes.ts";
import { asNoSpace, freeBytes, writingTo } from "./cache/no_space.ts";
import { missingOf, neededOf, offersOf, type Plan, type PlannedStep, summaryOf } from "./plan.ts";
import { asError, asFolderError, asListenerError, exitCodeOf, InterruptedError } from "./run_errors.ts";
import type { Sources } from "./explain.ts";
import { ORIGINS, renderOrigins } from "./origins.ts";
import { recordedSeconds } from "./recorded_seconds.ts";
import { makeRunId } from "./run_id.ts";
import { type Outcome, runStep, type Work } from "./run_step.ts";
import type { Recipe } from "../recipes/language.ts";
import { type Attributes, spanned } from "../telemetry/spans.ts";
import type { FinishContext, Subject } from "./stage.ts";

/**
 * How a plan is run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan } from "./plan.ts";
 * import { executeRun, type RunOptions } from "./run.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const subject = openArithmetic(recipe, { blocks: 1 }), types: string[] = [];
 * const options: RunOptions = { cache, runsDir: `${folder}/runs`, recipe, onEvent: ({ type }) => types.push(type) };
 * await executeRun(await makePlan(subject, cache, { recipe }), subject, options);
 * assert.deepEqual([types[0], types.at(-1)], ["run-started", "run-finished"]);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface RunOptions {
  readonly cache: ArtifactCache;
  /** Folder of all runs; absolute. */
  readonly runsDir: string;
  readonly recipe: Recipe;
  /** Where its values are stated, to be kept beside the lock. */
  readonly sources?: Sources;
  /** The recipe's name, for the journal and the run's folder. */
  readonly name?: string;
  /** The command that goes on after an interruption. */
  readonly next?: string;
  readonly onEvent?: (event: RunEvent) => void;
  /** Stops the run cleanly. */
  readonly signal?: AbortSignal;
  /** Goes on with what does not depend on a failed step. */
  readonly keepGoing?: boolean;
  /** Steps that run side by side; each already uses all cores. */
  readonly concurrency?: number;
  /** Those that the plan was made with. */
  readonly mirrors?: Mirrors;
}

/**
 * How a run ended.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan } from "./plan.ts";
 * import { executeRun, type RunResult } from "./run.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const subject = openArithmetic(recipe), plan = await makePlan(subject, cache, { recipe });
 * const signal = AbortSignal.abort();
 * const result: RunResult = await executeRun(plan, subject, { cache, runsDir: `${folder}/runs`, recipe, signal });
 * assert.deepEqual([result.outcome, result.exit], ["interrupted", 130]);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface RunResult {
  readonly run: string;
  /** Absolute path of its folder. */
  readonly folder: string;
  readonly outcome: "finished" | "interrupted" | "failed";
  /** For the process: 0, 1, 3, 4, 5, 6 or 130, as `exitCodeOf` says. */
  readonly exit: number;
  readonly error?: Error;
  readonly seconds: number;
  readonly stages: Readonly<Record<string, number>>;
  /** Bytes. */
  readonly peakMemory: number;
  /** `cached` are all that did not have to run, `fetched` those of them that came from a mirror. */
  readonly steps: { readonly run: number; readonly cached: number; readonly fetched?: number };
}

/** How often an artifact is made anew before its disk is given up. */
const MOST_HEALS = 3;

/** Steps that are fetched side by side, and beside those that run: they wait for the network. */
const FETCHES = 4;

/**
 * Runs a plan. Failures and interruptions are results, not exceptions; they are in the journal too.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan } from "./plan.ts";
 * import { executeRun } from "./run.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const subject = openArithmetic(recipe, { blocks: 1 }), options = { cache, runsDir: `${folder}/runs`, recipe };
 * const run = async () => await executeRun(await makePlan(subject, cache, { recipe }), subject, options);
 * assert.deepEqual((await run()).steps, { run: 5, cached: 0 });
 * assert.deepEqual((await run()).steps, { run: 0, cached: 5 });
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @returns when the run's folder is complete, or says why it is not
 * @throws {NoSpaceError | FolderError} when not even the run's folder can be made
 */
export async function executeRun(plan: Plan, subject: Subject, options: RunOptions): Promise<RunResult> {
  const name = options.name ?? options.recipe.name ?? "run";
  const run = makeRunId(new Date(), name);
  const folder = join(options.runsDir, run);
  let journal: Journal;
  try {
    Deno.mkdirSync(folder, { recursive: true });
    journal = openJournal(join(folder, JOURNAL));
  } catch (error) {
    throw asNoSpace(error, options.runsDir, 0) ?? asFolderError(error, options.runsDir, "--runs") ?? error;
  }
  try {
    const { method, model, device } = subject;
    const attributes = { run, recipe: name, method, model, device: device.name };
    return await spanned(
      "run",
      Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`pbs2p.${key}`, value])),
      () => new Run(plan, subject, { ...options, name, run, folder, journal }).execute(),
      { attributesOf, failureOf: ({ error }) => error },
    );
  } finally {
    journal.close();
    try {
      options.cache.unpin(run);
    } catch {
      // The disk is full, as the result says; pins end with the process.
    }
  }
}

/** Of the span of a run, once it is over. */
function attributesOf({ outcome, exit, peakMemory, steps }: RunResult): Attributes {
  return {
    "pbs2p.outcome": outcome,
    "pbs2p.exit": exit,
    "pbs2p.peak_memory": peakMemory,
    "pbs2p.steps.run": steps.run,
    "pbs2p.steps.cached": steps.cached,
  };
}

interface Settings extends RunOptions {
  readonly name: string;
  readonly run: string;
  readonly folder: string;
  readonly journal: Journal;
}

class Run {
  readonly #plan: Plan;
  readonly #graph: Graph;
  readonly #subject: Subject;
  readonly #settings: Settings;
  readonly #cache: ArtifactCache;
  readonly #signal: AbortSignal;
  readonly #memory: MemoryWatch = watchMemory();
  readonly #began = performance.now();
  /** Output keys that must exist in the end. */
  readonly #required: Set<string>;
  readonly #forced: Set<string>;
  #pending = new Set<string>();
  /** Of the pending and running, those that a mirror has. */
  #fetching = new Set<string>();
  /** Steps that no mirror gave. */
  readonly #unfetched = new Set<string>();
  readonly #fetched = new Set<string>();
  readonly #running = new Map<string, Promise<Outcome>>();
  readonly #failed = new Map<string, Error>();
  readonly #executed = new Set<string>();
  /** Steps with a damaged output that must be made again. */
  readonly #damaged = new Set<string>();
  readonly #heals = new Map<string, number>();
  readonly #stages = new Map<string, number>();
  #overLimit = false;

  constructor(plan: Plan, subject: Subject, settings: Settings) {
    this.#plan = plan;
    this.#graph = plan.graph;
    this.#subject = subject;
    this.#settings = settings;
    this.#cache = settings.cache;
    this.#signal = settings.signal ?? new AbortController().signal;
    this.#required = new Set([...plan.required, ...plan.extra]);
    this.#forced = new Set(plan.forced);
  }

  async execute(): Promise<RunResult> {
    try {
      await this.#start();
      await this.#runSteps();
      if (this.#plan.until === undefined) await this.#finish();
      this.#dropUnneeded(this.#graph.values());
    } catch (error) {
      // Hashing ends with the signal's reason.
      if (this.#signal.aborted && error === this.#signal.reason) return this.#stopped(new InterruptedError());
      return this.#stopped(asError(error));
    } finally {
      this.#memory.stop();
    }
    const result = this.#result("finished", 0);
    const { folder, seconds, peakMemory, steps } = result;
    this.#emit({
      type: "run-finished",
      folder,
      seconds,
      peakMemory,
      ran: steps.run,
      cached: steps.cached,
      ...fetchedOf(steps),
    });
    return result;
  }

  async #start(): Promise<void> {
    const { run, folder, name, sources } = this.#settings;
    const { method, model, device } = this.#subject;
    // Pinned before looking, so that nothing that is seen goes away; and seen again, as other runs may have gone on.
    const all = outputKeys(this.#graph);
    this.#cache.pin(run, all);
    this.#cache.distrust();
    const damaged = await this.#cache.findDamaged(all, { signal: this.#signal });
    for (const key of damaged.keys()) {
      this.#cache.discard(key);
      this.#damaged.add(makerOf(this.#graph, key) ?? "unknown");
    }
    const states = this.#resolve();
    this.#schedule(states);
    const needed = this.#needed(), taken = neededOf(this.#graph, { states, required: this.#required });
    this.#cache.unpin(run, all.filter((key) => !needed.has(key)));
    const steps = this.#plan.steps.map((planned) => {
      const { why, fetch: _fetch, ...rest } = summaryOf(planned);
      const state = states.get(planned.id) ?? "skip";
      const names = Object.entries(planned.outputs).filter(([, key]) => taken.has(key) && !this.#cache.has(key))
        .map(([name]) => name);
      const fetch = state === "fetch" && this.#settings.mirrors?.offer(missingOf(planned, names));
      return {
        ...{ ...rest, state, key: planned.key, inputs: inputsOf(planned) },
        ...(state === "run" ? { why: why ?? this.#why(planned.id) } : {}),
        ...(fetch ? { fetch } : {}),
      };
    });
    this.#emit({ type: "run-started", run, recipe: name, method, model, device, folder, steps });
    // Whoever listens was told when the recipe was opened.
    for (const message of [...this.#subject.warnings ?? [], ...this.#settings.mirrors?.warnings ?? []]) {
      this.#keep({ type: "warning", message });
    }
    for (const [key, detail] of damaged) {
      this.#emit({ type: "artifact-corrupt", key, step: makerOf(this.#graph, key) ?? "unknown", detail });
    }
    this.#warnOfLittleSpace();
    beginLock(folder, this.#subject.renderRecipe(folder), await this.#subject.lock());
    if (sources !== undefined) {
      writingTo(folder, () => Deno.writeTextFileSync(join(folder, ORIGINS), renderOrigins(sources)));
    }
  }

  #warnOfLittleSpace(): void {
    const { disk } = this.#plan.totals;
    const free = freeBytes(this.#cache.folder);
    if (free === undefined || free >= disk) return;
    const message = `The run is expected to take ${formatBytes(disk)} in ${this.#cache.folder}, where ${
      formatBytes(free)
    } are free`;
    this.#emit({ type: "warning", message });
  }

  /** Schedules until nothing is left that can run. @throws {Error} when a step failed or the run is to stop */
  async #runSteps(): Promise<void> {
    const { concurrency = 1, keepGoing = false } = this.#settings;
    while (this.#pending.size + this.#running.size > 0) {
      const stop = this.#signal.aborted || (this.#failed.size > 0 && !keepGoing);
      for (let node = stop ? undefined : this.#next(concurrency); node !== undefined; node = this.#next(concurrency)) {
        this.#pending.delete(node.step.id);
        this.#running.set(node.step.id, this.#runStep(node));
      }
      if (this.#running.size === 0) break;
      const outcome = await Promise.race(this.#running.values());
      this.#running.delete(outcome.id);
      if (outcome.kind === "done") this.#done(this.#nodeOf(outcome.id), outcome);
      else if (outcome.kind === "unfetched") this.#makeInstead(outcome.id);
      else if (outcome.kind === "corrupt" && this.#heal(outcome.error)) continue;
      else this.#failed.set(outcome.id, outcome.error);
    }
    if (this.#signal.aborted) throw new InterruptedError();
    for (const error of this.#failed.values()) throw error;
  }

  /** A step to begin: one that is fetched, or one that runs, as long as there are not too many of its kind. */
  #next(concurrency: number): Node | undefined {
    const running = [...this.#running.keys()], fetches = running.filter((id) => this.#fetching.has(id)).length;
    const fetch = fetches < FETCHES ? [...this.#pending].find((id) => this.#fetching.has(id)) : undefined;
    if (fetch !== undefined) return this.#nodeOf(fetch);
    return running.length - fetches < concurrency ? this.#nextReady() : undefined;
  }

  /** The first pending step whose inputs are all there, or on their way by nobody; early ones go before all others. */
  #nextReady(): Node | undefined {
    const waits = ({ step: { inputs } }: Node) =>
      Object.values(inputs)
        .some(({ step }) => this.#pending.has(step) || this.#running.has(step) || this.#failed.has(step));
    const ready = [...this.#pending].filter((id) => !this.#fetching.has(id)).map((id) => this.#nodeOf(id))
      .filter((node) => !waits(node));
    return ready.find(({ step }) => step.early) ?? ready[0];
  }

  #runStep(node: Node): Promise<Outcome> {
    const { mirrors } = this.#settings;
    const fetch = mirrors !== undefined && this.#fetching.has(node.step.id);
    return runStep(node, {
      ...(fetch ? { fetch: (node, options) => fetchStep(node, mirrors, options) } : {}),
      ...{ cache: this.#cache, recipe: this.#settings.recipe, model: this.#subject.model, signal: this.#signal },
      ...{ why: this.#why(node.step.id), forced: this.#forced.has(node.step.id) },
      emit: (event) => this.#emit(event),
      needed: () => this.#needed(),
    });
  }

  /** A step that no mirror gave is made here; what it takes may have to be made first. */
  #makeInstead(id: string): void {
    this.#unfetched.add(id);
    this.#schedule(this.#resolve());
    this.#cache.pin(this.#settings.run, this.#needed());
  }

  #done(node: Node, { work, fetched = false }: { readonly work?: Work; readonly fetched?: boolean }): void {
    const { id } = node.step;
    this.#forced.delete(id);
    this.#damaged.delete(id);
    this.#fetching.delete(id);
    if (fetched) this.#fetched.add(id);
    if (work !== undefined) {
      this.#executed.add(id);
      for (const [stage, spent] of Object.entries(work.stages)) {
        this.#stages.set(stage, (this.#stages.get(stage) ?? 0) + spent);
      }
    }
    this.#dropUnneeded([node]);
    this.#keepToLimit();
  }

  #why(id: string): Reason {
    if (this.#damaged.has(id)) return { field: "corrupt" };
    if (this.#executed.has(id)) return { field: "transient" };
    const planned = this.#plan.steps.find((planned) => planned.id === id)?.why;
    return planned ?? { field: this.#unfetched.size > 0 ? "unfetched" : "transient" };
  }

  #keepToLimit(): void {
    const collected = this.#cache.keepToLimit();
    if (collected === undefined) return;
    for (const { key, bytes } of collected.evicted) this.#emit({ type: "artifact-evicted", key, bytes });
    if (collected.kept <= this.#cache.limit || this.#overLimit) return;
    this.#overLimit = true;
    const message =
      `The cache holds ${collected.kept} bytes, more than its ${this.#cache.limit}: runs in progress need them`;
    this.#emit({ type: "warning", message });
  }

  /** Removes a damaged artifact and finds anew what must run. @returns false when that was done too often */
  #heal(error: CorruptArtifactError): boolean {
    const { key, detail } = error;
    const step = makerOf(this.#graph, key) ?? "unknown";
    this.#emit({ type: "artifact-corrupt", key, step, detail });
    const times = (this.#heals.get(key) ?? 0) + 1;
    this.#heals.set(key, times);
    if (times > MOST_HEALS) return false;
    this.#damaged.add(step);
    this.#cache.discard(key);
    this.#schedule(this.#resolve());
    this.#cache.pin(this.#settings.run, this.#needed());
    return true;
  }

  async #finish(): Promise<void> {
    const { run, folder, recipe } = this.#settings;
    for (;;) {
      let damage: CorruptArtifactError | undefined;
      const { seconds, stages, peakMemory, steps } = this.#result("finished", 0);
      const context: FinishContext = {
        ...{ run, folder, recipe, peakMemory, steps },
        seconds: { total: seconds, stages },
        recorded: recordedSeconds(this.#graph, this.#cache),
        input: async (ref) => {
          const key = this.#graph.get(ref.step)?.outputs[ref.output];
          if (key === undefined) {
            throw new Error(`Cannot finish with output "${ref.output}" of "${ref.step}": there is no such output`);
          }
          const report = (error: CorruptArtifactError) => damage ??= error;
          return await Promise.resolve(this.#cache.read(key, { signal: this.#signal, report }));
        },
      };
      try {
        const facts = await this.#subject.finish(context) ?? {};
        if (damage === undefined) {
          return await completeLock(folder, { graph: this.#graph, cache: this.#cache, facts, signal: this.#signal });
        }
      } catch (error) {
        if (damage === undefined) throw asNoSpace(error, folder, 0) ?? error;
      }
      this.#required.add(damage.key);
      if (!this.#heal(damage)) throw damage;
      await this.#runSteps();
    }
  }

  /** What is to be done, besides what is being done or has failed. */
  #schedule(states: ReadonlyMap<string, State>): void {
    const busy = new Set([...this.#running.keys(), ...this.#failed.keys()]);
    const idle = [...states].filter(([id]) => !busy.has(id));
    this.#fetching = new Set([
      ...[...this.#fetching].filter((id) => this.#running.has(id)),
      ...idle.filter(([, state]) => state === "fetch").map(([id]) => id),
    ]);
    this.#pending = new Set(idle.filter(([, state]) => state === "run" || state === "fetch").map(([id]) => id));
  }

  #resolve(): Map<string, State> {
    return resolve(this.#graph, {
      has: (key) => this.#cache.has(key),
      required: this.#required,
      forced: this.#forced,
      offers: offersOf(this.#settings.mirrors, this.#unfetched),
    });
  }

  /** Output keys that must be there now, or must come to be. */
  #needed(): Set<string> {
    const needed = new Set(this.#required);
    for (const id of [...this.#pending, ...this.#running.keys(), ...this.#failed.keys(), ...this.#plan.later]) {
      if (this.#fetching.has(id)) continue;
      for (const key of Object.values(this.#nodeOf(id).inputs)) needed.add(key);
    }
    return needed;
  }

  /** Lets go of what nothing of this run reads any more, and deletes what was only meant to be handed on. */
  #dropUnneeded(nodes: Iterable<Node>): void {
    const needed = this.#needed();
    const keys = new Set<string>();
    for (const { inputs, outputs } of nodes) {
      for (const key of [...Object.values(inputs), ...Object.values(outputs)]) if (!needed.has(key)) keys.add(key);
    }
    this.#cache.unpin(this.#settings.run, keys);
    for (const { step, outputs } of this.#graph.values()) {
      for (const [name, { retain }] of Object.entries(step.outputs)) {
        const key = outputs[name];
        if (retain === "transient" && keys.has(key) && this.#cache.has(key)) this.#cache.drop(key);
      }
    }
  }

  /** Ends a run that cannot go on. */
  #stopped(error: Error): RunResult {
    const exit = exitCodeOf(error);
    const outcome = exit === 130 ? "interrupted" : "failed";
    const event: Undated = exit === 130
      ? { type: "run-interrupted", next: this.#settings.next ?? "the same command" }
      : { type: "run-failed", error: { name: error.name, message: error.message }, exit };
    try {
      this.#emit(event);
    } catch {
      // The disk is full: the result still says what happened.
    }
    return { ...this.#result(outcome, exit), error };
  }

  #result(outcome: RunResult["outcome"], exit: number): RunResult {
    const { run, folder } = this.#settings;
    const executed = this.#executed.size;
    return {
      ...{ run, folder, outcome, exit, stages: Object.fromEntries(this.#stages) },
      seconds: (performance.now() - this.#began) / 1000,
      peakMemory: this.#memory.peak(),
      steps: {
        ...{ run: executed, cached: this.#graph.size - executed - this.#plan.later.size },
        ...(this.#fetched.size > 0 ? { fetched: this.#fetched.size } : {}),
      },
    };
  }

  /** Writes to the journal alone. */
  #keep(event: Undated): RunEvent {
    const dated: RunEvent = {
      ...{ at: Date.now(), ...event },
      ...(event.type === "step-finished" ? { memory: this.#memory.lap() } : {}),
    };
    writingTo(this.#settings.folder, () => this.#settings.journal.append(dated));
    return dated;
  }

  #emit(event: Undated): void {
    const dated = this.#keep(event);
    try {
      this.#settings.onEvent?.(dated);
    } catch (error) {
      throw asListenerError(error);
    }
  }

  #nodeOf(id: string): Node {
    const node = this.#graph.get(id);
    if (node === undefined) throw new Error(`Cannot run step "${id}": it is not part of the plan`);
    return node;
  }
}

function fetchedOf({ fetched }: RunResult["steps"]): { readonly fetched?: number } {
  return fetched === undefined ? {} : { fetched };
}

/** Steps whose outputs it takes, each once. */
function inputsOf({ step }: PlannedStep): string[] {
  return [...new Set(Object.values(step.inputs).map(({ step }) => step))];
}
