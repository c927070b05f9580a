/** One step of a run that is fetched from a mirror instead of being made; published as if it had been made here. */
import type { Draft } from "./cache/artifact.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import { asNoSpace } from "./cache/no_space.ts";
import type { Node } from "./graph.ts";
import { missingOf } from "./plan.ts";
import type { Mirrors } from "./mirror/mirrors.ts";
import { asError } from "./run_errors.ts";
import type { Outcome, StepOptions } from "./run_step.ts";

/** Names of stages in what a mirror says of seconds. */
const STAGE = /^[\w-]{1,64}$/;

/** More seconds than that nobody has spent: a year's. */
const MOST_SECONDS = 31_557_600;

/**
 * Fetches what is needed of a step. Only values, files and seconds are taken from the mirror; whose they are is known here.
 *
 * @param node whose maker this process is already
 * @returns as `runStep`; `unfetched` when no mirror gives it, so that it must be made
 * @throws {Error} when it cannot be written
 * @throws the signal's reason when it is aborted
 */
export async function fetchStep(
  { step, key, components, outputs }: Node,
  mirrors: Mirrors,
  { cache, model, signal, emit, needed }: StepOptions,
): Promise<Outcome> {
  const began = performance.now(), keys = needed();
  const missing = Object.entries(outputs).filter(([, output]) => keys.has(output) && !cache.has(output))
    .map(([name]) => name);
  if (missing.length === 0) return { kind: "done", id: step.id };
  let reached = { done: 0, total: 1 };
  const tell = (note: string) => emit({ type: "step-progress", step: step.id, ...reached, note });
  const fetched = await mirrors.fetch(
    missingOf({ step, key }, missing),
    { cache, signal, tell, warn: (message) => emit({ type: "warning", message }) },
  ).catch((error) => {
    throw asNoSpace(error, cache.folder, 0) ?? error;
  });
  if (fetched === undefined) return { kind: "unfetched", id: step.id };
  const drafts = [...fetched.outputs.values()].map(({ draft }) => draft);
  try {
    const [{ manifest }] = fetched.outputs.values();
    reached = { done: 1, total: 1 };
    const { bytes } = await cache.publish({
      ...{ stepKey: key, components, step: step.id, stage: step.stage, model, origin: fetched.from },
      ...{ seconds: bounded(manifest.seconds), estimate: bounded(manifest.estimate) },
      stages: Object.fromEntries(
        Object.entries(manifest.stages).filter(([stage]) => STAGE.test(stage))
          .map(([stage, seconds]) => [stage, bounded(seconds)]),
      ),
      drafts: Object.fromEntries(
        [...fetched.outputs].map(([name, { draft }]) => [name, { draft, retain: step.outputs[name].retain }]),
      ),
    }, { signal, tell });
    const seconds = (performance.now() - began) / 1000;
    emit({ type: "step-finished", step: step.id, seconds, stages: {}, bytes, from: fetched.from });
    return { kind: "done", id: step.id, fetched: true };
  } catch (error) {
    drafts.forEach((draft) => abandon(cache, draft));
    throw asNoSpace(error, cache.folder, 0) ?? asError(error);
  }
}

function bounded(seconds: number): number {
  return Math.min(seconds, MOST_SECONDS);
}

function abandon(cache: ArtifactCache, draft: Draft): void {
  try {
    cache.abandon(draft);
  } catch {
    // The folder is swept when this process is gone.
  }
}
