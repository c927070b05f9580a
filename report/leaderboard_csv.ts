/** A sweep as CSV (RFC 4180): one record per point, every digit, names of columns that stay. */
import { componentsOf, Metrics, PARTS, totalError } from "./metrics.ts";
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";

/** What may stand in a field; numbers that are not finite are words. */
type Value = string | number | undefined;

/**
 * Lines of CSV, a head first; each ends with the carriage return that, before the line feed, RFC 4180 asks for.
 *
 * Columns: `point`, `label`, `state`, one per axis by its path, `model`, `method`, `perplexity.NAME` and `original.NAME` per evaluation;
 * where they were measured `kl.NAME` and `same_top.NAME` per evaluation, `acc.TASK`, `acc_norm.TASK` and `original_acc.TASK` per task;
 * `bits.nominal`, `bits.stored`, `bits.stored.PART` per component, `bits.embedding`, `bits.head`, `bits.model`, `bytes.packed`, `bytes.original`, `layer_error.mean`,
 * `layer_error.total`, `seconds.sweep`, `seconds.alone`, `peak_memory_bytes`, `run`, `exit`, `step`, `error`. What a point has not is empty.
 */
export function leaderboardCsv(record: SweepRecord): string[] {
  const rows = record.points.map((point) => fieldsOf(point, record.axes));
  const evaluations = namesWith("perplexity.", rows);
  const head = [
    ...["point", "label", "state", ...record.axes.map((path) => `${AXIS}${path}`), "model", "method"],
    ...evaluations.flatMap((name) => [`perplexity.${name}`, `original.${name}`]),
    ...["kl.", "same_top.", "acc.", "acc_norm.", "original_acc."].flatMap((prefix) =>
      namesWith(prefix, rows).map((name) => `${prefix}${name}`)
    ),
    ...["bits.nominal", "bits.stored", ...namesWith("bits.stored.", rows).map((name) => `bits.stored.${name}`)],
    ...[
      ...PARTS.map((part) => `bits.${part}`),
      "bits.model",
      "bytes.packed",
      "bytes.original",
      "layer_error.mean",
      "layer_error.total",
    ],
    ...["seconds.sweep", "seconds.alone", "peak_memory_bytes", "run", "exit", "step", "error"],
  ];
  return [
    head.map((name) => name.startsWith(AXIS) ? name.slice(AXIS.length) : name),
    ...rows.map((row) => head.map((name) => row.get(name))),
  ].map((fields) => `${fields.map(csvField).join(",")}\r`);
}

/**
 * One field: in quotes where it must be, quotes inside it doubled.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([csvField('a "b", c'), csvField(0.1), csvField(undefined)], ['"a ""b"", c"', "0.1", ""]);
 * ```
 */
export function csvField(value: Value): string {
  const text = value === undefined ? "" : `${value}`;
  // Spaces at the ends are kept by RFC 4180, but not by every reader.
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Before the path of an axis, so that one called `run` is not taken for the run. */
const AXIS = "axis:";

function fieldsOf(point: SweepPoint, axes: readonly string[]): Map<string, Value> {
  const fields = new Map<string, Value>([
    ["point", point.id],
    ["label", point.label],
    ["state", point.state],
    ["seconds.sweep", point.seconds],
    ["seconds.alone", point.alone],
    ["peak_memory_bytes", point.peakMemory],
    ["run", point.run],
    ["exit", point.exit],
    ["step", point.step],
    ["error", point.error],
  ]);
  for (const path of axes) {
    const value = point.values[path];
    fields.set(`${AXIS}${path}`, typeof value === "string" || value === undefined ? value : JSON.stringify(value));
  }
  const read = Metrics.safeParse(point.metrics);
  if (!read.success) return fields;
  const { perplexity, bits, bytes, ...metrics } = read.data;
  fields.set("model", metrics.model).set("method", metrics.method);
  for (const [name, { original, compressed, divergence }] of Object.entries(perplexity)) {
    fields.set(`perplexity.${name}`, compressed).set(`original.${name}`, original);
    if (divergence) fields.set(`kl.${name}`, divergence.kl.mean).set(`same_top.${name}`, divergence.same_top);
  }
  for (const [name, { acc, acc_norm, original }] of Object.entries(metrics.tasks)) {
    fields.set(`acc.${name}`, acc).set(`original_acc.${name}`, original.acc);
    if (acc_norm !== undefined) fields.set(`acc_norm.${name}`, acc_norm);
  }
  fields.set("bits.nominal", bits.nominal).set("bits.stored", bits.stored.total).set("bits.model", bits.model);
  for (const part of PARTS) fields.set(`bits.${part}`, bits[part]);
  for (const { name, value } of componentsOf(read.data)) fields.set(`bits.stored.${name}`, value);
  fields.set("bytes.packed", bytes.packed).set("bytes.original", bytes.original);
  fields.set("layer_error.mean", metrics.layer_error.mean).set("layer_error.total", totalError(read.data));
  if (point.peakMemory === undefined) fields.set("peak_memory_bytes", metrics.peak_memory_bytes);
  return fields;
}

/** What follows a prefix in any row's names, in order. */
function namesWith(prefix: string, rows: readonly ReadonlyMap<string, Value>[]): string[] {
  const names = rows.flatMap((row) => [...row.keys()]).filter((name) => name.startsWith(prefix));
  return [...new Set(names.map((name) => name.slice(prefix.length)))];
}
