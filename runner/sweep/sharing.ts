/**
 * What points of a sweep share: the order that reuses most, what is left to do for each once those before it are done, and
 * which outputs must outlive the point that makes them. No cache is changed and nothing is run.
 */
import type { ArtifactCache } from "../cache/cache.ts";
import { outputKey } from "../keys.ts";
import type { Mirrors } from "../mirror/mirrors.ts";
import type { PointWork, StepWork } from "./survey.ts";

/** What is left to do for one point. */
export interface PointShare {
  /** Steps that it will run. */
  readonly run: number;
  /** Steps that are made already, or by a point before it, or not needed. */
  readonly rest: number;
  /** Expected seconds of those that it runs. */
  readonly seconds: number;
}

/** An output that a later point reads. */
export interface Lent {
  readonly key: string;
  readonly retain: "keep" | "transient";
  readonly bytes: number;
  /** Seconds that making it again would take. */
  readonly seconds: number;
  /** Position in the order of the point that makes it; 0 where it is there already. */
  readonly from: number;
  /** Position of the last point that reads it. */
  readonly until: number;
}

/** A sweep's work, shared. */
export interface SharedWork {
  /** Indices of points, in the order in which they run. */
  readonly order: readonly number[];
  /** By the points' own indices. */
  readonly shares: readonly PointShare[];
  readonly lent: readonly Lent[];
}

/**
 * Puts points in an order in which those that begin alike follow one another, and finds what they hand to each other.
 *
 * @param points those that are to run
 * @param has whether an output is there already: `reachable`
 */
export function shareWork(points: readonly PointWork[], has: (key: string) => boolean): SharedWork {
  const order = orderOf(points);
  const made = new Map<string, number>();
  const lent = new Map<string, Lent>();
  const shares: PointShare[] = [];
  for (const [position, index] of order.entries()) {
    const { steps, required } = points[index];
    const run = stepsToRun(steps, { required, has: (key) => made.has(key) || has(key) });
    const own = new Set(run.flatMap(({ outputs }) => outputs.map(({ key }) => key)));
    const read = new Set(run.flatMap(({ inputs }) => inputs).filter((key) => !own.has(key)));
    for (const step of steps) {
      for (const { key, retain, bytes } of step.outputs) {
        if (!read.has(key)) continue;
        const from = made.get(key) ?? 0;
        lent.set(key, { key, retain, bytes, seconds: step.seconds, from, until: position });
      }
    }
    for (const key of own) made.set(key, position);
    shares[index] = {
      run: run.length,
      rest: steps.length - run.length,
      seconds: run.reduce((sum, { seconds }) => sum + seconds, 0),
    };
  }
  // What a point itself makes and reads is its own run's affair.
  return { order, shares, lent: [...lent.values()].filter(({ from, until }) => until > from) };
}

/** For `shareWork`: whether an output is in the cache, or a mirror has it. */
export function reachable(
  points: readonly PointWork[],
  cache: Pick<ArtifactCache, "has">,
  mirrors: Pick<Mirrors, "has"> | undefined,
): (key: string) => boolean {
  if (mirrors === undefined) return (key) => cache.has(key);
  const steps = new Set(points.flatMap(({ steps }) => steps.map(({ key }) => key)));
  const offered = new Set([...steps].flatMap((step) => mirrors.has(step).map((output) => outputKey(step, output))));
  return (key) => cache.has(key) || offered.has(key);
}

/** Steps of all points, and how many there are once those that points share count once. */
export function countSteps(points: readonly PointWork[]): { readonly all: number; readonly different: number } {
  const all = points.flatMap(({ steps }) => steps.map(({ key }) => key));
  return { all: all.length, different: new Set(all).size };
}

/** In how many ways a stage is done: points in which all its steps are the same do it in one. */
export function countWays(points: readonly PointWork[], stage: string): number {
  const keys = points.map(({ steps }) => steps.flatMap((step) => step.stage === stage ? [step.key] : []).join());
  return new Set(keys.filter((key) => key !== "")).size;
}

/** Backwards from what is required, as runs do it. */
function stepsToRun(
  steps: readonly StepWork[],
  { required, has }: { readonly required: readonly string[]; readonly has: (key: string) => boolean },
): StepWork[] {
  const needed = new Set(required);
  const run: StepWork[] = [];
  for (const step of steps.toReversed()) {
    if (!step.outputs.some(({ key }) => needed.has(key) && !has(key))) continue;
    run.push(step);
    for (const key of step.inputs) needed.add(key);
  }
  return run.reverse();
}

/** Points whose first steps are the same stand together, and among those the ones whose next are; else as they come. */
function orderOf(points: readonly PointWork[]): number[] {
  const ordered: number[] = [];
  const open: { readonly group: readonly number[]; readonly depth: number }[] = [
    { group: points.map((_, index) => index), depth: 0 },
  ];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { group, depth } = next;
    const ended = group.filter((index) => points[index].steps.length <= depth);
    ordered.push(...ended);
    const groups = Map.groupBy(
      group.filter((index) => points[index].steps.length > depth),
      (index) => points[index].steps[depth].key,
    );
    for (const each of [...groups.values()].reverse()) {
      if (each.length === 1) open.push({ group: each, depth: points[each[0]].steps.length });
      else open.push({ group: each, depth: depth + 1 });
    }
  }
  return ordered;
}
