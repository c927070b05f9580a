/** The journal of a run: events as NDJSON, one line each, written through at once so that a killed run keeps them. */
import * as z from "zod";
import { stateOf } from "../files/file_state.ts";
import { InputError } from "../files/input_error.ts";
import type { RunEvent } from "./events.ts";

/** Name of the journal in a run's folder. */
export const JOURNAL = "events.ndjson";

/** Name of the complete recipe, with what identifies its inputs, in a run's folder. */
export const LOCK = "recipe.lock.yaml";

/** A journal that is being written. */
export interface Journal {
  append(event: RunEvent): void;
  close(): void;
}

/** Starts a journal. @param path must not exist */
export function openJournal(path: string): Journal {
  const file = Deno.openSync(path, { createNew: true, write: true });
  return {
    append(event) {
      const line = new TextEncoder().encode(`${JSON.stringify(event)}\n`);
      for (let done = 0; done < line.length;) done += file.writeSync(line.subarray(done));
    },
    close: () => file.close(),
  };
}

/** Journals are read whole; a longer one is not read at all. */
const MOST_BYTES = 1 << 28;

const Failure = z.looseObject({ name: z.string(), message: z.string() });

/** What readers of a journal rely on; a later version may say more. */
const Events: Readonly<Record<string, z.ZodType>> = {
  "run-started": z.looseObject({
    ...{ recipe: z.string(), method: z.string(), model: z.string() },
    device: z.looseObject({
      ...{ kind: z.string(), name: z.string(), why: z.string() },
      forward: z.looseObject({ provider: z.string(), why: z.string() }).optional(),
    }),
    steps: z.array(z.looseObject({
      ...{ id: z.string(), stage: z.string(), state: z.enum(["cached", "run", "fetch", "skip"]) },
      ...{ block: z.int().min(0).optional(), key: z.string().optional(), inputs: z.array(z.string()).optional() },
    })),
  }),
  "run-finished": z.looseObject({ ran: z.int(), cached: z.int() }),
  "run-failed": z.looseObject({ error: Failure }),
  "step-started": z.looseObject({ step: z.string() }),
  "step-progress": z.looseObject({
    step: z.string(),
    done: z.number(),
    total: z.number(),
    note: z.string().optional(),
  }),
  "step-measured": z.looseObject({ step: z.string(), values: z.record(z.string(), z.unknown()) }),
  "step-failed": z.looseObject({ step: z.string(), error: Failure }),
  "artifact-corrupt": z.looseObject({ step: z.string(), detail: z.string() }),
  warning: z.looseObject({ message: z.string() }),
  "step-finished": z.looseObject({
    ...{ step: z.string(), seconds: z.number(), stages: z.record(z.string(), z.number()) },
    memory: z.number().optional(),
  }),
};
/** Milliseconds that a date can hold. */
const AnyEvent = z.looseObject({ at: z.number().min(0).max(8.64e15), type: z.string() })
  .refine((value) => isSound(value));

/**
 * Reads a journal; a last line that a crash cut short is left out.
 *
 * @throws {InputError} when it is not there, or damaged anywhere else
 */
export function readJournal(path: string): RunEvent[] {
  const lines = readSmallText(path, MOST_BYTES).split("\n");
  const events: RunEvent[] = [];
  for (const [number, line] of lines.entries()) {
    if (line === "") continue;
    try {
      events.push(readEvent(line));
    } catch (error) {
      if (number === lines.length - 1) break;
      const why = error instanceof SyntaxError ? "is not JSON" : "is not an event of a run";
      throw new InputError(`Cannot read ${path}: line ${number + 1} ${why}`, { cause: error });
    }
  }
  return events;
}

/**
 * The first event of a journal, which says what the run is; the others are not looked at.
 *
 * @returns undefined when not even that is whole
 * @throws {InputError} when it is not there, or damaged
 */
export function readFirstEvent(path: string): RunEvent | undefined {
  if (stateOf(path) === undefined) throw new InputError(`Cannot read ${path}: it is not there, or not a file`);
  const file = Deno.openSync(path), decoder = new TextDecoder(), piece = new Uint8Array(1 << 16);
  try {
    let line = "";
    for (let read = file.readSync(piece); read && line.length < MOST_BYTES; read = file.readSync(piece)) {
      const end = piece.subarray(0, read).indexOf(10);
      line += decoder.decode(piece.subarray(0, end < 0 ? read : end), { stream: true });
      if (end >= 0) return readEvent(line);
    }
    return undefined;
  } catch (cause) {
    throw new InputError(`Cannot read ${path}: its first line is not an event of a run`, { cause });
  } finally {
    file.close();
  }
}

/**
 * The text of a file of a run's folder.
 *
 * @throws {InputError} when there is none, or it is no file of at most so many bytes
 */
export function readSmallText(path: string, most = 1 << 26): string {
  const size = stateOf(path)?.size;
  if (size === undefined) throw new InputError(`Cannot read ${path}: it is not there, or not a file`);
  if (size > most) throw new InputError(`Cannot read ${path}: it has ${size} bytes, and may have ${most}`);
  try {
    return new TextDecoder().decode(Deno.readFileSync(path));
  } catch (error) {
    throw new InputError(`Cannot read ${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/** Depth of what a run writes, and some more. */
const MOST_NESTING = 64;

/** Whether a value is JSON of a bounded depth, with finite numbers: what a run writes, whatever its file has become. */
export function isSound(value: unknown, depth = 0): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return ["string", "boolean", "object"].includes(typeof value);
  // YAML has tags for dates, bytes and sets, which are no JSON.
  if (![Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(value))) return false;
  return depth < MOST_NESTING && Object.values(value).every((item) => isSound(item, depth + 1));
}

/** One line of a journal. @throws {SyntaxError | z.ZodError} when it is none */
export function readEvent(line: string): RunEvent {
  const event = renamed(JSON.parse(line));
  AnyEvent.parse(event);
  if (Object.hasOwn(Events, event.type)) Events[event.type].parse(event);
  return event;
}

/** Brings an event of an older run to today's names: `run-finished` had its count of steps in `run`. */
function renamed(event: RunEvent & { readonly run?: unknown }): RunEvent {
  if (event?.type !== "run-finished" || typeof event.run !== "number") return event;
  const { run, ...rest } = event;
  return { ...rest, ran: run };
}
