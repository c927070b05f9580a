/** What `verify` is given: a lock, what it says of its run's outcome, and whether what lies beside it says the same. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError } from "../files/input_error.ts";
import { lockedMetrics, type LockedOutcome, readOutcome } from "../pipeline/lock_record.ts";
import { changedPlanes, checkFiles, checkMetrics } from "../pipeline/verdict.ts";
import { JOURNAL, LOCK, readJournal } from "../runner/journal.ts";
import { type ArtifactCache, listRuns, readRun, type RunEvent, type RunResult } from "../runner/mod.ts";
import { PACKED_WEIGHTS } from "../stages/artifacts.ts";
import { asked, UsageError } from "./exit_codes.ts";
import type { Interruption } from "./interruption.ts";
import { findLock, type InputOptions, type OpenedLock, openLock } from "./locks.ts";
import type { RecipeOptions } from "./options.ts";
import { locate, runsFolder } from "./places.ts";
import { readMetrics } from "./run.ts";
import type { Terminal } from "./terminal.ts";
import type { Verification } from "./verify_words.ts";

/** The command's options. */
export interface VerifyOptions
  extends InputOptions, Pick<RecipeOptions, "device" | "forward" | "json" | "color" | "cache"> {
  readonly allowPlugins?: boolean;
  readonly evaluateOnly?: boolean;
  readonly cached?: boolean;
  readonly first?: boolean;
  readonly keep?: boolean;
  readonly runs?: string;
}

/** What is verified. */
export interface Claim extends OpenedLock {
  /** The lock's folder; the run's files lie in it, where it is a run's. */
  readonly folder: string;
  readonly outcome: LockedOutcome;
}

/** Where something is verified. */
export interface VerifyPlaces {
  readonly claim: Claim;
  /** Where steps are made. */
  readonly cache: ArtifactCache;
  /** The user's, which may have originals, and has what was downloaded. */
  readonly known: ArtifactCache;
  /** Folder for what is made. */
  readonly scratch: string;
  /** Whether an interrupted verify has left something there. */
  readonly resumed: boolean;
  /** Whether `cache` is this command's own, so that what is in it was made by it. */
  readonly own: boolean;
  readonly terminal: Terminal;
  readonly interruption: Interruption;
}

/** The lock that a word names, and what it says. @throws {UsageError | InputError} */
export function openClaim(
  target: string,
  { runs, evaluateOnly }: Pick<VerifyOptions, "runs" | "evaluateOnly">,
  doing: "verify" | "push" = "verify",
): Claim {
  const path = locate(target), file = findLock(path) ?? lockOfRun(target, path, { runs, doing });
  const opened = openLock(file), folder = dirname(file);
  if (opened.lock.outcome === undefined) {
    throw new InputError(
      `Cannot ${doing} ${opened.label}: ${whyNoOutcome(folder)}; run it again: deno task run ${target}`,
    );
  }
  if (evaluateOnly && !existsSync(join(folder, "model"))) {
    throw new InputError(
      `Cannot measure the packed model of ${opened.label}: there is no folder \`model\` beside the lock; give the run's whole folder`,
    );
  }
  return { ...opened, folder, outcome: readOutcome(opened.lock, opened.label) };
}

function lockOfRun(
  target: string,
  path: string,
  { runs, doing }: { readonly runs: string | undefined; readonly doing: string },
): string {
  const folder = runsFolder(runs);
  if (existsSync(path)) {
    throw new UsageError(`Cannot ${doing} "${target}": it is no lock of a run, nor a folder with one (${LOCK})`);
  }
  if (/[\\/]/.test(target) || listRuns(folder).length === 0) {
    throw new UsageError(`Cannot ${doing} "${target}": there is no such file, folder or run`);
  }
  const file = findLock(asked(() => readRun(folder, target)).folder);
  if (file !== undefined) return file;
  throw new InputError(`Cannot ${doing} run "${target}": it has no ${LOCK}`);
}

/** Why a lock does not say what came of its run. */
function whyNoOutcome(folder: string): string {
  const until = "its lock does not say what came of it";
  if (!existsSync(join(folder, JOURNAL))) return `${until}, as the run did not end well or an older version made it`;
  const ends: Partial<Record<RunEvent["type"], string>> = {
    "run-finished": "an older version made it, or it stopped after a stage that was named",
    "run-failed": "the run failed",
    "run-interrupted": "the run was interrupted",
  };
  const last = readJournal(join(folder, JOURNAL)).at(-1);
  return `${until}, as ${(last && ends[last.type]) ?? "the run goes on still, or was killed"}`;
}

/** Looks at what lies beside the lock. @returns undefined where nothing contradicts it */
export async function lookAt({ folder, label, lock, outcome }: Claim): Promise<Verification | undefined> {
  const files = existsSync(join(folder, "model")) ? await checkFiles(outcome.model, join(folder, "model")) : [];
  const stated = existsSync(join(folder, "metrics.json")) ? lockedMetrics(await readMetrics(folder)) : undefined;
  const metrics = stated === undefined ? [] : checkMetrics(outcome, stated, { claimed: true });
  if (files.every(({ same }) => same) && metrics.every(({ same }) => same)) return undefined;
  const spoilt = files.some(({ name, same, sha256 }) => name === PACKED_WEIGHTS && !same && sha256 !== undefined);
  return {
    ...{ run: label, mode: "looked at", steps: [], missing: [], made: 0, cached: 0, notes: [], seconds: 0 },
    files,
    ...(spoilt ? { planes: await changedPlanes(join(folder, "model"), lock.outcome?.steps ?? {}) } : {}),
    // What metrics.json says is another claim than the lock's, however near.
    metrics: metrics.filter(({ same }) => !same).map((each) => ({ ...each, within: 0, meets: false })),
    stoppedEarly: false,
  };
}

/** @returns the exit code of a run that did not come to its end */
export function tellStopped({ outcome, error, exit }: RunResult, terminal: Terminal): number {
  terminal.note(
    outcome === "interrupted"
      ? "Interrupted; what was made again is kept. To go on, give the same command again."
      : `error: ${error?.message ?? "the run failed"}`,
  );
  return exit;
}
