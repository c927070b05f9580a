/** Server-sent events: a run's journal as it grows, and what changes in the folder of runs. */
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { setTimeout as delay } from "node:timers/promises";
import { InputError } from "../files/input_error.ts";
import type { Feed } from "./feed.ts";
import { redact } from "./redact.ts";
import { isOver, type RunStore } from "./run_store.ts";

/** Milliseconds between looks at a journal and at the folder. */
const JOURNAL_PAUSE = 250, FOLDER_PAUSE = 1000;
/** Looks after which something is said, so that what lies between does not close the connection. */
const QUIET = 15_000;
/** Connections that listen at once. */
const MOST = 100;
/** Events that are sent before others get a turn. */
const BATCH = 500;

/** Streams for everyone who listens to one folder. */
export class Live {
  readonly #store: RunStore;
  readonly #feed: Feed;
  #listening = 0;

  constructor(store: RunStore, feed: Feed) {
    this.#store = store;
    this.#feed = feed;
  }

  /** All changes of the list: `run` events, each with the run as it is, `gone` for those that are not there any more. */
  list(c: Context): Response {
    let position = after(c);
    return this.#stream(c, FOLDER_PAUSE, async (send) => {
      for (const { id, run, summary } of this.#feed.since(position)) {
        await send({ id, event: summary === undefined ? "gone" : "run", data: JSON.stringify(summary ?? { id: run }) });
        position = id;
      }
      return true;
    });
  }

  /** A run's events, each with the bytes of the journal up to it as its id; `end` when nothing more is to come. */
  run(c: Context, id: string): Response {
    let position = Number(after(c) ?? 0) || 0;
    return this.#stream(c, JOURNAL_PAUSE, async (send) => {
      const run = this.#store.open(id);
      if (run === undefined) return false;
      // Another journal has taken its place.
      if (position > run.follower.end) position = 0;
      // A copy, as others may read on meanwhile.
      const news = run.events.slice(firstAfter(run.events, position));
      for (const [i, { event, end }] of news.entries()) {
        if (i % BATCH === BATCH - 1) await delay(0);
        await send({ id: `${end}`, event: "journal", data: JSON.stringify(redact(withoutFolder(event))) });
        position = end;
      }
      const summary = this.#store.summary(id);
      if (summary === undefined || !isOver(summary) || run.follower.end > position) return true;
      await send({ event: "end", data: summary.outcome });
      return false;
    });
  }

  #stream(
    c: Context,
    pause: number,
    look: (
      send: (message: { readonly id?: string; readonly event: string; readonly data: string }) => Promise<void>,
    ) => Promise<boolean>,
  ): Response {
    // Who asks for the head only listens to nothing.
    if (c.req.method === "HEAD") return c.body(null, 200, { "content-type": "text/event-stream" });
    if (this.#listening >= MOST) {
      c.header("Retry-After", "10");
      return c.json({ error: `Cannot tell more than ${MOST} listeners at once: close other pages` }, 503);
    }
    this.#listening++;
    // Nothing in between may keep events back.
    c.header("X-Accel-Buffering", "no");
    c.header("Cache-Control", "no-store");
    return streamSSE(c, async (stream) => {
      const ended = new AbortController();
      stream.onAbort(() => ended.abort());
      let spoke = performance.now();
      const send = async (message: { readonly id?: string; readonly event: string; readonly data: string }) => {
        spoke = performance.now();
        await stream.writeSSE(message);
      };
      try {
        await stream.write("retry: 1500\n\n");
        while (!ended.signal.aborted && await look(send)) {
          if (performance.now() - spoke > QUIET) await send({ event: "quiet", data: "" });
          await delay(pause, undefined, { signal: ended.signal }).catch(() => {});
        }
      } catch (error) {
        // A journal that is damaged does not heal: what is told of it must not be asked for again and again.
        if (!(error instanceof InputError)) throw error;
        await stream.writeSSE({ event: "end", data: redact(error.message) });
      } finally {
        this.#listening--;
      }
    });
  }
}

/** Where a listener goes on: what a browser says when it comes back, or the address. */
function after(c: Context): string | undefined {
  return c.req.header("last-event-id") ?? c.req.query("after");
}

/** The first of events, rising by where they end, that ends after a place. */
export function firstAfter(events: readonly { readonly end: number }[], place: number): number {
  let low = 0, high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle].end > place) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Where a run's folder is concerns nobody. */
export function withoutFolder<T extends object>(event: T): Omit<T, "folder"> {
  const { folder: _folder, ...rest } = event as T & { readonly folder?: string };
  return rest;
}
