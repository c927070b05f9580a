/** Why a step runs: the first field in which its content key differs from the nearest one that was made before. */
import type { ArtifactCache } from "./cache/cache.ts";
import type { StepRecord } from "./cache/cache_index.ts";
import type { Reason } from "./events.ts";
import type { Graph, Node } from "./graph.ts";
import { canonicalJson, type KeyComponents } from "./keys.ts";
import type { Json } from "./stage.ts";

/** Where values of a recipe are stated, by path; anything but a place (such as "default") is passed over. */
export type Sources = ReadonlyMap<string, string | { readonly file: string; readonly line: number }>;

/** A change of one value. */
export interface Difference {
  /** Path of the innermost value that differs, names and list indices joined by dots. */
  readonly field: string;
  readonly before?: Json;
  readonly now?: Json;
}

/** What is needed to explain the steps of one plan. */
export interface ExplainContext {
  readonly graph: Graph;
  readonly cache: ArtifactCache;
  readonly model: string;
  readonly sources?: Sources;
}

/**
 * Makes a function that says why a step's results are not in the cache.
 *
 * A difference in an input is traced to the step where it began, so that a change of one recipe value is named as such in
 * all that depends on it.
 */
export function makeExplainer({ graph, cache, model, sources = new Map() }: ExplainContext): (node: Node) => Reason {
  const known = new Map<string, Reason>();

  function blame(node: Node, before: StepRecord): Reason {
    const name = `${node.step.id} ${before.stepKey}`;
    const reason = known.get(name) ?? trace(node, before.components);
    known.set(name, reason);
    return reason;
  }

  function trace({ step, components, inputs }: Node, before: KeyComponents): Reason {
    const own = ownDifference(before, components);
    if (own !== undefined) return { ...own, ...place(sources, own.field) };
    for (const [name, key] of Object.entries(inputs)) {
      if (before.inputs[name] === key) continue;
      const upstream = step.inputs[name].step;
      const old = cache.producer(before.inputs[name] ?? "");
      const field = `inputs.${name}`;
      if (old === undefined) return { field };
      if (old.step !== upstream) return { field, before: old.step, now: upstream };
      const producer = graph.get(upstream);
      if (producer === undefined || producer.key === old.stepKey) return { field };
      return { step: upstream, ...blame(producer, old) };
    }
    const gone = Object.keys(before.inputs).find((name) => !Object.hasOwn(inputs, name));
    return { field: gone === undefined ? "stage" : `inputs.${gone}` };
  }

  return (node) => {
    const records = cache.records(model, node.step.id);
    const same = records.some(({ stepKey }) => stepKey === node.key);
    if (same) {
      const transient = Object.entries(node.outputs)
        .every(([name, key]) => node.step.outputs[name].retain === "transient" || cache.has(key));
      return { field: transient ? "transient" : "evicted" };
    }
    const nearest = nearestRecord(records, node.components);
    return nearest === undefined ? { field: "first run" } : blame(node, nearest);
  };
}

/**
 * The first innermost value in which two JSON values differ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(firstDifference({ a: [1, 2] }, { a: [1, 3] }, "x"), { field: "x.a.1", before: 2, now: 3 });
 * ```
 * @param path of the values themselves
 */
export function firstDifference(before: Json | undefined, now: Json | undefined, path: string): Difference | undefined {
  if (before !== undefined && now !== undefined && canonicalJson(before) === canonicalJson(now)) return undefined;
  if (before === undefined && now === undefined) return undefined;
  if (isTree(before) && isTree(now) && Array.isArray(before) === Array.isArray(now)) {
    const names = Object.keys({ ...before, ...now });
    if (!Array.isArray(before)) names.sort();
    for (const name of names) {
      const inner = firstDifference(before[name], now[name], path === "" ? name : `${path}.${name}`);
      if (inner !== undefined) return inner;
    }
  }
  return { field: path, before, now };
}

/** Differences in what a step itself states: its code, then its facts, then the recipe's values. */
function ownDifference(before: KeyComponents, now: KeyComponents): Difference | undefined {
  return firstDifference(before.code, now.code, "code") ??
    firstDifference(before.facts, now.facts, "facts") ??
    firstDifference(before.reads, now.reads, "");
}

/** The record that differs in the fewest components, the newest of those. */
function nearestRecord(records: readonly StepRecord[], now: KeyComponents): StepRecord | undefined {
  let nearest: { record: StepRecord; differences: number } | undefined;
  for (const record of records) {
    const differences = countDifferences(record.components, now);
    if (nearest === undefined || differences < nearest.differences) nearest = { record, differences };
  }
  return nearest?.record;
}

function countDifferences(before: KeyComponents, now: KeyComponents): number {
  let count = Number(before.code !== now.code);
  for (const part of ["facts", "reads", "inputs"] as const) {
    for (const name of Object.keys({ ...before[part], ...now[part] })) {
      count += Number(firstDifference(before[part][name], now[part][name], name) !== undefined);
    }
  }
  return count;
}

/** Where a value, or the nearest one around it, is stated. */
function place(sources: Sources, field: string): { at?: { file: string; line: number } } {
  for (let path = field; path !== ""; path = path.slice(0, Math.max(0, path.lastIndexOf(".")))) {
    const source = sources.get(path);
    if (typeof source === "object") return { at: { file: source.file, line: source.line } };
    if (source !== undefined) return {};
  }
  return {};
}

/** Whether a value is a map or a list. */
export function isTree(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null;
}
