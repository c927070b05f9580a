/** Rows of tables, as datasets of records have them: Parquet, JSON lines, or one JSON list. */
import { openFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { readParquet } from "../files/parquet.ts";
import { readTextFile } from "../files/text_file.ts";
import { lookAt } from "../files/what_is_it.ts";

/** A record, and where it stands. */
export interface Row {
  readonly value: Readonly<Record<string, unknown>>;
  /** In a file of lines the line, counted from 1; else the row, counted from 1. */
  readonly place: string;
}

/** How rows are read. */
export interface RowsOptions {
  /** So many of the first; default: all. */
  readonly limit?: number;
  /** Names in messages; default: the path. */
  readonly label?: string;
}

/**
 * Reads rows.
 *
 * @param path `.parquet`, `.jsonl`, `.ndjson`, or `.json`
 * @throws {InputError} when there is no such file, or something in it is no record
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { readRows } from "./rows.ts";
 *
 * const path = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(path, '{"a": 1}\n\n{"a": 2}\n');
 * assert.deepEqual((await readRows(path)).map(({ value, place }) => [value.a, place]), [[1, "line 1"], [2, "line 3"]]);
 * await Deno.writeTextFile(path, '{"a": 1}\n{"a"');
 * await assert.rejects(readRows(path), /line 2 .*: it is no JSON/);
 * await Deno.remove(path);
 * ```
 */
export async function readRows(path: string, { limit = Infinity, label = path }: RowsOptions = {}): Promise<Row[]> {
  if (/\.parquet$/i.test(path)) return await parquetRows(path, { limit, label });
  const lines = /\.(jsonl|ndjson)$/i.test(path);
  if (!lines && !/\.json$/i.test(path)) {
    throw new InputError(`Cannot read ${label}: rows are read from files named .parquet, .jsonl, .ndjson or .json`);
  }
  const text = await readTextFile(path, { wanted: lines ? "lines" : "JSON", label });
  if (lines) {
    const rows: Row[] = [];
    for (const [at, line] of text.split("\n").entries()) {
      if (rows.length >= limit) break;
      if (line.trim() !== "") rows.push(record(parse(line, `line ${at + 1} of ${label}`), `line ${at + 1}`, label));
    }
    return rows;
  }
  const list = parse(text, label);
  if (!Array.isArray(list)) throw new InputError(`Cannot read ${label}: it must be a list of records`);
  return list.slice(0, limit).map((value, at) => record(value, `row ${at + 1}`, label));
}

async function parquetRows(path: string, { limit, label }: Required<RowsOptions>): Promise<Row[]> {
  const source = await openFile(path);
  try {
    const rows = await readParquet(source, limit === Infinity ? {} : { limit });
    return rows.map((value, at) => record(value, `row ${at + 1}`, label));
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const why = await lookAt(source, "Parquet") ?? `it is damaged (${cause instanceof Error ? cause.message : cause})`;
    throw new InputError(`Cannot read ${label} as Parquet: ${why}`, { cause });
  } finally {
    await source.close();
  }
}

function parse(text: string, label: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(`Cannot read ${label}: it is no JSON`, { cause });
  }
}

function record(value: unknown, place: string, label: string): Row {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { value: value as Row["value"], place };
  }
  throw new InputError(`Cannot read ${place} of ${label}: it is no record`);
}
