/** Results of several runs block by block or layer by layer; runs of different models and methods too. */
import type { Json } from "../runner/stage.ts";
import { placeOf } from "./layer_names.ts";
import { Metrics } from "./metrics.ts";

/** What rows are. */
export const COMPARED_BY = ["block", "layer"] as const;
export type ComparedBy = typeof COMPARED_BY[number];

/** One run at one place. */
export interface PlaceResult {
  /** N of M that are kept, where the method prunes. */
  readonly keep?: number;
  /** Stored bits a weight that it was given, where the recipe allocates them. */
  readonly bits?: number;
  /** Relative error; of a block, the mean over its layers. */
  readonly error?: number;
}

/** One block or layer in all runs. */
export interface ComparedPlace {
  /** A block's number, or a layer's name; layers outside blocks have theirs in any case. */
  readonly place: string;
  /** One per run, in their order; empty where it has no such place. */
  readonly results: readonly PlaceResult[];
}

/**
 * Sets blocks or layers side by side.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildMetrics } from "./metrics.ts";
 * import { FACTS } from "./metrics_test_support.ts";
 *
 * const layers = ["model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj"].map((name, i) => ({ name, error: i }));
 * const a = buildMetrics({ ...FACTS, keep: [5], layerErrors: layers });
 * const { keep: _keep, ...b } = a;
 * assert.deepEqual(compareLayers([a, b, undefined], "block"), [
 *   { place: "0", results: [{ keep: 5, error: 0.5 }, { error: 0.5 }, {}] },
 * ]);
 * const allocation = { mean: 2, blocks: [2.1], layers: layers.map(({ name }, i) => ({ name, bits: 2 + i })) };
 * assert.deepEqual(compareLayers([{ ...b, allocation }], "layer").map(({ results }) => results[0].bits), [2, 3]);
 * ```
 * @param metrics of each run, as read from metrics.json; what cannot be read has no results
 */
export function compareLayers(metrics: readonly (Json | Metrics | undefined)[], by: ComparedBy): ComparedPlace[] {
  const runs = metrics.map((each) => resultsOf(Metrics.safeParse(each).data, by));
  const places = [...new Set(runs.flatMap((results) => [...results.keys()]))];
  return places.map((place) => ({ place, results: runs.map((results) => results.get(place) ?? {}) }));
}

function resultsOf(metrics: Metrics | undefined, by: ComparedBy): Map<string, PlaceResult> {
  if (metrics === undefined) return new Map();
  const { keep, allocation, layer_error: { layers } } = metrics;
  const given = new Map(allocation?.layers.map(({ name, bits }) => [name, bits]));
  const groups = Map.groupBy(layers, ({ name }) => by === "layer" ? name : `${placeOf(name)?.block ?? name}`);
  return new Map([...groups].map(([place, layers]) => {
    const block = placeOf(layers[0].name)?.block;
    const kept = block === undefined ? undefined : keep?.[block];
    const error = layers.reduce((sum, { error }) => sum + error, 0) / layers.length;
    const bits = by === "layer"
      ? given.get(layers[0].name)
      : block === undefined
      ? undefined
      : allocation?.blocks[block];
    return [place, {
      ...(kept === undefined ? {} : { keep: kept }),
      ...(bits === undefined ? {} : { bits }),
      error,
    }];
  }));
}
