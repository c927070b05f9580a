/**
 * A journal that may still be growing, in this process or another, read piece by piece: what is new since the last look, and what the run is
 * by now. A whole one is read by `journal.ts`.
 */
import { join } from "node:path";
import { stateOf } from "../files/file_state.ts";
import { InputError } from "../files/input_error.ts";
import type { RunEvent } from "./events.ts";
import { infoOf, madeResults, type RunInfo } from "./history.ts";
import { JOURNAL, readEvent } from "./journal.ts";
import { RunTracker, type RunView } from "./run_view.ts";

/** An event and where it ends. */
export interface Told {
  readonly event: RunEvent;
  /** Bytes of the journal up to and with it: who has read these goes on from there. */
  readonly end: number;
}

const DECODER = new TextDecoder();
/** Bytes that are read at once. */
const PIECE = 1 << 20;
/** Bytes of a line; the first, with all steps, is the longest. */
const LONGEST = 1 << 28;

/**
 * Follows the journal of one run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { JournalFollower } from "./journal_follower.ts";
 *
 * const folder = await Deno.makeTempDir(), journal = `${folder}/events.ndjson`;
 * const device = { kind: "cpu", name: "test", why: "there is no other" };
 * const names = { run: "1-mine", recipe: "mine", method: "pbs2p", model: "tiny" };
 * const line = JSON.stringify({ at: 5, type: "run-started", ...names, device, steps: [] });
 * await Deno.writeTextFile(journal, `${line}\n{"at":9,`);
 * const follower = new JournalFollower("1-mine", folder);
 * assert.deepEqual(follower.read().map(({ event, end }) => [event.type, end]), [["run-started", line.length + 1]]);
 * await Deno.writeTextFile(journal, `"type":"run-interrupted","next":"the same command"}\n`, { append: true });
 * assert.deepEqual(follower.read().map(({ event }) => event.type), ["run-interrupted"]);
 * assert.equal(follower.info?.outcome, "interrupted");
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class JournalFollower {
  readonly run: string;
  /** Absolute. */
  readonly folder: string;
  #end = 0;
  #rest = new Uint8Array();
  #print = "";
  #first: RunEvent | undefined;
  #last: RunEvent | undefined;
  #done = 0;
  #tracker = new RunTracker();

  constructor(run: string, folder: string) {
    this.run = run;
    this.folder = folder;
  }

  /** Bytes read so far, but for a line that is not whole yet. */
  get end(): number {
    return this.#end;
  }

  /** What the run is by now; undefined before its first event. */
  get info(): RunInfo | undefined {
    if (this.#first === undefined || this.#last === undefined) return undefined;
    return infoOf(this.run, this.folder, { first: this.#first, last: this.#last, done: this.#done });
  }

  /** The time of the last event, milliseconds since the epoch. */
  get lastAt(): number {
    return this.#last?.at ?? 0;
  }

  /** @param at now, milliseconds since the epoch */
  view(at: number): RunView {
    return this.#tracker.view(at);
  }

  /**
   * Reads what is new.
   *
   * @throws {InputError} when the journal is gone, or a whole line of it is no event
   */
  read(): Told[] {
    const path = join(this.folder, JOURNAL);
    const state = stateOf(path);
    if (state === undefined) throw new InputError(`Cannot read ${path}: it is not there, or not a file`);
    // Nothing has been written since, by what the system says of the file.
    if (state.print === this.#print) return [];
    if (state.size < this.#end) this.#forget();
    const told = this.#readFrom(path);
    this.#print = state.print;
    return told;
  }

  /** A journal only grows: one that is shorter is another. */
  #forget(): void {
    this.#end = 0;
    this.#rest = new Uint8Array();
    this.#first = this.#last = undefined;
    this.#done = 0;
    this.#tracker = new RunTracker();
  }

  #readFrom(path: string): Told[] {
    const told: Told[] = [];
    const file = Deno.openSync(path);
    try {
      file.seekSync(this.#end + this.#rest.length, Deno.SeekMode.Start);
      const piece = new Uint8Array(PIECE);
      for (let read = file.readSync(piece); read; read = file.readSync(piece)) {
        this.#take(piece.subarray(0, read), told);
      }
    } finally {
      file.close();
    }
    return told;
  }

  /** Takes in some bytes; a line that is not whole is kept for the next ones. */
  #take(bytes: Uint8Array<ArrayBuffer>, told: Told[]): void {
    let from = 0;
    for (let to = bytes.indexOf(10); to >= 0; to = bytes.indexOf(10, from)) {
      const line = joined(this.#rest, bytes.subarray(from, to));
      if (this.#rest.length > 0) this.#rest = new Uint8Array();
      from = to + 1;
      const event = line.length === 0 ? undefined : this.#parse(line);
      this.#end += line.length + 1;
      if (event === undefined) continue;
      this.#first ??= event;
      this.#last = event;
      this.#done += Number(madeResults(event));
      this.#tracker.follow(event);
      told.push({ event, end: this.#end });
    }
    // The caller reads the next bytes into the same place.
    this.#rest = joined(this.#rest, bytes.slice(from));
    if (this.#rest.length > LONGEST) throw this.#damaged();
  }

  #parse(line: Uint8Array<ArrayBuffer>): RunEvent {
    try {
      return readEvent(DECODER.decode(line));
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  #damaged(cause?: unknown): InputError {
    const path = join(this.folder, JOURNAL);
    return new InputError(`Cannot read ${path}: what follows byte ${this.#end} is not an event of a run`, { cause });
  }
}

function joined(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
