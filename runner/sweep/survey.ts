/**
 * The points of a sweep, opened one after another and closed again: which steps each has, under which keys, and what cannot
 * even be opened. Nothing is computed and no weights are read.
 */
import type { ArtifactCache } from "../cache/cache.ts";
import { canonicalJson, sha256 } from "../keys.ts";
import type { Sources } from "../explain.ts";
import type { Mirrors } from "../mirror/mirrors.ts";
import { makePlan, type Plan } from "../plan.ts";
import { asError, exitCodeOf } from "../run_errors.ts";
import type { Recipe } from "../../recipes/language.ts";
import type { DeviceRecord, Json, OpenOptions, Pipeline } from "../stage.ts";

/** A point as it is asked for. */
export interface Point<R extends Recipe = Recipe> {
  /** Unique in its sweep, and fit for a file's name. */
  readonly id: string;
  readonly label: string;
  /** By path. */
  readonly values: Readonly<Record<string, Json>>;
  readonly recipe: R;
  readonly sources?: Sources;
}

/** A step of a point, as far as sharing goes. */
export interface StepWork {
  readonly id: string;
  readonly stage: string;
  readonly key: string;
  /** Output keys that it reads. */
  readonly inputs: readonly string[];
  readonly outputs: readonly { readonly key: string; readonly retain: "keep" | "transient"; readonly bytes: number }[];
  /** Expected. */
  readonly seconds: number;
}

/** What there is to do for a point, were it alone. */
export interface PointWork {
  readonly model: string;
  readonly method: string;
  readonly device: DeviceRecord;
  /** In an order in which they can run. */
  readonly steps: readonly StepWork[];
  /** Output keys that must exist in the end. */
  readonly required: readonly string[];
  /** Of all that it results in. */
  readonly key: string;
}

/** A point that was looked at: its work, or why there is none. */
export interface SurveyedPoint<R extends Recipe = Recipe> extends Point<R> {
  readonly work?: PointWork;
  /** Why it cannot be opened: its exit code and reason. */
  readonly failure?: { readonly exit: number; readonly message: string };
}

/** How points are opened. */
export interface SurveyOptions<R extends Recipe> {
  readonly pipeline: Pipeline<R>;
  readonly open: Omit<OpenOptions, "cache" | "hashes">;
  readonly cache: ArtifactCache;
  /** Where steps are looked for that the cache does not have. */
  readonly mirrors?: Mirrors;
  /** Told what is wrong with them. */
  readonly warn?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Opens all points, in their order. One that cannot be opened is told as failed, and the others go on.
 *
 * @throws what stops each of them alike, and the signal's reason
 */
export async function surveySweep<R extends Recipe>(
  points: readonly Point<R>[],
  { signal, ...options }: SurveyOptions<R>,
): Promise<SurveyedPoint<R>[]> {
  await options.mirrors?.ready({ warn: options.warn ?? (() => {}), signal });
  const surveyed: SurveyedPoint<R>[] = [];
  let first: Error | undefined;
  for (const point of points) {
    signal?.throwIfAborted();
    try {
      surveyed.push({ ...point, work: await lookAt(point, options) });
    } catch (thrown) {
      const error = asError(thrown);
      first ??= error;
      surveyed.push({ ...point, failure: { exit: exitCodeOf(error), message: error.message } });
    }
  }
  if (first && surveyed.every(({ failure }) => failure?.message === first?.message)) throw first;
  return surveyed;
}

async function lookAt<R extends Recipe>(
  { recipe, sources }: Point<R>,
  { pipeline, open, cache, mirrors }: SurveyOptions<R>,
): Promise<PointWork> {
  const subject = await pipeline.open(recipe, { ...open, cache: cache.folder, hashes: cache.fileHashes });
  try {
    const plan = await makePlan(subject, cache, { recipe, sources, mirrors });
    return { ...workOf(plan), device: subject.device };
  } finally {
    await subject.close();
  }
}

/** A plan without what only its own run needs. */
function workOf({ model, method, steps, graph, required }: Plan): Omit<PointWork, "device"> {
  return {
    ...{ model, method, required: [...required], key: sha256(canonicalJson([...required].sort())) },
    steps: steps.map(({ id, stage, key, step, outputs, seconds }) => ({
      ...{ id, stage, key, seconds, inputs: Object.values(graph.get(id)?.inputs ?? {}) },
      outputs: Object.entries(outputs).map(([name, key]) => ({ key, ...step.outputs[name] })),
    })),
  };
}
