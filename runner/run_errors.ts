/** How a run can fail, and the exit codes for it. */

/** A step did not end well. */
export class StepError extends Error {
  override readonly name = "StepError";
  /** For exit codes. */
  readonly code = "STEP";
}

/** The run was asked to stop. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly code = "INTERRUPTED";
  constructor() {
    super("Cannot go on: the run was interrupted");
  }
}

/** Exit codes by the `code` of the error; the command line documents them. */
const EXITS: Readonly<Record<string, number>> = { INPUT: 3, NO_SPACE: 4, STEP: 5, CACHE: 6, INTERRUPTED: 130 };

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
