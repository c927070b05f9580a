/** How a run can fail, and the exit codes for it. */
import { clearMessage } from "../files/clear_text.ts";
import { isFull, OUTPUT } from "./cache/no_space.ts";

/** A step did not end well. */
export class StepError extends Error {
  override readonly name = "StepError";
  /** For exit codes. */
  readonly code = "STEP";
  constructor(message: string, options?: ErrorOptions) {
    super(clearMessage(message), options);
  }
}

/** The run was asked to stop. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly code = "INTERRUPTED";
  constructor() {
    super("Cannot go on: the run was interrupted");
  }
}

/** A folder that is to be written to cannot be. */
export class FolderError extends Error {
  override readonly name = "FolderError";
  readonly code = "FOLDER";
  constructor(message: string, options?: ErrorOptions) {
    super(clearMessage(message), options);
  }
}

/** What the system says where a folder is a file, read-only, or not the user's. */
const UNUSABLE = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENOENT", "ELOOP", "ENAMETOOLONG"]);

/**
 * Turns what the system says of a folder that cannot be written to into one clear error.
 *
 * @param error anything thrown
 * @param folder what was to be made or written to
 * @param option of the command line that names the folder
 * @returns undefined when the error has another reason
 */
export function asFolderError(error: unknown, folder: string, option: string): FolderError | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  if (!(error instanceof Error && typeof code === "string" && UNUSABLE.has(code))) return undefined;
  return new FolderError(
    `Cannot write to folder ${folder}: ${error.message}; choose another with ${option}`,
    { cause: error },
  );
}

/**
 * What a listener to a run's events threw: a full disk that it met, such as its output's, is not taken for the cache's.
 *
 * @param error anything thrown
 */
export function asListenerError(error: unknown): unknown {
  if (!isFull(error)) return error;
  const message = `Cannot print how far the run is: ${asError(error).message}; choose another place for its output`;
  return Object.assign(new Error(message, { cause: error }), { code: OUTPUT });
}

/** Exit codes by the `code` of the error; the command line documents them. */
const EXITS: Readonly<Record<string, number>> = {
  FOLDER: 2,
  INPUT: 3,
  NO_SPACE: 4,
  OUTPUT: 4,
  STEP: 5,
  CACHE: 6,
  INTERRUPTED: 130,
};

/**
 * The exit code of a process that ends with an error: 1 for what is not foreseen.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(exitCodeOf(new StepError("Cannot complete step spbo[0]: NaN")), 5);
 * ```
 */
export function exitCodeOf(error: unknown): number {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" && Object.hasOwn(EXITS, code) ? EXITS[code] : 1;
}

/** Anything thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
