/** A full disk, told apart from every other failure to write. */
import { statfsSync } from "node:fs";
import { formatBytes } from "../../files/format_bytes.ts";

/** There is no room left where something must be written. */
export class NoSpaceError extends Error {
  override readonly name = "NoSpaceError";
  /** For exit codes. */
  readonly code = "NO_SPACE";
}

/**
 * Turns whatever a full disk or quota makes the system, SQLite or a library throw into one clear error.
 *
 * @param error anything thrown, also with the system's error as a cause
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

/** Bytes that can be written to the disk of a folder; undefined where the system does not say. */
export function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

function isFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  // Where the system's number has no name: Windows 39 and 112. SQLite hands on words only.
  return code === "ENOSPC" || code === "EDQUOT" ||
    /\(os error (39|112)\)/.test(error.message) && /space|disk/i.test(error.message) ||
    error.message.includes("database or disk is full") || isFull(error.cause);
}
