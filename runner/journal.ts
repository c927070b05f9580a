/** The journal of a run: events as NDJSON, one line each, written through at once so that a killed run keeps them. */
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

/** Reads a journal; a last line that a crash cut short is left out. */
export function readJournal(path: string): RunEvent[] {
  const lines = Deno.readTextFileSync(path).split("\n");
  const events: RunEvent[] = [];
  for (const [number, line] of lines.entries()) {
    if (line === "") continue;
    try {
      events.push(renamed(JSON.parse(line)));
    } catch (error) {
      if (number === lines.length - 1) break;
      throw new SyntaxError(`Cannot read ${path}: line ${number + 1} is not JSON`, { cause: error });
    }
  }
  return events;
}

/** Brings an event of an older run to today's names: `run-finished` had its count of steps in `run`. */
function renamed(event: RunEvent & { readonly run?: unknown }): RunEvent {
  if (event.type !== "run-finished" || typeof event.run !== "number") return event;
  const { run, ...rest } = event;
  return { ...rest, ran: run };
}
