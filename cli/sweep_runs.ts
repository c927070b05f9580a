/** A sweep's folder as other commands read it: its record, and the runs of its points. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { JOURNAL } from "../runner/journal.ts";
import { readRun, type RunRecord } from "../runner/mod.ts";
import type { SweepRecord } from "../runner/sweep/record.ts";
import { asked } from "./exit_codes.ts";

/** A sweep with its runs. */
export interface SweepRuns {
  readonly record: SweepRecord;
  /** By the point's id; points that have no run are missing. */
  readonly runs: ReadonlyMap<string, RunRecord>;
}

/** What is needed of a record to find runs; the rest is checked where it is used. */
const Points = z.looseObject({
  points: z.array(z.looseObject({ id: z.string(), label: z.string(), run: z.string().optional() })),
});

/**
 * Opens a sweep's folder.
 *
 * @returns undefined when it is none
 * @throws {InputError} when its record or one of its runs is damaged
 */
export function openSweep(folder: string): SweepRuns | undefined {
  const path = join(folder, "sweep.json");
  if (!existsSync(path)) return undefined;
  const record = readRecord(path);
  const runs = new Map<string, RunRecord>();
  for (const { id, run } of record.points) {
    const place = run === undefined ? undefined : resolve(folder, run);
    if (place === undefined || !existsSync(join(place, JOURNAL))) continue;
    runs.set(id, asked(() => readRun(dirname(place), basename(place))));
  }
  return { record, runs };
}

function readRecord(path: string): SweepRecord {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (Points.safeParse(value).success) return value as SweepRecord;
  } catch {
    // Said below, whatever it was.
  }
  throw new InputError(`Cannot read ${path}: it is damaged; run the sweep again, or name its runs one by one`);
}
