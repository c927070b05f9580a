/**
 * The leaderboard of a sweep as data: points that repeat each other made one row, rows in order, the Pareto front, and what did not come
 * to an end. Not how it looks, which is `leaderboard_text.ts`, `leaderboard_csv.ts` and `sweep_report.ts`.
 */
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import type { Json } from "../runner/stage.ts";
import { axisNames, axisText } from "./axis_names.ts";
import { Metrics, PARTS, totalError } from "./metrics.ts";
import { paretoFront } from "./pareto.ts";
import { meanAccuracy } from "./task_scores.ts";

/** A number of points that repeat each other. */
export interface Spread {
  readonly mean: number;
  /** Standard deviation of the sample (n − 1 below the line); of two points or more. */
  readonly sd?: number;
  readonly min: number;
  readonly max: number;
}

/** One row: a point, or the finished ones among points that differ in `repeats` only. */
export interface Row {
  readonly label: string;
  /** Ids of its finished points. */
  readonly points: readonly string[];
  /** Points that repeat each other, those that did not finish too. */
  readonly of: number;
  /** By axis, without those that repeat. */
  readonly values: Readonly<Record<string, Json>>;
  readonly model: string;
  readonly method: string;
  /** By evaluation. */
  readonly perplexity: Readonly<Record<string, Spread>>;
  /** Mean KL divergence of the next token from the original's, and the share with the same likeliest one, where it was looked at. */
  readonly divergence: Readonly<Record<string, { readonly kl: Spread; readonly sameTop: Spread }>>;
  /** Mean `acc` over the tasks that were asked; undefined where none was. */
  readonly tasks?: Spread;
  /** Of the uncompressed model, by evaluation. */
  readonly original: Readonly<Record<string, number>>;
  /** Evaluations on whose Pareto front of perplexity and whole-file bits it is, among rows of its model. */
  readonly front: readonly string[];
  /** `embedding` and `head` are missing where the record does not say. */
  readonly bits:
    & { readonly nominal: Spread; readonly stored: Spread; readonly model: Spread }
    & {
      readonly [part in typeof PARTS[number]]?: Spread;
    };
  /** Stored bits by component; means. */
  readonly components: Readonly<Record<string, number>>;
  /** Of the packed file; mean. */
  readonly bytes: Spread;
  readonly layerError: { readonly mean: Spread; readonly total: Spread };
  /** `alone`: with the steps that it shares; both are missing where the record does not say. */
  readonly seconds: { readonly sweep?: Spread; readonly alone?: Spread };
  /** Bytes. */
  readonly peakMemory: Spread;
}

/** A point that has no result. */
export type Unfinished = Pick<SweepPoint, "id" | "label" | "values" | "state" | "step" | "exit" | "run"> & {
  /** Why, in words. */
  readonly reason: string;
};

/** An axis that tells rows apart. */
export interface Axis {
  readonly path: string;
  /** The end of the path that no other axis has. */
  readonly name: string;
  /** Whether every row's label says its value. */
  readonly said: boolean;
}

/** The uncompressed perplexity of a model. */
export interface Original {
  readonly model: string;
  readonly perplexity: Readonly<Record<string, number>>;
}

/** A leaderboard. */
export interface Leaderboard {
  /** Axes that do not repeat, and in which points differ. */
  readonly axes: readonly Axis[];
  readonly evaluations: readonly string[];
  /** Usually one. */
  readonly originals: readonly Original[];
  /** By bits of the whole file, then perplexity of the first evaluation. */
  readonly rows: readonly Row[];
  readonly unfinished: readonly Unfinished[];
}

/** A finished point with its metrics read. */
interface Measured {
  readonly point: SweepPoint;
  readonly metrics: Metrics;
}

/**
 * Makes the leaderboard. Rows stand in the order of whole-file bits, and of perplexity where these are equal: neighbours are those that
 * may be compared, and of one model those on the front are those whose perplexity is below all that stand above them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sweepOf } from "./sweep_test_support.ts";
 *
 * const { rows } = buildLeaderboard(sweepOf([{ label: "b", model: 4, perplexity: 30 }, { label: "a", model: 3, perplexity: 40 }]));
 * assert.deepEqual(rows.map(({ label, front }) => [label, front]), [["a", ["heldout"]], ["b", ["heldout"]]]);
 * ```
 */
export function buildLeaderboard(record: SweepRecord): Leaderboard {
  const measured: Measured[] = [], unfinished: Unfinished[] = [];
  for (const point of record.points) {
    const read = point.state === "finished" ? Metrics.safeParse(point.metrics) : undefined;
    if (read?.success === true) measured.push({ point, metrics: read.data });
    else unfinished.push(withReason(point, read !== undefined));
  }
  const axes = record.axes.filter((path) => !record.repeats.includes(path) && differs(record.points, path));
  const evaluations = [...new Set(measured.flatMap(({ metrics }) => Object.keys(metrics.perplexity)))];
  const groups = Map.groupBy(measured, ({ point, metrics }) => groupOf(point, record, metrics.model));
  const all = Map.groupBy(record.points, (point) => groupOf(point, record));
  const rows = [...groups.values()].map((group) =>
    rowOf(group, { record, all: all.get(groupOf(group[0].point, record)) ?? [] })
  );
  const models = [...Map.groupBy(rows, comparable).values()];
  return {
    axes: axisNames(axes).map(({ path, name }) => ({ path, name, said: rows.every((row) => says(row, path)) })),
    evaluations,
    originals: models.map(([{ model, original }]) => ({ model, perplexity: original })),
    rows: models.flatMap((same) => withFronts(same, evaluations)).sort(inOrder(evaluations)),
    unfinished,
  };
}

/** Words of the states in which a point has no result. */
const STATES: Readonly<Record<SweepPoint["state"], string>> = {
  finished: "it left no metrics that can be read",
  failed: "no reason was recorded",
  interrupted: "the same command goes on",
  waiting: "not run yet",
};

function withReason({ id, label, values, state, step, exit, run, error }: SweepPoint, unreadable: boolean): Unfinished {
  const reason = error ?? STATES[unreadable ? "finished" : state];
  return {
    ...{ id, label, values, state, reason },
    ...(step === undefined ? {} : { step }),
    ...(exit === undefined ? {} : { exit }),
    ...(run === undefined ? {} : { run }),
  };
}

function differs(points: readonly SweepPoint[], path: string): boolean {
  return new Set(points.map(({ values }) => JSON.stringify(values[path]))).size > 1;
}

/** Points of one group repeat each other. */
function groupOf({ id, values }: SweepPoint, { axes, repeats }: SweepRecord, model = ""): string {
  if (repeats.length === 0) return id;
  return JSON.stringify([...axes.filter((path) => !repeats.includes(path)).map((path) => values[path] ?? null), model]);
}

/** The same for rows that may be compared: of one model, measured alike. Perplexities of originals are rounded, as devices differ in last digits. */
export function comparable({ model, original }: Row): string {
  return JSON.stringify([model, Object.entries(original).map(([name, value]) => [name, value.toPrecision(4)])]);
}

function rowOf(
  group: readonly Measured[],
  { record, all }: { readonly record: SweepRecord; readonly all: readonly SweepPoint[] },
): Row {
  const [{ point, metrics }] = group;
  const over = (number: (each: Measured) => number | undefined) => spread(group.map(number));
  const among = (number: (each: Metrics) => number) => spreadOf(group.map(({ metrics }) => number(metrics)));
  const components = Object.keys(metrics.bits.stored).filter((name) => name !== "total");
  const parts = PARTS.flatMap((part) => {
    const bits = over(({ metrics }) => metrics.bits[part]);
    return bits === undefined ? [] : [[part, bits]];
  });
  const asked = over(({ metrics }) => meanAccuracy(metrics.tasks)?.compressed);
  const sweep = over(({ point }) => point.seconds), alone = over(({ point }) => point.alone);
  return {
    label: sharedLabel(all.map(({ label }) => label)),
    points: group.map(({ point }) => point.id),
    of: all.length,
    values: Object.fromEntries(Object.entries(point.values).filter(([path]) => !record.repeats.includes(path))),
    model: metrics.model,
    method: metrics.method,
    perplexity: Object.fromEntries(
      Object.keys(metrics.perplexity).map((name) => [name, among(({ perplexity }) => perplexity[name].compressed)]),
    ),
    divergence: Object.fromEntries(
      Object.keys(metrics.perplexity).flatMap((name) => {
        const kl = over(({ metrics }) => metrics.perplexity[name]?.divergence?.kl.mean);
        const sameTop = over(({ metrics }) => metrics.perplexity[name]?.divergence?.same_top);
        return kl === undefined || sameTop === undefined ? [] : [[name, { kl, sameTop }]];
      }),
    ),
    ...(asked === undefined ? {} : { tasks: asked }),
    original: Object.fromEntries(Object.entries(metrics.perplexity).map(([name, { original }]) => [name, original])),
    front: [],
    bits: {
      nominal: among(({ bits }) => bits.nominal),
      stored: among(({ bits }) => bits.stored.total),
      model: among(({ bits }) => bits.model),
      ...Object.fromEntries(parts),
    },
    components: Object.fromEntries(
      components.map((name) => [name, among(({ bits }) => Number(bits.stored[name] ?? 0)).mean]),
    ),
    bytes: among(({ bytes }) => bytes.packed),
    layerError: { mean: among(({ layer_error: { mean } }) => mean), total: among(totalError) },
    seconds: { ...(sweep === undefined ? {} : { sweep }), ...(alone === undefined ? {} : { alone }) },
    peakMemory: spreadOf(group.map(({ point, metrics }) => point.peakMemory ?? metrics.peak_memory_bytes)),
  };
}

/** What labels have in common, part by part; the first where that is nothing. */
function sharedLabel([first, ...others]: readonly string[]): string {
  const parts = others.map((label) => label.split(", "));
  const shared = first.split(", ").filter((part) => parts.every((other) => other.includes(part)));
  return shared.length === 0 ? first : shared.join(", ");
}

/** Rows that may be compared, with the evaluations on whose front each is. */
export function withFronts(rows: readonly Row[], evaluations: readonly string[]): Row[] {
  const fronts = evaluations.map((name) =>
    paretoFront(rows, ({ bits, perplexity }) => [bits.model.mean, perplexity[name]?.mean ?? NaN])
  );
  return rows.map((row, i) => ({ ...row, front: evaluations.filter((_, evaluation) => fronts[evaluation][i]) }));
}

/** Bits a weight below which a tensor counts as compressed: all types of checkpoints have 16 or more. */
const PLAIN = 16;

/** The parts that some row has compressed: of interest, as they are of the file and not of the layers. */
export function compressedParts(rows: readonly Row[]): (typeof PARTS[number])[] {
  return PARTS.filter((part) =>
    rows.some(({ bits: { [part]: spread } }) => spread !== undefined && spread.mean < PLAIN)
  );
}

/** Whether a row's label tells its value on an axis. */
function says({ label, values }: Row, path: string): boolean {
  const text = axisText(values[path]);
  return ` ${label.replaceAll(/[,:=]/g, " ")} `.includes(` ${text} `);
}

/** Compares rows: by bits of the whole file, then perplexity of the first evaluation. */
export function inOrder(evaluations: readonly string[]): (a: Row, b: Row) => number {
  return (a, b) => a.bits.model.mean - b.bits.model.mean || order(firstOf(a, evaluations), firstOf(b, evaluations));
}

function firstOf({ perplexity }: Row, [name]: readonly string[]): number {
  return perplexity[name]?.mean ?? NaN;
}

/** Numbers that rise; what is none comes last. */
function order(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a === b ? 0 : a - b;
}

function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : spreadOf(known);
}

function spreadOf(values: readonly number[]): Spread {
  const n = values.length;
  // Of equal values, exactly that value.
  const mean = values.every((value) => value === values[0]) ? values[0] : values.reduce((sum, x) => sum + x, 0) / n;
  const sd = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const [min, max] = [Math.min(...values), Math.max(...values)];
  return { mean, ...(n > 1 ? { sd } : {}), min, max };
}
