/** What changes in a folder of runs, told to everyone who listens: each change has a number, from which a listener goes on. */
import type { RunStore } from "./run_store.ts";
import type { RunSummary } from "./schemas.ts";

/** A change. */
export interface Change {
  /** To be given as `after`. */
  readonly id: string;
  /** The run as it is now; undefined: it is gone. */
  readonly run: string;
  readonly summary?: RunSummary;
}

/** Milliseconds that a look at the folder serves everyone. */
const FRESH = 500;

/** The changes of one folder. */
export class Feed {
  readonly #store: RunStore;
  /** Numbers of another process mean nothing here. */
  readonly #boot = crypto.randomUUID().slice(0, 8);
  readonly #seen = new Map<string, { text: string; summary?: RunSummary; number: number }>();
  #number = 0;
  #looked = -Infinity;

  constructor(store: RunStore) {
    this.#store = store;
  }

  /** The number of the last change. */
  position(): string {
    this.#look();
    return `${this.#boot}.${this.#number}`;
  }

  /** Changes after a number, the oldest first; all runs where the number says nothing. */
  since(id: string | undefined): Change[] {
    this.#look();
    const [boot, number] = id?.split(".") ?? [];
    const after = boot === this.#boot ? Number(number) : 0;
    return [...this.#seen].filter(([, seen]) => seen.number > after).sort(([, a], [, b]) => a.number - b.number)
      .map(([run, { summary, number }]) => ({
        ...{ id: `${this.#boot}.${number}`, run },
        ...(summary === undefined ? {} : { summary }),
      }));
  }

  #look(): void {
    const now = performance.now();
    if (now - this.#looked < FRESH) return;
    this.#looked = now;
    const { runs } = this.#store.list();
    const there = new Set(runs.map(({ id }) => id));
    // The oldest first, so that they are numbered as they began.
    for (const summary of runs.toReversed()) this.#note(summary.id, summary);
    for (const [run, { summary }] of this.#seen) if (summary !== undefined && !there.has(run)) this.#note(run);
  }

  #note(run: string, summary?: RunSummary): void {
    const text = JSON.stringify(summary) ?? "";
    if (this.#seen.get(run)?.text === text) return;
    this.#seen.set(run, { text, number: ++this.#number, ...(summary === undefined ? {} : { summary }) });
  }
}
