/** One file of a mirror, as it comes: never more bytes than were announced, and again where a connection broke. */
import { pause } from "../../files/pause.ts";
import { createHash } from "node:crypto";
import { MirrorError, type MirrorSource } from "./source.ts";

/** How often, and how slowly, a mirror is asked. */
export interface Pace {
  /** Requests in a row that bring nothing, after which a file has failed. */
  readonly attempts?: number;
  /** Milliseconds before the second request; each further one waits twice as long. */
  readonly delay?: number;
}

/** A file that is wanted. */
export interface Wanted extends Pace {
  readonly path: string;
  /** Bytes that it has, or at most may have. */
  readonly bytes: number;
  /** Whether it must have exactly so many, so that a broken connection goes on where it ended. */
  readonly exact: boolean;
  readonly signal?: AbortSignal;
}

/** Requests for one file, whatever they bring: a server that sends a byte at a time is no mirror. */
const MOST_REQUESTS = 20;

/** Bytes a millisecond, once a minute has passed: slower connections are given up. */
const SLOWEST = 1, PATIENCE = 60_000;

/**
 * Receives a file.
 *
 * @param write takes the bytes as they come; undefined: what came so far is void, and all comes again
 * @returns hex sha256 of what was written
 * @throws {MirrorError} when it does not come, or more comes than was announced
 * @throws what `write` throws, and the signal's reason
 */
export async function receive(
  source: MirrorSource,
  { path, bytes, exact, signal, attempts = 4, delay = 500 }: Wanted,
  write: (chunk: Uint8Array | undefined) => void | Promise<void>,
): Promise<string> {
  let hash = createHash("sha256");
  let done = 0;
  for (let failed = 0, requests = 1;; requests++) {
    if (done > 0 && !exact) {
      await write(undefined);
      hash = createHash("sha256");
      done = 0;
    }
    const before = done, began = performance.now();
    let writing = false;
    try {
      const { from, body } = await source.open(path, { from: done, signal });
      let known = done - from;
      for await (const received of body) {
        signal?.throwIfAborted();
        const chunk = received.subarray(Math.min(known, received.length));
        known -= received.length - chunk.length;
        if (done + chunk.length > bytes) {
          throw new MirrorError(`sends more for ${path} than ${exact ? "the" : "at most"} ${bytes} bytes`, {
            lie: true,
          });
        }
        writing = true;
        await write(chunk);
        writing = false;
        hash.update(chunk);
        done += chunk.length;
        const spent = performance.now() - began;
        if (spent > PATIENCE && done - before < SLOWEST * spent) throw new MirrorError("is too slow", { again: true });
      }
      if (!exact || done === bytes) return hash.digest("hex");
      throw new MirrorError(`ends ${path} after ${done} of ${bytes} bytes`, { again: true });
    } catch (error) {
      signal?.throwIfAborted();
      if (writing || !(error instanceof MirrorError) || !error.again) throw error;
      failed = exact && done > before ? 1 : failed + 1;
      if (failed >= attempts || requests >= MOST_REQUESTS) throw error;
      await pause(Math.max(error.wait, delay * 2 ** (failed - 1)), signal);
    }
  }
}
