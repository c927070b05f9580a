/** How runs differ: values of their recipes, and numbers of their results. Block by block: `report/compare_layers.ts`. */
import { fromJsonNumber } from "../files/json_number.ts";
import { isTree } from "./explain.ts";
import type { RunInfo, RunRecord } from "./history.ts";
import { canonicalJson } from "./keys.ts";
import type { Json } from "./stage.ts";

/** Runs side by side. In every list of values, one stands for each run, in their order; undefined where a run has none. */
export interface RunComparison {
  readonly runs: readonly RunInfo[];
  /** Recipe values that are not the same in all, by path. */
  readonly recipe: readonly { readonly field: string; readonly values: readonly (Json | undefined)[] }[];
  /** Numbers of metrics.json by path, but not those per layer. */
  readonly metrics: readonly { readonly path: string; readonly values: readonly (number | undefined)[] }[];
}

/**
 * Compares any number of runs, of whatever models and methods.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { RunRecord } from "./history.ts";
 * import { compareRuns } from "./compare_runs.ts";
 *
 * const a: RunRecord = {
 *   run: "a", folder: "/runs/a", recipe: "mine", model: "tiny", method: "pbs2p", outcome: "finished", started: 0,
 *   seconds: 1, steps: { run: 1, cached: 0 }, device: { kind: "cpu", name: "test", why: "there is no other" },
 *   events: [], settings: { spbo: { resign: 0 }, seed: 1 }, metrics: { perplexity: 37.2 },
 * };
 * const b = { ...a, run: "b", settings: { spbo: { resign: 1 }, seed: 1 }, metrics: { perplexity: 36 } };
 * const { recipe, metrics } = compareRuns([a, b, a]);
 * assert.deepEqual(recipe, [{ field: "spbo.resign", values: [0, 1, 0] }]);
 * assert.deepEqual(metrics, [{ path: "perplexity", values: [37.2, 36, 37.2] }]);
 * ```
 */
export function compareRuns(runs: readonly RunRecord[]): RunComparison {
  return {
    runs: runs.map(infoOnly),
    recipe: differences(runs.map(({ settings }) => settings)),
    metrics: numbers(runs.map(({ metrics }) => metrics)),
  };
}

function infoOnly(
  { events: _events, settings: _settings, lock: _lock, metrics: _metrics, ...info }: RunRecord,
): RunInfo {
  return info;
}

/** All innermost values that differ. */
function differences(values: readonly (Json | undefined)[], path = ""): RunComparison["recipe"] {
  const texts = new Set(values.map((value) => value === undefined ? "" : canonicalJson(value)));
  if (texts.size <= 1) return [];
  const trees = values.filter((value) => isTree(value));
  const alike = new Set(trees.map((tree) => Array.isArray(tree))).size === 1;
  if (trees.length < values.length || !alike) return [{ field: path, values }];
  return namesOf(trees).flatMap((name) => differences(trees.map((tree) => tree[name]), join(path, name)));
}

/** Numbers that any has, beside their neighbours; lists, which are per layer or block, are left out. */
function numbers(values: readonly (Json | undefined)[], path = ""): RunComparison["metrics"] {
  const found = values.map(fromJsonNumber);
  if (found.some((value) => value !== undefined)) return [{ path, values: found }];
  const trees = values.map((value) => isTree(value) && !Array.isArray(value) ? value : {});
  return namesOf(trees).flatMap((name) => numbers(trees.map((tree) => tree[name]), join(path, name)));
}

function namesOf(trees: readonly Readonly<Record<string, Json>>[]): string[] {
  return [...new Set(trees.flatMap((tree) => Object.keys(tree)))];
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
