/** Runs that were published on the hub: a repository with a run's lock and its packed model, fetched to look like a run's folder. */
import { copyFileSync, existsSync, linkSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError } from "../files/input_error.ts";
import { downloadFile, type HubAccess, type HubRepo, resolveModel } from "../hub/mod.ts";
import { readOutcome } from "../pipeline/lock_record.ts";
import { LOCK } from "../runner/journal.ts";
import { openLock } from "./locks.ts";
import { locate } from "./places.ts";

/** Most bytes of a lock that is fetched. */
const MOST_LOCK_BYTES = 1 << 24;

/**
 * A word as an id of the hub, and a revision, `main` where there is none.
 *
 * @returns undefined where it is none, or where something of this machine may be meant: the path, or its folder, is there
 */
export function hubIdOf(target: string): { readonly id: string; readonly revision: string } | undefined {
  const [, id, revision = "main"] = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w./-]+))?$/.exec(target) ?? [];
  if (id === undefined) return undefined;
  const path = locate(target);
  return existsSync(path) || existsSync(dirname(path)) ? undefined : { id, revision };
}

/**
 * Fetches lock, packed model and metrics of a repository; the packed model may lie at its top, where loaders look for it.
 *
 * @returns a folder that looks like the run's
 * @throws {InputError} there is no such repository, or no lock in it
 */
export async function fetchRun(
  { id, revision }: { readonly id: string; readonly revision: string },
  access: HubAccess,
): Promise<string> {
  const repo = await resolveModel(id, revision, access);
  const size = repo.files.get(LOCK)?.size;
  if (size === undefined) {
    throw new InputError(
      `Cannot verify ${id}@${repo.commit.slice(0, 8)}: it has no ${LOCK}, so it is no published run`,
    );
  }
  if (size > MOST_LOCK_BYTES) {
    throw new InputError(`Cannot verify ${id}: its ${LOCK} has ${size} bytes, which no lock has`);
  }
  const folder = join(access.cache, "verify", "hub", id.replace("/", "--"), repo.commit);
  mkdirSync(join(folder, "model"), { recursive: true });
  const lock = await place(repo, LOCK, join(folder, LOCK), access);
  const opened = openLock(lock);
  const packed = opened.lock.outcome === undefined ? {} : readOutcome(opened.lock, opened.label).model;
  for (const name of Object.keys(packed)) {
    // What is not there is missed when the files are checked.
    const path = [`model/${name}`, name].find((each) => repo.files.has(each));
    if (path !== undefined) await place(repo, path, join(folder, "model", name), access);
  }
  if (repo.files.has("metrics.json")) await place(repo, "metrics.json", join(folder, "metrics.json"), access);
  return folder;
}

/** Downloads a file, and puts it in its place without a second copy where the file system can. */
async function place(repo: HubRepo, path: string, target: string, access: HubAccess): Promise<string> {
  const from = await downloadFile(repo, path, access);
  rmSync(target, { force: true });
  try {
    linkSync(from, target);
  } catch {
    copyFileSync(from, target);
  }
  return target;
}
