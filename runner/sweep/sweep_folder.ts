/**
 * A sweep's folder: sweep.json, its lock, whatever is rendered of it, and the runs of its points in `points/`. All of it is
 * replaced as a whole, so that whoever looks sees one state or the next.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import * as z from "zod";
import { InputError } from "../../files/input_error.ts";
import { isSound, readSmallText } from "../journal.ts";
import { canonicalJson, sha256 } from "../keys.ts";
import { asNoSpace, writingTo } from "../cache/no_space.ts";
import { asFolderError } from "../run_errors.ts";
import { makeRunId } from "../run_id.ts";
import type { Json } from "../stage.ts";
import type { SweepPoint, SweepRecord } from "./record.ts";
import type { Point } from "./survey.ts";

/** What is asked for: a sweep's recipe, read. */
export interface Sweep {
  readonly name: string;
  readonly axes: readonly string[];
  readonly repeats: readonly string[];
  readonly points: readonly Point[];
  /** The recipe's text, for the lock. */
  readonly text: string;
}

/** A sweep's folder that is this process's alone. */
export interface SweepFolder {
  /** Its name. */
  readonly id: string;
  /** Absolute path. */
  readonly path: string;
  /** Of everything that is asked for. */
  readonly identity: string;
  /** What an earlier process left, if this one goes on with it. */
  readonly record?: SweepRecord;
  /** Writes sweep.json, the lock and other files by name. @throws {NoSpaceError} */
  write(record: SweepRecord, files: Readonly<Record<string, string>>): void;
  close(): void;
}

/** Where sweeps and their points' runs are, in the folder of runs and in a sweep's. */
export const [SWEEPS, POINTS] = ["sweeps", "points"];

/** A sweep's record. */
export const SWEEP_RECORD = "sweep.json";

/** File with the recipe of a sweep and what its points are. */
export const SWEEP_LOCK = "sweep.lock.yaml";
const HELD = ".held";

/** What is relied on when a sweep goes on. */
const Record = z.looseObject({
  ...{ sweep: z.string(), name: z.string(), started: z.number(), seconds: z.number().min(0) },
  points: z.array(z.looseObject({
    ...{ id: z.string(), label: z.string(), state: z.enum(["finished", "failed", "interrupted", "waiting"]) },
    ...{ run: z.string().optional(), key: z.string().optional(), exit: z.int().optional() },
    ...{ error: z.string().optional(), step: z.string().optional() },
    ...{ seconds: z.number().optional(), alone: z.number().optional(), peakMemory: z.number().optional() },
  })),
});

/** Most bytes of a record that is read. */
const MOST_BYTES = 1 << 30;

/** How a folder is opened. */
export interface FolderOptions {
  /** Folder of all runs; absolute. */
  readonly runsDir: string;
  /** By a point's id: the key of its results as code and data are now; absent where it cannot be opened. */
  readonly keys: ReadonlyMap<string, string | undefined>;
  readonly warn: (message: string) => void;
}

/**
 * Opens the newest folder of the same sweep, where nothing that it holds has become another thing since; else a new one.
 *
 * @throws {NoSpaceError | FolderError} when it cannot be made
 */
export function openSweepFolder(sweep: Sweep, { runsDir, keys, warn }: FolderOptions): SweepFolder {
  const sweeps = join(runsDir, SWEEPS), identity = identityOf(sweep);
  try {
    Deno.mkdirSync(sweeps, { recursive: true });
    for (const id of namesIn(sweeps)) {
      const path = join(sweeps, id);
      if (readIdentity(path) !== identity) continue;
      const lock = hold(path);
      const record = lock && readRecord(path, warn);
      // A result that is no longer what the recipe gives keeps its folder, and the sweep gets another one.
      const holds = record?.points.every(({ id, state, key }) => state !== "finished" || key === keys.get(id));
      if (lock && record && holds) return makeFolder(sweep, { id, path, identity, lock, record });
      lock?.close();
      if (lock) break;
    }
    const id = makeRunId(new Date(), sweep.name), path = join(sweeps, id);
    Deno.mkdirSync(path);
    const lock = hold(path);
    if (!lock) throw new Error(`Cannot hold ${path}: another process has it, although it is new`);
    return makeFolder(sweep, { id, path, identity, lock });
  } catch (error) {
    throw asNoSpace(error, sweeps, 0) ?? asFolderError(error, sweeps, "--runs") ?? error;
  }
}

/** Whether a process has a sweep's folder for itself. */
export function isHeld(path: string): boolean {
  const lock = hold(path);
  lock?.close();
  return lock === undefined;
}

/**
 * The record in a sweep's folder.
 *
 * @throws {InputError} when it is not there, or damaged
 */
export function readSweepRecord(path: string): SweepRecord {
  const file = join(path, SWEEP_RECORD);
  try {
    const record: unknown = JSON.parse(readSmallText(file, MOST_BYTES));
    Record.refine((value) => isSound(value)).parse(record);
    return record as SweepRecord;
  } catch (cause) {
    throw new InputError(`Cannot read ${file}: it is damaged; run the sweep again, or name its runs one by one`, {
      cause,
    });
  }
}

/** A sweep in a list. */
export interface SweepInfo {
  /** Name of its folder. */
  readonly sweep: string;
  /** Absolute path. */
  readonly folder: string;
  /** The recipe's name. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly started: number;
  /** Seconds spent on it so far. */
  readonly seconds: number;
  /** How many points are in each state. */
  readonly points: Readonly<Record<SweepPoint["state"], number>>;
}

/**
 * Sweeps, the newest first.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { listSweeps } from "./sweep_folder.ts";
 *
 * const folder = await Deno.makeTempDir();
 * await Deno.mkdir(`${folder}/sweeps/1-keep`, { recursive: true });
 * const point = { id: "4c1f", label: "keep 4", values: {}, state: "finished" };
 * const record = { sweep: "1-keep", name: "keep", started: 0, seconds: 9, axes: [], repeats: [], points: [point] };
 * await Deno.writeTextFile(`${folder}/sweeps/1-keep/sweep.json`, JSON.stringify(record));
 * const [{ sweep, points }] = listSweeps(folder);
 * assert.deepEqual([sweep, points], ["1-keep", { finished: 1, failed: 0, interrupted: 0, waiting: 0 }]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param runsDir folder of all runs; absolute
 * @param damaged told of each sweep whose record cannot be read; it is left out
 */
export function listSweeps(
  runsDir: string,
  damaged: (sweep: string, error: Error) => void = () => {},
): SweepInfo[] {
  const sweeps = join(runsDir, SWEEPS);
  if (!statSync(sweeps, { throwIfNoEntry: false })?.isDirectory()) return [];
  return namesIn(sweeps).flatMap((sweep) => {
    const folder = join(sweeps, sweep);
    // Another process may be making it.
    if (!existsSync(join(folder, SWEEP_RECORD))) return [];
    try {
      const { name, started, seconds, points } = readSweepRecord(folder);
      const count = (wanted: SweepPoint["state"]) => points.filter(({ state }) => state === wanted).length;
      const [finished, failed] = [count("finished"), count("failed")];
      const states = { finished, failed, interrupted: count("interrupted"), waiting: count("waiting") };
      return [{ sweep, folder, name, started, seconds, points: states }];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      damaged(sweep, error);
      return [];
    }
  });
}

/** What is asked for, whatever it is called. */
export function identityOf({ axes, points }: Pick<Sweep, "axes" | "points">): string {
  return sha256(canonicalJson([
    [...axes],
    ...points.map(({ id, label, values, recipe: { name: _name, description: _words, ...recipe } }) => // A recipe is plain data.
    ({ id, label, values, recipe: recipe as unknown as Json })),
  ]));
}

function makeFolder(
  { text, axes }: Sweep,
  { lock, ...folder }: Pick<SweepFolder, "id" | "path" | "identity" | "record"> & { readonly lock: Deno.FsFile },
): SweepFolder {
  const { path, identity } = folder;
  const replace = (name: string, content: string) => {
    Deno.writeTextFileSync(join(path, `${name}.part`), content);
    Deno.renameSync(join(path, `${name}.part`), join(path, name));
  };
  return {
    ...folder,
    write: (record, files) =>
      writingTo(path, () => {
        // First, as without it nobody goes on with the folder.
        replace(SWEEP_LOCK, renderLock(record, { identity, text, axes }));
        replace(SWEEP_RECORD, `${JSON.stringify(record)}\n`);
        for (const [name, content] of Object.entries(files)) replace(name, content);
      }),
    close: () => lock.close(),
  };
}

/** The sweep's recipe, and of each point the key of its results and the lock of its run. */
function renderLock(
  { sweep, points }: SweepRecord,
  { identity, text, axes }: { readonly identity: string; readonly text: string; readonly axes: readonly string[] },
): string {
  return stringify({
    ...{ identity, sweep, recipe: text, axes },
    points: points.map(({ id, label, values, key, run }) => ({
      ...{ id, label, values, ...(key === undefined ? {} : { key }) },
      ...(run === undefined ? {} : { lock: `${run}/recipe.lock.yaml` }),
    })),
  }, { lineWidth: 120, blockQuote: "literal" });
}

/** Folders, the newest first. */
function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort()
    .reverse();
}

function readIdentity(path: string): string | undefined {
  const file = join(path, SWEEP_LOCK);
  if (!existsSync(file)) return undefined;
  return /^identity: ([0-9a-f]{64})$/m.exec(readSmallText(file))?.[1];
}

/** Takes a folder for this process; the system gives it back however the process ends. */
function hold(path: string): Deno.FsFile | undefined {
  const file = Deno.openSync(join(path, HELD), { create: true, write: true });
  if (file.tryLockSync(true)) return file;
  file.close();
  return undefined;
}

function readRecord(path: string, warn: (message: string) => void): SweepRecord | undefined {
  try {
    return readSweepRecord(path);
  } catch {
    warn(`${join(path, SWEEP_RECORD)} is damaged: the sweep begins anew in another folder`);
    return undefined;
  }
}
