/** How commands end: the codes, and which error leads to which. */
import { CommanderError } from "commander";
import { clearMessage } from "../files/clear_text.ts";
import { RecipeError } from "../recipes/diagnostics.ts";
import { exitCodeOf } from "../runner/run_errors.ts";
import { explainError } from "./explain_error.ts";
import { OutputError, type Terminal } from "./terminal.ts";

/** Arguments that cannot be used. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  constructor(message: string, options?: ErrorOptions) {
    super(clearMessage(message), options);
  }
}

/** Exit codes with what they mean, for `--help` and the README. */
export const exitCodes: readonly (readonly [number, string])[] = [
  [0, "all is well"],
  [1, "an unexpected error: please report it"],
  [2, "the recipe or the arguments are wrong, or a folder cannot be written to"],
  [3, "the input is wrong: a checkpoint, a text, the hub"],
  [4, "no space left on the disk, or the output cannot be written"],
  [5, "a step failed, for instance on a value that is not finite"],
  [6, "the cache is damaged and could not be healed"],
  [7, "the result misses what the recipe expects"],
  [8, "points of a sweep failed; the others are finished"],
  [10, "plan --exit-code: there is work to do"],
  [11, "verify: not bit-identical, but within tolerance"],
  [12, "verify: different"],
  [130, "interrupted (Ctrl-C, SIGTERM, SIGHUP); the same command goes on"],
];

/** Runs what may refuse its arguments with a RangeError, and makes that a usage error. @throws {UsageError} */
export function asked<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw refusal(error);
  }
}

/** As `asked`, of what takes its time. @throws {UsageError} */
export async function askedLater<T>(use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error: unknown): unknown {
  return error instanceof RangeError ? new UsageError(error.message, { cause: error }) : error;
}

/**
 * Prints an error as people should see it: one sentence, whatever was thrown.
 *
 * @returns the exit code
 */
export function reportError(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const exit = exitOf(error);
  try {
    tell(error, exit, terminal);
  } catch (failure) {
    // Where not even this can be printed, the exit code has to do.
    if (!(failure instanceof OutputError)) throw failure;
  }
  return exit;
}

/** The exit code of a command that ends with an error. */
export function exitOf(error: unknown): number {
  return error instanceof UsageError || error instanceof RecipeError ? 2 : exitCodeOf(error);
}

function tell(error: unknown, exit: number, terminal: Terminal): void {
  if (error instanceof RecipeError) {
    terminal.diagnose(error.diagnostics);
    // What a file of the user's own has thrown.
    if (debugging() && error.cause !== undefined) terminal.note(Deno.inspect(error.cause, { colors: false }));
    return;
  }
  const { sentence, foreseen } = explainError(error, exit !== 1);
  terminal.note(`error: ${sentence}`);
  if (debugging() && error instanceof Error) terminal.note(Deno.inspect(error, { colors: false }));
  else if (!foreseen) terminal.note("This was not foreseen. PBS2P_DEBUG=1 shows where it happened.");
}

/** Whether errors should say all they can, at whatever cost. */
export function debugging(): boolean {
  return Deno.env.get("PBS2P_DEBUG") === "1";
}
