/** A full disk, told apart from every other failure to write. */
import { statfsSync } from "node:fs";
import { formatBytes } from "../../files/format_bytes.ts";

/** The `code` of an error of whoever shows a run's events, such as a terminal: no folder of the run is to blame. */
export const OUTPUT = "OUTPUT";

/** There is no room left where something must be written. */
export class NoSpaceError extends Error {
  override readonly name = "NoSpaceError";
  /** For exit codes. */
  readonly code = "NO_SPACE";
}

/**
 * Turns whatever a full disk or quota makes the system, SQLite or a library throw into one clear error.
 *
 * @param error anything that was thrown while something was written to that folder, also with the system's error as a cause
 * @param needed bytes that were to be written, as far as known
 * @returns a `NoSpaceError`, or undefined when the error has another reason
 */
export function asNoSpace(error: unknown, folder: string, needed: number): NoSpaceError | undefined {
  if (error instanceof NoSpaceError) return error;
  if (!isFull(error)) return undefined;
  const free = freeBytes(folder);
  const numbers = [
    ...(needed > 0 ? [`about ${formatBytes(needed)} more are needed`] : []),
    ...(free === undefined ? [] : [`${formatBytes(free)} are free`]),
  ];
  return new NoSpaceError(
    `Cannot write to ${folder} as the disk is full: ${numbers.join(", ")}. ` +
      "Free some space, run `cache gc`, or choose another disk with --cache or --runs",
    { cause: error },
  );
}

/** Does what writes to a folder, so that a full disk is told to be that folder's. @throws {NoSpaceError} when it is */
export function writingTo<T>(folder: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw asNoSpace(error, folder, 0) ?? error;
  }
}

/** Bytes that can be written to the disk of a folder; undefined where the system does not say. */
export function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

/** Whether the system says that a disk or a quota is full; not where output cannot be printed, whatever the reason. */
export function isFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (code === OUTPUT) return false;
  // Where the system's number has no name: Windows 39 and 112. SQLite hands on words only.
  return code === "ENOSPC" || code === "EDQUOT" ||
    /\(os error (39|112)\)/.test(error.message) && /space|disk/i.test(error.message) ||
    error.message.includes("database or disk is full") || isFull(error.cause);
}
