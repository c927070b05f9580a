/** What is asked of the server, answered from the folders of runs and of the cache: the API and the pages say the same. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { sayNumbers } from "../files/json_number.ts";
import { type ComparedBy, compareLayers } from "../report/compare_layers.ts";
import { gather, type Gathered, type StepDetail } from "../report/gather.ts";
import type { Metrics } from "../report/metrics.ts";
import { renderLeaderboard } from "../report/sweep_report.ts";
import { compareRuns, readRun, type RunRecord } from "../runner/mod.ts";
import { readLock } from "../runner/history.ts";
import { readOrigins } from "../runner/origins.ts";
import { POINTS, readSweepRecord } from "../runner/sweep/sweep_folder.ts";
import type { SweepRecord } from "../runner/sweep/record.ts";
import { describeCache } from "./cache_detail.ts";
import { firstAfter, withoutFolder } from "./live.ts";
import { redact } from "./redact.ts";
import { type OpenRun, readMetrics, type RunStore } from "./run_store.ts";
import type { CacheDetail, Comparison, RecipeDetail, RunDetail, RunList, RunSummary } from "./schemas.ts";

/** A run as its page shows it. */
export interface RunAnswer {
  readonly detail: RunDetail;
  readonly gathered: Gathered;
  readonly metrics?: Metrics;
}

/** Where answers come from. */
export interface AnswerOptions {
  readonly store: RunStore;
  /** Folder of the cache; absolute. */
  readonly cache: string;
  readonly version: string;
}

/** Answers questions. Nothing that it gives has absolute paths. */
export class AnswerSource {
  readonly version: string;
  readonly #store: RunStore;
  readonly #cache: string;

  constructor({ store, cache, version }: AnswerOptions) {
    this.version = version;
    this.#store = store;
    this.#cache = cache;
  }

  list(): RunList {
    const { runs, unread } = this.#store.list();
    const found = this.#store.sweeps();
    return { runs, sweeps: found.sweeps, unread: [...unread, ...found.unread] };
  }

  sweeps(): RunList["sweeps"] {
    return this.#store.sweeps().sweeps;
  }

  summary(id: string): RunSummary | undefined {
    return this.#store.summary(id);
  }

  /** A run with what its page draws; undefined where there is none. @throws {InputError} when its journal is damaged */
  answerRun(id: string): RunAnswer | undefined {
    // Opened first, so that it is read once.
    const open = this.#store.open(id), summary = this.#store.summary(id);
    if (summary === undefined || open === undefined) return undefined;
    const gathered = gatherOnce(open);
    const metrics = summary.outcome === "unfinished" ? undefined : readMetrics(open.folder);
    const { blocks, memory, warnings } = gathered;
    return {
      gathered,
      detail: {
        ...{ summary, position: open.follower.end, stages: redact([...open.follower.view(Date.now()).stages]) },
        ...{ blocks: [...blocks], memory: memory.map(([at, bytes]) => [at, bytes] as [number, number]) },
        warnings: redact([...warnings]),
        ...(metrics === undefined ? {} : { metrics: redact(JSON.parse(JSON.stringify(metrics, sayNumbers))) }),
      },
      ...(metrics === undefined ? {} : { metrics }),
    };
  }

  run(id: string): RunDetail | undefined {
    return this.answerRun(id)?.detail;
  }

  steps(id: string) {
    const open = this.#store.open(id);
    return open && { position: open.follower.end, steps: redact(gatherOnce(open).steps.map(listed)) };
  }

  /** A part of a run's events: those that end after a place of the journal, and not after another. */
  events(
    id: string,
    { after, until = Infinity, most }: { readonly after: number; readonly until?: number; readonly most: number },
  ) {
    const open = this.#store.open(id);
    if (open === undefined) return undefined;
    const from = firstAfter(open.events, after);
    const part = open.events.slice(from, Math.min(from + most, firstAfter(open.events, until)));
    return { position: part.at(-1)?.end ?? after, events: part.map(({ event }) => redact(withoutFolder(event))) };
  }

  recipe(id: string): RecipeDetail | undefined {
    const folder = this.#store.locate(id);
    if (folder === undefined) return undefined;
    const { recipe, lock } = readLock(folder);
    return redact({ recipe: recipe ?? null, origins: readOrigins(folder) ?? {}, lock: lock ?? null });
  }

  compare(ids: readonly string[], by: ComparedBy): Comparison | { readonly missing: string } {
    const records: RunRecord[] = [], runs: RunSummary[] = [];
    for (const id of ids) {
      const summary = this.#store.summary(id), folder = this.#store.locate(id);
      if (summary === undefined || folder === undefined) return { missing: id };
      runs.push(summary);
      records.push(recordIn(folder));
    }
    const { recipe, metrics } = compareRuns(records);
    const finite = (value: number | undefined) => value !== undefined && Number.isFinite(value) ? value : null;
    return {
      ...{ runs, by },
      // What a recipe says of itself in words sets nothing.
      recipe: redact(
        recipe.filter(({ field }) => field !== "description").map(({ field, values }) => ({
          field,
          values: values.map((value) => value ?? null),
        })),
      ),
      metrics: metrics.map(({ path, values }) => ({ path, values: values.map(finite) })),
      places: compareLayers(records.map(({ metrics }) => metrics), by)
        .map(({ place, results }) => ({ place, results: results.map((each) => ({ ...each })) })),
    };
  }

  /** A sweep's record; undefined where there is none. @throws {InputError} when it is damaged */
  sweep(id: string): SweepRecord | undefined {
    const folder = this.#store.locateSweep(id);
    return folder === undefined ? undefined : redact(readSweepRecord(folder));
  }

  /** The sweep as JSON: what `renderLeaderboard` says, and each point's run by its id. */
  sweepBoard(id: string): Record<string, unknown> | undefined {
    const record = this.sweep(id);
    if (record === undefined) return undefined;
    const board = JSON.parse(renderLeaderboard(record, { form: "json" })[0]);
    const points = record.points.map(({ id: point, label, values, state, run, error, step }) => ({
      ...{ id: point, label, values, state },
      ...(run === undefined ? {} : { run: runOfPoint(id, run) }),
      ...(error === undefined ? {} : { error }),
      ...(step === undefined ? {} : { step }),
    }));
    return { ...board, points };
  }

  /** What the cache keeps; undefined where there is no cache yet. */
  async cache(): Promise<CacheDetail | undefined> {
    if (!existsSync(this.#cache)) return undefined;
    const points = this.#store.sweeps().sweeps.flatMap(({ sweep }) => {
      const folder = this.#store.locateSweep(sweep);
      return folder === undefined ? [] : namesOf(join(folder, POINTS)).map((run) => `${sweep}:${run}`);
    });
    const ids = [...this.#store.list().runs.map(({ id }) => id), ...points];
    const runs = ids.flatMap((id) => {
      const folder = this.#store.locate(id), summary = this.#store.summary(id);
      return folder === undefined || summary === undefined ? [] : [{ summary, folder }];
    });
    return redact(await describeCache(this.#cache, runs));
  }

  /** A finished run's report.html. */
  report(id: string): string | undefined {
    const folder = this.#store.locate(id);
    if (folder === undefined || !Deno.lstatSync(folder).isDirectory) return undefined;
    const path = join(folder, "report.html");
    if (!existsSync(path) || !Deno.lstatSync(path).isFile) return undefined;
    return Deno.readTextFileSync(path);
  }
}

/** The address of a point's run, from the folder that its sweep's record names. */
export function runOfPoint(sweep: string, run: string): string {
  return `${sweep}:${basename(run.replaceAll("\\", "/"))}`;
}

/** As JSON has it. */
function listed({ inputs, why, ...step }: StepDetail) {
  return {
    ...step,
    ...(why === undefined ? {} : { why: { ...why } }),
    ...(inputs === undefined ? {} : { inputs: [...inputs] }),
  };
}

function recordIn(folder: string): RunRecord {
  return readRun(dirname(folder), basename(folder));
}

const gatheredOf = new WeakMap<OpenRun, { readonly events: number; readonly gathered: Gathered }>();

/** What events say, gathered anew only when there are more. */
function gatherOnce(open: OpenRun): Gathered {
  const known = gatheredOf.get(open);
  if (known?.events === open.events.length) return known.gathered;
  const gathered = gather(open.events.values().map(({ event }) => event));
  gatheredOf.set(open, { events: open.events.length, gathered });
  return gathered;
}

function namesOf(folder: string): string[] {
  return existsSync(folder) ? [...Deno.readDirSync(folder)].map(({ name }) => name) : [];
}
