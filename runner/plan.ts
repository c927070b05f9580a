/**
 * The plan of a run: every step as cached, to run or not needed; why, and what it will cost. It is exact and free: nothing
 * is computed and no weights are read.
 */
import type { ArtifactCache } from "./cache/cache.ts";
import type { Reason, StepSummary } from "./events.ts";
import { makeExplainer, type Sources } from "./explain.ts";
import {
  buildGraph,
  descendants,
  type Graph,
  type Node,
  outputKeys,
  resolve,
  resultKeys,
  type State,
} from "./graph.ts";
import type { Mirrors, Missing } from "./mirror/mirrors.ts";
import type { Recipe } from "../recipes/language.ts";
import type { Step, Subject } from "./stage.ts";

/** How a plan is made. */
export interface PlanOptions {
  readonly recipe: Recipe;
  /** Where the recipe states its values, for naming lines. */
  readonly sources?: Sources;
  /** The stage after which the run stops. */
  readonly until?: string;
  /** The stage that is made again although it is cached, with everything that depends on it. */
  readonly from?: string;
  /** Where steps are looked for that the cache does not have. */
  readonly mirrors?: Mirrors;
  /** Told what is wrong with mirrors. */
  readonly warn?: (message: string) => void;
  /** Ends looking at mirrors. */
  readonly signal?: AbortSignal;
}

/** One step of a plan. */
export interface PlannedStep extends StepSummary {
  readonly step: Step;
  /** Content key of the step. */
  readonly key: string;
  /** Content keys of its outputs, by name. */
  readonly outputs: Readonly<Record<string, string>>;
}

/**
 * What a run will do.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan, type Plan } from "./plan.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const plan: Plan = await makePlan(openArithmetic(recipe, { blocks: 1 }), cache, { recipe, until: "calibrate" });
 * assert.deepEqual(plan.steps.filter(({ state }) => state === "run").map(({ id }) => id), ["embed", "calibrate[0]"]);
 * assert.equal(plan.totals.seconds, 1);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface Plan {
  readonly model: string;
  readonly method: string;
  readonly graph: Graph;
  readonly steps: readonly PlannedStep[];
  /** Output keys that must exist in the end. */
  readonly required: ReadonlySet<string>;
  /** Output keys that only the end of the run reads, where they are missing and a mirror has them. */
  readonly extra: ReadonlySet<string>;
  /** Steps that run although they are cached. */
  readonly forced: ReadonlySet<string>;
  /** Steps left out by `until`; what they will read is not deleted. */
  readonly later: ReadonlySet<string>;
  readonly until?: string;
  readonly totals: {
    readonly run: number;
    readonly cached: number;
    readonly skip: number;
    /** Steps that are fetched from mirrors, and the bytes to fetch. */
    readonly fetch: { readonly steps: number; readonly bytes: number };
    /** Seconds of the steps that run, one after another. */
    readonly seconds: number;
    /** Bytes of memory at the peak. */
    readonly memory: number;
    /** Bytes on the disk at the peak, beyond what is there. */
    readonly disk: number;
  };
}

/** The steps of one stage of a plan. */
export interface StageSummary {
  readonly stage: string;
  /** `partly`: some of its blocks are cached. */
  readonly state: State | "partly";
  readonly run: number;
  readonly cached: number;
  readonly skip: number;
  readonly fetch: { readonly steps: number; readonly bytes: number };
  /** Of the steps that run. */
  readonly seconds: number;
  /** Of the first step that runs. */
  readonly why?: Reason;
}

/**
 * Plans a run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan } from "./plan.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const plan = await makePlan(openArithmetic(recipe, { blocks: 2 }), cache, { recipe });
 * assert.equal(plan.totals.run, plan.steps.length);
 * assert.equal(plan.steps[0].why?.field, "first run");
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @throws {RangeError} when `until` or `from` is not a stage of the subject
 * @throws {Error} when the subject's steps do not fit together
 */
export async function makePlan(
  subject: Subject,
  cache: ArtifactCache,
  { recipe, sources, until, from, mirrors, warn = () => {}, signal }: PlanOptions,
): Promise<Plan> {
  const graph = buildGraph(subject.steps, recipe);
  const forced = from === undefined ? new Set<string>() : descendants(graph, idsOf(graph, from, "--from"));
  const all = subject.targets.flatMap((id) => resultKeys(nodeOf(graph, id)));
  const damaged = await cache.findDamaged(outputKeys(graph), { unknown: false });
  const has = memo((key: string) => cache.has(key) && !damaged.has(key));
  await mirrors?.ready({ warn, signal });
  const offers = offersOf(mirrors);
  const extra = new Set(
    until !== undefined ? [] : (subject.read ?? []).flatMap(({ step, output }) => {
      const node = nodeOf(graph, step), key = node.outputs[output];
      return has(key) || !offers(node, [output]) ? [] : [key];
    }),
  );
  const complete = resolve(graph, { has, required: [...all, ...extra], forced, offers });
  const required = new Set(
    until === undefined ? all : idsOf(graph, until, "--until").flatMap((id) => resultKeys(nodeOf(graph, id))),
  );
  const states = until === undefined ? complete : resolve(graph, { has, required, forced, offers });
  const later = new Set(
    [...complete].filter(([id, state]) => state === "run" && states.get(id) !== "run").map(([id]) => id),
  );

  const needed = neededOf(graph, { states, required: [...required, ...extra] });
  const explain = makeExplainer({ graph, cache, model: subject.model, sources });
  const secondsOf = makeEstimator(cache, subject.model);
  const steps = [...graph].map(([id, node]): PlannedStep => {
    const { step, key, outputs } = node;
    const state = states.get(id) ?? "skip";
    const why = state === "run" ? reasonOf(node, { forced, has, damaged, explain }) : undefined;
    const missing = missingOf(
      node,
      Object.keys(outputs).filter((name) => needed.has(outputs[name]) && !has(outputs[name])),
    );
    const fetch = state === "fetch" ? mirrors?.offer(missing) : undefined;
    const disk = Object.values(step.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
    return {
      ...{ id, stage: step.stage, ...(step.block === undefined ? {} : { block: step.block }), state },
      ...(why === undefined ? {} : { why }),
      ...(fetch === undefined ? {} : { fetch }),
      ...{ seconds: secondsOf(step), memory: step.estimate.memory, disk, step, key, outputs },
    };
  });
  const run = steps.filter(({ state }) => state === "run");
  const count = (wanted: State) => steps.filter(({ state }) => state === wanted).length;
  const totals = {
    ...{ run: run.length, cached: count("cached"), skip: count("skip"), fetch: fetchOf(steps) },
    seconds: run.reduce((sum, { seconds }) => sum + seconds, 0),
    memory: run.reduce((most, { memory }) => Math.max(most, memory), 0),
    disk: peakDisk(run, { later, graph, has }) + fetchOf(steps).bytes,
  };
  const { model, method } = subject;
  return {
    ...{ model, method, graph, steps, required, extra, forced, later, totals },
    ...(until === undefined ? {} : { until }),
  };
}

/** A plan by stages, in the order of their first steps. */
export function summarizeStages(plan: Plan): StageSummary[] {
  const stages = new Map<string, PlannedStep[]>();
  for (const step of plan.steps) stages.set(step.stage, [...stages.get(step.stage) ?? [], step]);
  return [...stages].map(([stage, steps]) => {
    const of = (wanted: State) => steps.filter(({ state }) => state === wanted);
    const [run, cached, skip] = [of("run"), of("cached"), of("skip")];
    const fetch = fetchOf(steps), there = cached.length + fetch.steps;
    const ready = fetch.steps > 0 ? "fetch" : cached.length > 0 ? "cached" : "skip";
    const state = run.length > 0 ? (there > 0 ? "partly" : "run") : ready;
    const why = run[0]?.why;
    return {
      ...{ stage, state, run: run.length, cached: cached.length, skip: skip.length, fetch },
      seconds: run.reduce((sum, { seconds }) => sum + seconds, 0),
      ...(why === undefined ? {} : { why }),
    };
  });
}

/** What the journal and other programs see of a planned step. */
export function summaryOf({ step: _step, outputs: _outputs, ...summary }: PlannedStep): StepSummary {
  return summary;
}

/** For `resolve`: whether a mirror has what is missing of a step. @param except steps that did not come */
export function offersOf(
  mirrors: Mirrors | undefined,
  except: ReadonlySet<string> = new Set(),
): (node: Node, outputs: readonly string[]) => boolean {
  return (node, outputs) => !except.has(node.step.id) && mirrors?.offer(missingOf(node, outputs)) !== undefined;
}

/** What is asked of mirrors. @param outputs of the step, by name, that are missing */
export function missingOf({ step, key }: Pick<Node, "step" | "key">, outputs: readonly string[]): Missing {
  return { stepKey: key, outputs: Object.fromEntries(outputs.map((name) => [name, step.outputs[name].bytes])) };
}

/** Output keys that must be there in the end, or that steps which run take. */
export function neededOf(
  graph: Graph,
  { states, required }: { readonly states: ReadonlyMap<string, State>; readonly required: Iterable<string> },
): Set<string> {
  const taken = [...graph].filter(([id]) => states.get(id) === "run").flatMap(([, { inputs }]) =>
    Object.values(inputs)
  );
  return new Set([...required, ...taken]);
}

/** How many steps are fetched, and their bytes. */
function fetchOf(steps: readonly PlannedStep[]): { readonly steps: number; readonly bytes: number } {
  const fetched = steps.filter(({ state }) => state === "fetch");
  return { steps: fetched.length, bytes: fetched.reduce((sum, { fetch }) => sum + (fetch?.bytes ?? 0), 0) };
}

function nodeOf(graph: Graph, id: string): Node {
  const node = graph.get(id);
  if (node === undefined) throw new Error(`Cannot plan: target "${id}" is not a step`);
  return node;
}

function idsOf(graph: Graph, stage: string, option: string): string[] {
  const ids = [...graph].filter(([, { step }]) => step.stage === stage).map(([id]) => id);
  if (ids.length > 0) return ids;
  const stages = [...new Set([...graph.values()].map(({ step }) => step.stage))].join(", ");
  throw new RangeError(
    `Cannot plan with ${option} ${stage} as it must have steps of its own in this recipe: the stages are ${stages}`,
  );
}

function reasonOf(
  node: Node,
  { forced, has, damaged, explain }: {
    readonly forced: ReadonlySet<string>;
    readonly has: (key: string) => boolean;
    readonly damaged: ReadonlyMap<string, string>;
    readonly explain: (node: Node) => Reason;
  },
): Reason {
  if (forced.has(node.step.id) && resultKeys(node).every((key) => has(key))) return { field: "forced" };
  if (Object.values(node.outputs).some((key) => damaged.has(key))) return { field: "corrupt" };
  return explain(node);
}

/**
 * Seconds by what was measured: the step itself, else steps of its kind, each relative to what had been expected, so that a
 * step of another size is expected to be as much off; else what the stage expects. Other steps of the
 * stage tell nothing: how long its blocks take does not say how long reading its text does.
 */
function makeEstimator(cache: ArtifactCache, model: string): (step: Step) => number {
  const recordsOf = memo((stage: string) => Map.groupBy(cache.recordsOfStage(stage), ({ step }) => kindOf(step)));
  const ratioOf = ({ stage, id }: Step) => {
    const ratios = (recordsOf(stage).get(kindOf(id)) ?? []).filter(({ estimate }) => estimate > 0)
      .map(({ seconds, estimate }) => seconds / estimate).sort((a, b) => a - b);
    return ratios.length > 0 ? ratios[ratios.length >> 1] : 1;
  };
  return (step) => {
    const expected = step.estimate.seconds;
    const [latest] = cache.records(model, step.id);
    if (latest === undefined) return expected * ratioOf(step);
    return latest.estimate > 0 && expected > 0 ? expected * latest.seconds / latest.estimate : latest.seconds;
  };
}

/** A step's id without its block: `calibrate[3]` and `calibrate.windows` are two kinds of one stage. */
function kindOf(id: string): string {
  return id.replace(/\[\d+\]$/, "");
}

/** Bytes at the peak, when transient outputs go as soon as nothing reads them any more. */
function peakDisk(
  run: readonly PlannedStep[],
  { graph, later, has }: {
    readonly graph: Graph;
    readonly later: ReadonlySet<string>;
    readonly has: (key: string) => boolean;
  },
): number {
  const readers = new Map<string, number>();
  for (const id of [...run.map(({ id }) => id), ...later]) {
    for (const key of new Set(Object.values(graph.get(id)?.inputs ?? {}))) {
      readers.set(key, (readers.get(key) ?? 0) + 1);
    }
  }
  const transient = new Map<string, number>();
  let now = 0;
  let peak = 0;
  for (const { id, step, outputs } of run) {
    for (const [name, { retain, bytes }] of Object.entries(step.outputs)) {
      if (has(outputs[name])) continue;
      now += bytes;
      if (retain === "transient") transient.set(outputs[name], bytes);
    }
    peak = Math.max(peak, now);
    for (const key of new Set(Object.values(graph.get(id)?.inputs ?? {}))) {
      readers.set(key, (readers.get(key) ?? 0) - 1);
    }
    for (const [key, bytes] of [...transient]) {
      if ((readers.get(key) ?? 0) > 0) continue;
      now -= bytes;
      transient.delete(key);
    }
  }
  return peak;
}

function memo<K, V>(compute: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const value = known.get(key);
    if (value !== undefined) return value;
    const fresh = compute(key);
    known.set(key, fresh);
    return fresh;
  };
}
