/** A sweep's folder as other commands read it: its record, and the runs of its points. */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { JOURNAL } from "../runner/journal.ts";
import { readRun, type RunRecord } from "../runner/mod.ts";
import type { SweepRecord } from "../runner/sweep/record.ts";
import { readSweepRecord, SWEEP_RECORD } from "../runner/sweep/sweep_folder.ts";
import { asked } from "./exit_codes.ts";

/** A sweep with its runs. */
export interface SweepRuns {
  readonly record: SweepRecord;
  /** By the point's id; points that have no run are missing. */
  readonly runs: ReadonlyMap<string, RunRecord>;
}

/**
 * Opens a sweep's folder.
 *
 * @returns undefined when it is none
 * @throws {InputError} when its record or one of its runs is damaged
 */
export function openSweep(folder: string): SweepRuns | undefined {
  if (!existsSync(join(folder, SWEEP_RECORD))) return undefined;
  const record = readSweepRecord(folder);
  const runs = new Map<string, RunRecord>();
  for (const { id, run } of record.points) {
    const place = run === undefined ? undefined : resolve(folder, run);
    if (place === undefined || !existsSync(join(place, JOURNAL))) continue;
    runs.set(id, asked(() => readRun(dirname(place), basename(place))));
  }
  return { record, runs };
}
