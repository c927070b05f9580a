/** Folders in which `verify` makes runs again: below the cache's, one a lock and way of verifying, each one process's at a time. */
import { join } from "node:path";
import { treeBytes } from "../runner/cache/artifact_store.ts";
import { asNoSpace } from "../runner/cache/no_space.ts";
import { asFolderError } from "../runner/run_errors.ts";

const HELD = ".held";

/** Folder of all of them. @param cache absolute */
export function scratchFolder(cache: string): string {
  return join(cache, "verify");
}

/**
 * Takes a folder for this process, and makes it if need be; the system gives it back however the process ends.
 *
 * @returns undefined where another process has it
 */
export function holdScratch(folder: string): Deno.FsFile | undefined {
  let file: Deno.FsFile;
  try {
    Deno.mkdirSync(folder, { recursive: true });
    file = Deno.openSync(join(folder, HELD), { create: true, write: true });
  } catch (error) {
    throw asNoSpace(error, folder, 0) ?? asFolderError(error, folder, "--cache") ?? error;
  }
  if (file.tryLockSync(true)) return file;
  file.close();
  return undefined;
}

/** What interrupted verifications, and those with --keep, have left. */
export interface Leftovers {
  readonly folders: number;
  readonly bytes: number;
}

/** Bytes that verifications hold below a cache's folder. */
export function scratchBytes(cache: string): number {
  return treeBytes(scratchFolder(cache));
}

/** Removes what no process is at work in. @param dryRun only says what would go */
export function removeLeftovers(cache: string, { dryRun = false } = {}): Leftovers {
  let folders = 0, bytes = 0;
  for (const folder of foldersIn(scratchFolder(cache))) {
    const held = holdScratch(folder);
    if (held === undefined) continue;
    try {
      folders++;
      bytes += treeBytes(folder);
      if (!dryRun) Deno.removeSync(folder, { recursive: true });
    } finally {
      held.close();
    }
  }
  return { folders, bytes };
}

function foldersIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory).map(({ name }) => join(folder, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw asFolderError(error, folder, "--cache") ?? error;
  }
}
