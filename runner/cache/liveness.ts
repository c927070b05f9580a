/**
 * Which processes that use a cache are still there. Each holds a lock of the operating system on a file of its own,
 * and the system lets go of it however the process ends; so nothing is left to clean up by hand, no heartbeat is needed, and
 * a process that was only suspended is not taken for dead.
 */
import { join } from "node:path";

/** This process's (or this opened cache's) sign of life. */
export interface Life {
  /** Unique for every opened cache. */
  readonly id: string;
  /** Ends it; others see its owner as gone from now on. */
  end(): void;
}

/**
 * Starts a sign of life.
 *
 * @param folder where such files lie; must exist
 */
export function beginLife(folder: string): Life {
  const id = crypto.randomUUID();
  const unnamed = join(folder, `.${id}`);
  const path = lifePath(folder, id);
  const file = Deno.openSync(unnamed, { createNew: true, write: true });
  // Locked before it has its name, so that nobody sees it unlocked.
  file.lockSync(true);
  file.writeSync(new TextEncoder().encode(`${JSON.stringify({ pid: Deno.pid, started: new Date().toISOString() })}\n`));
  Deno.renameSync(unnamed, path);
  return {
    id,
    end() {
      file.close();
      removeIfPresent(path);
    },
  };
}

/** Whether the owner of a sign of life is still running. */
export function isAlive(folder: string, id: string): boolean {
  // Only such a name was ever given.
  if (!/^[0-9a-f-]{36}$/.test(id)) return false;
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(lifePath(folder, id), { write: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.IsADirectory) return false;
    throw error;
  }
  try {
    return !file.tryLockSync(true);
  } finally {
    file.close();
  }
}

/** Removes the files of those that are gone. @returns the ids of those still alive */
export function sweepLives(folder: string): ReadonlySet<string> {
  const alive = new Set<string>();
  for (const { name, isFile } of [...Deno.readDirSync(folder)]) {
    if (!isFile) continue;
    if (name.startsWith(".")) sweepUnnamed(join(folder, name));
    if (name.startsWith(".") || !name.endsWith(".lock")) continue;
    const id = name.slice(0, -".lock".length);
    if (isAlive(folder, id)) alive.add(id);
    else removeIfPresent(lifePath(folder, id));
  }
  return alive;
}

/** Removes what a process left that died between making its file and naming it. */
function sweepUnnamed(path: string): void {
  try {
    const { mtime } = Deno.statSync(path);
    if (mtime === null || Date.now() - mtime.getTime() > 60_000) Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function lifePath(folder: string, id: string): string {
  return join(folder, `${id}.lock`);
}

function removeIfPresent(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    // On Windows somebody may be looking at it just now; the next sweep removes it.
    const busy = Deno.build.os === "windows" && error instanceof Deno.errors.PermissionDenied;
    if (!busy && !(error instanceof Deno.errors.NotFound)) throw error;
  }
}
