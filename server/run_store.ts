/**
 * The runs and sweeps of one folder as the server knows them, whichever process makes them: journals are read on from where they were read
 * last. Addresses of runs are names of folders that are really there, so that none leads out.
 */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { stateOf } from "../files/file_state.ts";
import { InputError } from "../files/input_error.ts";
import { Metrics, totalError } from "../report/metrics.ts";
import { JOURNAL, readSmallText } from "../runner/journal.ts";
import { JournalFollower, type Told } from "../runner/journal_follower.ts";
import {
  isHeld,
  listSweeps,
  POINTS,
  SWEEP_LOCK,
  SWEEP_RECORD,
  type SweepInfo,
  SWEEPS,
} from "../runner/sweep/sweep_folder.ts";
import { redact } from "./redact.ts";
import type { RunSummary } from "./schemas.ts";

/** What could not be read, and why. */
export interface Unread {
  readonly name: string;
  readonly why: string;
}

/** A run with everything it has told so far. */
export interface OpenRun {
  readonly id: string;
  readonly folder: string;
  readonly follower: JournalFollower;
  readonly events: Told[];
}

interface Known {
  readonly follower: JournalFollower;
  /** Why its journal cannot be read any more. */
  failure?: string;
  /** State of metrics.json when it was read, and what it said. */
  print?: string;
  result?: RunSummary["result"];
}

/** A sweep in the list. */
export type KnownSweep = Omit<SweepInfo, "folder"> & { readonly running: RunSummary[] };

/** Runs whose events are kept. */
const MOST_OPEN = 4;
/** Runs of points, the newest, that may be going on: more are never made at once. */
const MOST_RUNNING = 8;
/** Seconds without a word after which a run is taken for stopped: so many, or so many times what its step was to take. */
const SILENCE = 60, PATIENCE = 5;
/** Names of folders, as `makeRunId` gives them. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N}._-]{0,199}$/u;

/** The runs of one folder. */
export class RunStore {
  readonly #runsDir: string;
  readonly #known = new Map<string, Known>();
  /** The least recently used first. */
  readonly #open = new Map<string, OpenRun>();

  /** @param runsDir absolute; need not exist yet */
  constructor(runsDir: string) {
    this.#runsDir = runsDir;
  }

  /** Runs, the newest first, without those of sweeps; and what could not be read. */
  list(): { readonly runs: RunSummary[]; readonly unread: Unread[] } {
    const runs: RunSummary[] = [], unread: Unread[] = [];
    for (const name of namesIn(this.#runsDir)) {
      if (name === SWEEPS) continue;
      try {
        const summary = this.summary(name);
        if (summary !== undefined) runs.push(summary);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        unread.push({ name, why: redact(error.message) });
      }
    }
    return { runs, unread };
  }

  /**
   * One run as it is now.
   *
   * @param id its folder's name, or `SWEEP:RUN` for a point's
   * @returns undefined where there is none
   * @throws {InputError} when its journal is damaged
   */
  summary(id: string): RunSummary | undefined {
    const folder = this.locate(id);
    if (folder === undefined) return undefined;
    // Whoever looks at the list looks at the newest next: their journals are read once for both.
    if (!this.#known.has(id) && this.#open.size < MOST_OPEN) this.#tryOpen(id);
    const open = this.#open.get(id);
    const known = this.#known.get(id) ?? { follower: new JournalFollower(nameOf(id), folder) };
    this.#known.set(id, known);
    if (known.failure !== undefined) throw new InputError(known.failure);
    try {
      if (known.follower === open?.follower) readOn(open);
      else known.follower.read();
    } catch (error) {
      if (error instanceof InputError) known.failure = error.message;
      throw error;
    }
    return summarize(id, known);
  }

  /** A run with all its events. @throws {InputError} when its journal is damaged */
  open(id: string): OpenRun | undefined {
    const folder = this.locate(id);
    if (folder === undefined) return undefined;
    const run = this.#open.get(id) ?? { id, folder, follower: new JournalFollower(nameOf(id), folder), events: [] };
    readOn(run);
    // From here on read once for both.
    const known = this.#known.get(id);
    this.#known.set(id, { ...known, follower: run.follower });
    this.#open.delete(id);
    this.#open.set(id, run);
    for (const [oldest] of this.#open) if (this.#open.size > MOST_OPEN) this.#open.delete(oldest);
    return run;
  }

  /** Opens a run where that can be done; why it cannot is told by who asks for it. */
  #tryOpen(id: string): void {
    try {
      this.open(id);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }

  /** The folder of a run, where it is one that a link does not lead to. */
  locate(id: string): string | undefined {
    const parts = id.split(":");
    if (parts.length > 2 || !parts.every((part) => NAME.test(part))) return undefined;
    const [first, second] = parts;
    const path = second === undefined ? [first] : [SWEEPS, first, POINTS, second];
    return this.#inside(path, JOURNAL);
  }

  /** Whether a run left a packed model. */
  hasModel(id: string): boolean {
    const folder = this.locate(id);
    return folder !== undefined && lstatSync(join(folder, "model"), { throwIfNoEntry: false })?.isDirectory() === true;
  }

  /** The recipe's text of a sweep, and what stands for all that it asks for, as its lock has them. */
  sweepLock(id: string): { readonly text: string; readonly identity: string } | undefined {
    if (!NAME.test(id)) return undefined;
    const folder = this.#inside([SWEEPS, id], SWEEP_LOCK);
    const text = folder && readSmallText(join(folder, SWEEP_LOCK));
    if (text === undefined) return undefined;
    const { recipe, identity }: { readonly recipe?: unknown; readonly identity?: unknown } = parse(text) ?? {};
    return typeof recipe === "string" && typeof identity === "string" ? { text: recipe, identity } : undefined;
  }

  /** Whether a process goes on with a sweep. */
  holdsSweep(id: string): boolean {
    const folder = NAME.test(id) ? this.#inside([SWEEPS, id], SWEEP_LOCK) : undefined;
    return folder !== undefined && isHeld(folder);
  }

  /** Sweeps, the newest first, and those that could not be read. */
  sweeps(): { readonly sweeps: KnownSweep[]; readonly unread: Unread[] } {
    const unread: Unread[] = [];
    const sweeps = listSweeps(
      this.#runsDir,
      (name, { message }) => unread.push({ name, why: redact(message) }),
    ).map(({ folder: _folder, ...info }) => {
      const { finished: _done, ...others } = info.points, left = Object.values(others).some((count) => count > 0);
      return { ...info, running: left ? this.runningPoints(info.sweep) : [] };
    });
    return { sweeps, unread };
  }

  /** The runs of a sweep's points that go on, the newest first. */
  runningPoints(sweep: string): RunSummary[] {
    const folder = this.locateSweep(sweep);
    if (folder === undefined) return [];
    return namesIn(join(folder, POINTS)).slice(0, MOST_RUNNING).flatMap((name) => {
      try {
        const summary = this.summary(`${sweep}:${name}`);
        return summary?.state === "running" ? [summary] : [];
      } catch (error) {
        // What is damaged does not go on.
        if (error instanceof InputError) return [];
        throw error;
      }
    });
  }

  /** The folder of a sweep. */
  locateSweep(id: string): string | undefined {
    return NAME.test(id) ? this.#inside([SWEEPS, id], SWEEP_RECORD) : undefined;
  }

  #inside(path: readonly string[], file: string): string | undefined {
    let folder = this.#runsDir;
    for (const part of path) {
      folder = join(folder, part);
      if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) return undefined;
    }
    return lstatSync(join(folder, file), { throwIfNoEntry: false })?.isFile() ? folder : undefined;
  }
}

/** Reads what is new in an open run's journal. */
function readOn({ follower, events }: OpenRun): void {
  const before = follower.end, told = follower.read();
  // Another journal has taken its place.
  if (follower.end < before) events.length = 0;
  for (const each of told) events.push(each);
}

/** Whether nothing more is to be expected of a run. */
export function isOver({ outcome }: Pick<RunSummary, "outcome">): boolean {
  return outcome !== "unfinished";
}

function summarize(id: string, known: Known): RunSummary | undefined {
  const { follower } = known, { info } = follower;
  if (info === undefined) return undefined;
  const now = Date.now(), { done, total, left, longest } = follower.view(now);
  const silent = (now - follower.lastAt) / 1000 > Math.max(SILENCE, PATIENCE * (longest ?? 0));
  const state = info.outcome !== "unfinished" ? info.outcome : silent ? "silent" : "running";
  const result = resultOf(known);
  const { folder: _folder, ...rest } = info;
  return redact({
    ...{ id, ...rest, state, last: follower.lastAt },
    ...(id.includes(":") ? { sweep: id.slice(0, id.indexOf(":")) } : {}),
    progress: { done, total, ...(state === "running" && left !== undefined ? { left } : {}) },
    ...(result === undefined ? {} : { result }),
  });
}

/** The numbers that people compare first; of a run that has measured. */
function resultOf(known: Known): RunSummary["result"] {
  const { info, folder } = known.follower;
  if (info?.outcome !== "finished" && info?.outcome !== "failed") return undefined;
  const path = join(folder, "metrics.json");
  const print = stateOf(path)?.print;
  if (print === undefined || print === known.print) return known.result;
  known.print = print;
  known.result = undefined;
  const metrics = readMetrics(folder);
  if (metrics === undefined) return undefined;
  const { perplexity, bits, bytes, layer_error: { mean }, peak_memory_bytes: peakMemory } = metrics;
  known.result = {
    perplexity: Object.fromEntries(
      Object.entries(perplexity).map(([name, { original, compressed }]) => [name, {
        original: finite(original),
        compressed: finite(compressed),
      }]),
    ),
    ...{ nominal: bits.nominal, stored: bits.stored.total, file: bits.model },
    ...{ bytes: bytes.packed, layerError: { mean, total: totalError(metrics) }, peakMemory },
  };
  return known.result;
}

/** JSON has no other numbers. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** metrics.json of a run's folder; undefined where there is none, or it is of another form. */
export function readMetrics(folder: string): Metrics | undefined {
  const path = join(folder, "metrics.json");
  if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
  try {
    return Metrics.safeParse(JSON.parse(readSmallText(path))).data;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof InputError) return undefined;
    throw error;
  }
}

/** Folders, the newest first; none where there is no such folder. */
function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter(({ isDirectory, name }) => isDirectory && NAME.test(name))
      .map(({ name }) => name).sort().reverse();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    const why = error instanceof Error ? error.message : error;
    throw new InputError(`Cannot look for runs in ${folder}: ${why}`, { cause: error });
  }
}

/** The run's own name. */
function nameOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}
