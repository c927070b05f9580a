/** One step of a run: becoming its only maker, doing its work, publishing what it made. Which step is next: `run.ts`. */
import type { CorruptArtifactError, Draft } from "./cache/artifact.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import { openSession, type Session, type Undated } from "./context.ts";
import type { Reason } from "./events.ts";
import type { Node } from "./graph.ts";
import { asNoSpace, OUTPUT } from "./cache/no_space.ts";
import { asError, exitCodeOf, InterruptedError, StepError } from "./run_errors.ts";
import { type Attributes, spanned } from "../telemetry/spans.ts";
import type { Recipe } from "../recipes/language.ts";

/** How a step ended. */
export type Outcome =
  | { readonly kind: "done"; readonly id: string; readonly work?: Work; readonly fetched?: boolean }
  | { readonly kind: "unfetched"; readonly id: string }
  | { readonly kind: "corrupt"; readonly id: string; readonly error: CorruptArtifactError }
  | { readonly kind: "failed"; readonly id: string; readonly error: Error };

/** What a step did, when no other run did it meanwhile. */
export interface Work {
  /** Seconds by stage. */
  readonly stages: Readonly<Record<string, number>>;
}

/** What a step needs of its run. */
export interface StepOptions {
  readonly cache: ArtifactCache;
  readonly recipe: Recipe;
  readonly model: string;
  readonly signal: AbortSignal;
  readonly emit: (event: Undated) => void;
  readonly why: Reason;
  /** Makes the step again although its outputs are there. */
  readonly forced: boolean;
  /** Output keys that must be there now, or must come to be. */
  readonly needed: () => ReadonlySet<string>;
  /** Gets the outputs in another way than by the step's own work. */
  readonly fetch?: (node: Node, options: StepOptions) => Promise<Outcome>;
}

/** Milliseconds a step may take to stop when asked to; then it is left alone, and what it still does is refused. */
const GRACE = 10_000;

/** Milliseconds between looks at what another process is making. */
const POLL = 100;

/** Runs one step. Whatever happens is an outcome, not an exception. */
export async function runStep(node: Node, options: StepOptions): Promise<Outcome> {
  const { id, stage, block } = node.step;
  const { cache, emit, why, fetch } = options;
  try {
    const about = fetch === undefined ? { why } : { fetch: true };
    emit({ type: "step-started", step: id, stage, ...(block === undefined ? {} : { block }), ...about });
    const waited = await lease(node, options);
    if (waited !== undefined) {
      emit({ type: "step-finished", step: id, seconds: waited, stages: {}, bytes: 0, reused: true });
      return { kind: "done", id };
    }
    try {
      return await (fetch ?? work)(node, options);
    } finally {
      cache.release(node.key);
    }
  } catch (error) {
    return { kind: "failed", id, error: asError(error) };
  }
}

/** Becomes the maker of a step. @returns seconds waited if another run made what is needed; else undefined */
async function lease(
  { step, key, outputs }: Node,
  { cache, emit, signal, forced, needed }: StepOptions,
): Promise<number | undefined> {
  const began = performance.now();
  const isThere = () => {
    const keys = needed();
    return !forced && Object.values(outputs).every((key) => !keys.has(key) || cache.has(key));
  };
  for (let told = false; !cache.tryLease(key); told = true) {
    if (!told) emit({ type: "step-progress", step: step.id, done: 0, total: 1, note: "another run is making it" });
    await sleep(POLL, signal);
    if (signal.aborted) throw new InterruptedError();
    if (isThere()) return (performance.now() - began) / 1000;
  }
  if (!isThere()) return undefined;
  cache.release(key);
  return (performance.now() - began) / 1000;
}

/** Of the span of a step. */
function attributesOf({ step: { id, block } }: Node, { why: { field }, model }: StepOptions): Attributes {
  return {
    "pbs2p.step": id,
    "pbs2p.why": field,
    "pbs2p.model": model,
    ...(block === undefined ? {} : { "pbs2p.block": block }),
  };
}

async function work(node: Node, options: StepOptions): Promise<Outcome> {
  const { step } = node;
  const { id } = step;
  const { cache, signal, emit } = options;
  const session = openSession(node, options);
  const began = performance.now();
  let published = false;
  try {
    await untilStopped(
      spanned(`step ${step.stage}`, attributesOf(node, options), () => step.run(session.context)),
      signal,
    );
    session.end();
    const damage = session.damage();
    if (damage !== undefined) return { kind: "corrupt", id, error: damage };
    // A step that was asked to stop may have returned early with half of its results.
    if (signal.aborted) throw new InterruptedError();
    const done = await publish(node, session, (performance.now() - began) / 1000, options);
    published = true;
    return { kind: "done", id, work: done };
  } catch (error) {
    session.end();
    const damage = session.damage();
    if (damage !== undefined) return { kind: "corrupt", id, error: damage };
    if (signal.aborted) return { kind: "failed", id, error: new InterruptedError() };
    const failure = failureOf(error, node, cache.folder);
    emit({ type: "step-failed", step: id, error: { name: failure.name, message: failure.message } });
    return { kind: "failed", id, error: failure };
  } finally {
    if (!published) { for (const draft of session.drafts.values()) abandon(cache, draft); }
  }
}

async function publish(
  { step, key, components }: Node,
  session: Session,
  seconds: number,
  { cache, model, emit, signal, forced }: StepOptions,
): Promise<Work> {
  const drafts = Object.fromEntries(
    Object.entries(step.outputs).map(([name, { retain }]) => {
      const draft = session.drafts.get(name);
      if (draft === undefined) throw new Error(`Cannot publish step "${step.id}": it left out its output "${name}"`);
      return [name, { draft, retain }];
    }),
  );
  const stages = Object.fromEntries(session.spent);
  const own = seconds - [...session.spent.values()].reduce((sum, spent) => sum + spent, 0);
  stages[step.stage] = (stages[step.stage] ?? 0) + Math.max(0, own);
  const { bytes, different } = await cache.publish({
    ...{ stepKey: key, components, step: step.id, stage: step.stage, model },
    ...{ seconds, stages, estimate: step.estimate.seconds, drafts, replace: forced },
  }, { signal, tell: session.tell });
  emit({ type: "step-finished", step: step.id, seconds, stages, bytes });
  for (const output of different) {
    const message =
      `Output "${output}" of ${step.id} differs from what the same inputs gave before: it is not reproducible`;
    emit({ type: "warning", message });
  }
  return { stages };
}

/** What a step threw, told apart for the exit code: bad input and full disks are not the step's fault. */
function failureOf(thrown: unknown, { step }: Node, folder: string): Error {
  const bytes = Object.values(step.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
  const full = asNoSpace(thrown, folder, bytes);
  if (full !== undefined) return full;
  const error = asError(thrown);
  if (exitCodeOf(error) !== 1 || (error as { code?: unknown }).code === OUTPUT) return error;
  return new StepError(`Cannot complete step ${step.id}: ${error.message}`, { cause: thrown });
}

function abandon(cache: ArtifactCache, draft: Draft): void {
  try {
    cache.abandon(draft);
  } catch {
    // A step that was given up may still be writing there; the folder is swept when this process is gone.
  }
}

/** Waits for a step, and once it is asked to stop not much longer. */
async function untilStopped(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const given = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    timer = setTimeout(given.resolve, GRACE);
  };
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  try {
    await Promise.race([work, given.promise]);
    // What a step that was given up throws later concerns nobody.
    work.catch(() => {});
  } finally {
    signal.removeEventListener("abort", stop);
    clearTimeout(timer);
  }
}

/** Waits, but not beyond an abort. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end, { once: true });
  });
}
