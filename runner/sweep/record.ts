/**
 * sweep.json: what a sweep's folder says of its points. The leaderboard, the report and results pages are made of this alone.
 *
 * Not what runs a sweep, and not a run's own record (`../history.ts`).
 */
import type { Json } from "../stage.ts";

/**
 * A sweep, finished or not.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { SweepRecord } from "./record.ts";
 *
 * const point = { id: "4c1f", label: "keep 4", values: { "stages.coarse-search.keep": 4 }, state: "waiting" } as const;
 * const record: SweepRecord = {
 *   ...{ sweep: "20261127-keep", name: "keep", started: 0, seconds: 0, axes: ["stages.coarse-search.keep"], repeats: [] },
 *   ...{ points: [point], steps: { all: 40, different: 40 } },
 * };
 * assert.deepEqual(Object.keys(record.points[0].values), record.axes);
 * ```
 */
export interface SweepRecord {
  /** Name of the sweep's folder. */
  readonly sweep: string;
  /** The recipe's name. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly started: number;
  /** Seconds spent on it so far, in all its sessions. */
  readonly seconds: number;
  /** Recipe paths in which points differ, in the recipe's order; `extends` is one. */
  readonly axes: readonly string[];
  /** Of these, those that repeat a point rather than make another, such as a seed: rows are means over them. */
  readonly repeats: readonly string[];
  /** In the recipe's order. */
  readonly points: readonly SweepPoint[];
  /** Steps of all points, and how many there are once those that points share count once. */
  readonly steps: { readonly all: number; readonly different: number };
  /** Of what was asked for, whatever code and data make of it: the same recipe goes on in the same folder. */
  readonly identity?: string;
}

/**
 * One point of a sweep.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { SweepPoint } from "./record.ts";
 *
 * const failed = ({ state }: SweepPoint) => state === "failed";
 * const point: SweepPoint = { id: "4c1f", label: "of 24", values: {}, state: "failed", exit: 3, error: "Cannot prune" };
 * assert.ok(failed(point));
 * ```
 */
export interface SweepPoint {
  /** Unique in the sweep, and stable: made of its values. */
  readonly id: string;
  /** Of its results, by code and data too: where it is the same, they need not be made again. */
  readonly key?: string;
  /** As people call it, e.g. `gptq-3` or `keep 4, group_size 64`. */
  readonly label: string;
  /** By axis. */
  readonly values: Readonly<Record<string, Json>>;
  /** `failed` points have a reason; `waiting` ones have not been run. */
  readonly state: "finished" | "failed" | "interrupted" | "waiting";
  /** Its run's folder, relative to the sweep's; absent where not even that could be made. */
  readonly run?: string;
  /** Of a point that failed: exit code, reason, and the step that failed. */
  readonly exit?: number;
  readonly error?: string;
  readonly step?: string;
  /** Seconds that it took in the sweep. */
  readonly seconds?: number;
  /** Seconds that all of its steps took when they were made, shared ones too: what it would take alone. */
  readonly alone?: number;
  /** Bytes. */
  readonly peakMemory?: number;
  /** metrics.json of its run. */
  readonly metrics?: Json;
}
