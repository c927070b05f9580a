/** Past runs, read from their folders: what they were, and how they ended. How they differ: `compare_runs.ts`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { InputError } from "../files/input_error.ts";
import type { RunEvent } from "./events.ts";
import { isTree } from "./explain.ts";
import { isSound, JOURNAL, LOCK, readJournal, readSmallText } from "./journal.ts";
import { withoutOutcome } from "./lock.ts";
import type { DeviceRecord, Json } from "./stage.ts";

/** A run in a list. */
export interface RunInfo {
  readonly run: string;
  /** Absolute path. */
  readonly folder: string;
  readonly recipe: string;
  readonly model: string;
  readonly method: string;
  /** `unfinished`: it runs still, or was killed. */
  readonly outcome: "finished" | "interrupted" | "failed" | "unfinished";
  /** Milliseconds since the epoch. */
  readonly started: number;
  /** From the first event to the last. */
  readonly seconds: number;
  readonly steps: { readonly run: number; readonly cached: number };
  /** What went wrong, if it failed. */
  readonly error?: string;
  readonly device: DeviceRecord;
}

/** All that a run left behind, but its model. */
export interface RunRecord extends RunInfo {
  readonly events: readonly RunEvent[];
  /** The complete recipe. */
  readonly settings?: Json;
  readonly lock?: Json;
  /** metrics.json of a run that finished, or failed on what it had measured. */
  readonly metrics?: Json;
}

/**
 * Runs, the newest first.
 *
 * @param runsDir a folder that does not exist has none
 * @param damaged told of each run whose journal cannot be read; it is left out
 * @throws {InputError} when that is not a folder
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { listRuns } from "./history.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const device = { kind: "cpu", name: "test", why: "there is no other" };
 * await Deno.mkdir(`${folder}/1-mine`);
 * const names = { run: "1-mine", recipe: "mine", method: "pbs2p", model: "tiny" };
 * const started = { at: 5, type: "run-started", ...names, device, steps: [] };
 * await Deno.writeTextFile(`${folder}/1-mine/events.ndjson`, `${JSON.stringify(started)}\n`);
 * assert.deepEqual(listRuns(folder).map(({ run, outcome }) => [run, outcome]), [["1-mine", "unfinished"]]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function listRuns(
  runsDir: string,
  damaged: (run: string, error: Error) => void = () => {},
): RunInfo[] {
  const infos = idsOf(runsDir).map((run) => {
    const found = look(runsDir, run);
    if (found instanceof InputError) return damaged(run, found);
    return found;
  });
  return infos.filter((info) => info !== undefined).reverse();
}

/**
 * Reads one run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import { openCache } from "./cache/cache.ts";
 * import { makePlan } from "./plan.ts";
 * import { executeRun } from "./run.ts";
 * import { readRun } from "./history.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const recipe = recipeWith(), cache = await openCache(folder);
 * const subject = openArithmetic(recipe, { blocks: 1 }), plan = await makePlan(subject, cache, { recipe });
 * const { run } = await executeRun(plan, subject, { cache, runsDir: `${folder}/runs`, recipe });
 * const record = readRun(`${folder}/runs`, "last");
 * assert.deepEqual([record.run, record.outcome, record.events[0].type], [run, "finished", "run-started"]);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param id the run's id, the beginning of it, or `last`
 * @throws {RangeError} when there is no such run, or several
 * @throws {InputError} when what it left is damaged
 */
export function readRun(runsDir: string, id: string): RunRecord {
  const run = findRun(runsDir, id);
  const folder = join(runsDir, run);
  const events = readJournal(join(folder, JOURNAL));
  const info = summarize(run, folder, events);
  if (info === undefined) throw new RangeError(`Cannot read run ${run}: its journal has no beginning`);
  const { recipe, lock } = readLock(folder);
  // One that is unfinished may have left, or be writing, half of it.
  const metrics = info.outcome === "finished" || info.outcome === "failed"
    ? readTree(join(folder, "metrics.json"), JSON.parse)
    : undefined;
  return {
    ...info,
    events,
    ...(recipe === undefined ? {} : { settings: recipe }),
    ...(lock === undefined ? {} : { lock }),
    ...(metrics === undefined ? {} : { metrics }),
  };
}

/**
 * The complete recipe of a run, and what identifies its inputs.
 *
 * @param folder the run's; one that ended before it wrote them has neither
 * @throws {InputError} when the file is damaged
 */
export function readLock(folder: string): { readonly recipe?: Json; readonly lock?: Json } {
  const { recipe, lock } = readTree(join(folder, LOCK), parseLock) ?? {};
  return { ...(recipe === undefined ? {} : { recipe }), ...(lock === undefined ? {} : { lock }) };
}

function idsOf(runsDir: string): string[] {
  try {
    return [...Deno.readDirSync(runsDir)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    const why = error instanceof Error ? error.message : error;
    throw new InputError(`Cannot look for runs in ${runsDir}: ${why}`, { cause: error });
  }
}

function findRun(runsDir: string, id: string): string {
  const ids = idsOf(runsDir).filter((run) => look(runsDir, run) !== undefined);
  if (ids.length === 0) throw new RangeError(`Cannot find run "${id}": there are no runs in ${runsDir}`);
  if (id === "last") return ids[ids.length - 1];
  if (ids.includes(id)) return id;
  const found = ids.filter((run) => run.startsWith(id));
  if (found.length === 1) return found[0];
  const what = found.length === 0
    ? `there is no such run; the newest in ${runsDir} is ${ids[ids.length - 1]}`
    : `it may be ${found.join(" or ")}`;
  throw new RangeError(`Cannot find run "${id}": ${what}`);
}

/** A run, why it cannot be read, or undefined for a folder that is none, such as of a run that was killed at once. */
function look(runsDir: string, run: string): RunInfo | InputError | undefined {
  const folder = join(runsDir, run);
  if (!existsSync(join(folder, JOURNAL))) return undefined;
  try {
    return summarize(run, folder, readJournal(join(folder, JOURNAL)));
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}

function summarize(run: string, folder: string, events: readonly RunEvent[]): RunInfo | undefined {
  const done = events.filter(madeResults).length;
  return events.length === 0
    ? undefined
    : infoOf(run, folder, { first: events[0], last: events[events.length - 1], done });
}

/** Whether an event says that this run made a step's results itself. */
export function madeResults(event: RunEvent): boolean {
  return event.type === "step-finished" && event.reused !== true && event.from === undefined;
}

/**
 * What a journal says of its run.
 *
 * @param told its first and its last event, and of how many `madeResults` holds
 * @returns undefined when it has no beginning
 */
export function infoOf(
  run: string,
  folder: string,
  { first, last, done }: { readonly first: RunEvent; readonly last: RunEvent; readonly done: number },
): RunInfo | undefined {
  if (first.type !== "run-started") return undefined;
  const cached = first.steps.filter(({ state }) => state !== "run").length;
  return {
    ...{ run, folder, recipe: first.recipe, model: first.model, method: first.method, started: first.at },
    device: first.device,
    outcome: outcomeOf(last),
    seconds: (last.at - first.at) / 1000,
    steps: last.type === "run-finished" ? { run: last.ran, cached: last.cached } : { run: done, cached },
    ...(last.type === "run-failed" ? { error: last.error.message } : {}),
  };
}

function outcomeOf(last: RunEvent): RunInfo["outcome"] {
  if (last.type === "run-finished") return "finished";
  if (last.type === "run-interrupted") return "interrupted";
  return last.type === "run-failed" ? "failed" : "unfinished";
}

/** The value of a lock. @throws when it is no YAML, or has tags that mean nothing */
function parseLock(text: string): unknown {
  const document = parseDocument(withoutOutcome(text));
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong !== undefined) throw wrong;
  return document.toJS();
}

/** A file that holds a map, or undefined where there is none. @throws {InputError} when it holds anything else */
function readTree(path: string, parse: (text: string) => unknown): Readonly<Record<string, Json>> | undefined {
  if (!existsSync(path)) return undefined;
  const text = readSmallText(path);
  let tree: unknown;
  try {
    tree = parse(text);
  } catch {
    tree = undefined;
  }
  if (isTree(tree as Json) && !Array.isArray(tree) && isSound(tree)) return tree as Readonly<Record<string, Json>>;
  throw new InputError(
    `Cannot read ${path}: it is damaged; run the recipe again, or look at the other files beside it`,
  );
}
