/** A sweep's progress on the terminal: a line for each point that begins or ends, and its run's own list or lines between. */
import { formatSeconds } from "../report/numbers.ts";
import type { SweepEvent } from "../runner/sweep/events.ts";
import { liveProgress, plainProgress, type Progress } from "./progress.ts";
import { wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

/** Shows a sweep's events until it ends. */
export interface SweepProgress {
  onEvent(event: SweepEvent): void;
  close(): Promise<void>;
}

/** Prints each event as one line of JSON; those of runs say of which point they are. */
export function jsonSweepProgress(terminal: Terminal): SweepProgress {
  return {
    onEvent: (event) => {
      const { type, at: _at } = event;
      const line = type === "point-event" ? { ...event.event, point: event.point } : event;
      terminal.line(JSON.stringify(line));
    },
    close: () => Promise.resolve(),
  };
}

/** Prints lines; those of points that run side by side say whose they are. */
export function plainSweepProgress(terminal: Terminal, { jobs }: { readonly jobs: number }): SweepProgress {
  const tally = new Tally();
  const open = new Map<string, Progress>();
  return {
    onEvent: (event) => {
      const line = tally.follow(event);
      if (event.type === "point-event") {
        const prefix = jobs > 1 ? `${event.label}: ` : "  ";
        const progress = open.get(event.point) ?? plainProgress(terminal, { brief: true, prefix });
        open.set(event.point, progress);
        progress.onEvent(event.event);
      }
      if (event.type === "warning") terminal.note(`warning: ${event.message}`);
      if (line !== undefined) { for (const each of wrapText(line, terminal.width, "    ")) terminal.line(each); }
    },
    close: () => Promise.resolve(),
  };
}

/** Keeps the list of the run in progress up to date; each list ends before the next line is printed. */
export function liveSweepProgress(terminal: Terminal): SweepProgress {
  const tally = new Tally();
  let current: Progress | undefined;
  let failure: unknown;
  let shown = Promise.resolve();
  const show = async (event: SweepEvent) => {
    const line = tally.follow(event);
    if (event.type === "point-event") {
      current ??= liveProgress(terminal, { brief: true });
      current.onEvent(event.event);
    }
    if (event.type === "point-finished") {
      await current?.close();
      current = undefined;
    }
    if (event.type === "warning") terminal.note(`warning: ${event.message}`);
    if (line !== undefined) { for (const each of wrapText(line, terminal.width, "    ")) terminal.line(each); }
  };
  return {
    onEvent: (event) => {
      if (failure !== undefined) throw failure;
      shown = shown.then(() => show(event)).catch((error) => void (failure ??= error));
    },
    close: async () => {
      await shown;
      await current?.close();
      if (failure !== undefined) throw failure;
    },
  };
}

/** Counts points, and says where the sweep is. */
class Tally {
  /** Seconds expected of points that are not over, by id. */
  readonly #left = new Map<string, number>();
  #all = 0;
  #begun = 0;
  #done = 0;
  #failed = 0;
  #expected = 0;
  #took = 0;

  /** Takes in an event. @returns a line to print */
  follow(event: SweepEvent): string | undefined {
    if (event.type === "sweep-started") {
      for (const { point, seconds } of event.order) this.#left.set(point, seconds);
      this.#all = event.order.length;
      return undefined;
    }
    if (event.type === "point-started") {
      this.#begun++;
      const rest = this.#begun > 1 ? `  (${this.#done} done, ${this.#failed} failed, ${this.#time()} left)` : "";
      return `Point ${this.#begun} of ${this.#all}: ${event.label}${rest}`;
    }
    if (event.type !== "point-finished") return undefined;
    const { point, label, state, seconds, exit, error, step } = event;
    this.#expected += this.#left.get(point) ?? 0;
    this.#took += seconds;
    this.#left.delete(point);
    if (state === "finished") this.#done++;
    if (state !== "failed") return `${label}: ${state} after ${formatSeconds(seconds)}`;
    this.#failed++;
    const at = step === undefined ? "" : ` at ${step}`;
    return `${label}: failed${at} (${exit}) after ${formatSeconds(seconds)}: ${error}`;
  }

  #time(): string {
    const expected = [...this.#left.values()].reduce((sum, seconds) => sum + seconds, 0);
    // The first points say little where nothing was expected of them.
    const pace = this.#expected > 1 ? this.#took / this.#expected : 1;
    return `about ${formatSeconds(expected * pace)}`;
  }
}
