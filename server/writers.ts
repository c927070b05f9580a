/**
 * Models of runs that write texts: the packed one, and the original where it is on this machine. They are opened when they are asked for,
 * stay open for a while, and write one text at a time.
 */
import { lstatSync } from "node:fs";
import { join, resolve } from "node:path";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { keepDecoded, openLocalModel } from "../inference/local_model.ts";
import { openTextModel, type TextModel } from "../inference/text_model.ts";
import { readLock } from "../runner/history.ts";
import { redact } from "./redact.ts";
import type { RunStore } from "./run_store.ts";
import type { TextEvent, TextRequest } from "./text_schemas.ts";

/** Which of a run's two models. */
export type Side = "packed" | "original";

/** What is known of a model before it writes. */
export type Found = { readonly label: string; readonly positions: number } | { readonly why: string };

/** A model that cannot write now, and will later. */
export class BusyError extends Error {}

/** How models are kept. */
export interface WritersOptions {
  readonly store: RunStore;
  /** Folder of the cache; absolute. */
  readonly cache: string;
  /** Milliseconds without a text after which a model is closed. */
  readonly idle?: number;
  /** Models that are open at once, at most. */
  readonly most?: number;
  /** Told of what was not foreseen. */
  readonly onError?: (error: Error) => void;
}

/** An open model, or one that is being opened. */
interface Kept {
  readonly model: Promise<TextModel>;
  busy: boolean;
  /** Closes it when nobody has used it for a while. */
  timer?: ReturnType<typeof setTimeout>;
}

const IDLE = 5 * 60_000, MOST = 4;
/** A text that takes longer than anyone waits for, in milliseconds. */
const LONGEST = 15 * 60_000;

/** The recipe's `model`, as a run's lock holds it: paths relative to the run's folder. */
const Model = z.union([
  z.object({ path: z.string(), config: z.string().optional() }),
  z.object({ hub: z.string(), revision: z.string(), file: z.string().optional() }),
]);

/** The models of one folder of runs. */
export class Writers {
  readonly #options: Required<WritersOptions>;
  /** The least recently used first. */
  readonly #kept = new Map<string, Kept>();

  constructor({ store, cache, idle = IDLE, most = MOST, onError = () => {} }: WritersOptions) {
    this.#options = { store, cache, idle, most, onError };
  }

  /** Models that are open. */
  get open(): number {
    return this.#kept.size;
  }

  /** Whether a model is there and can write, or why not; undefined where there is no such run. */
  async find(run: string, side: Side): Promise<Found | undefined> {
    const folder = this.#options.store.locate(run);
    if (folder === undefined) return undefined;
    try {
      const { checkpoint: { label }, spec: { maxPositions } } = await this.#keep(run, side, folder).model;
      return { label: redact(label), positions: maxPositions };
    } catch (error) {
      return { why: this.#explain(error) };
    }
  }

  /**
   * Takes a model to write one text; nobody else has it until the text has ended.
   *
   * @returns the text as it comes, always ending with `end` or `error`; undefined where there is no such run
   * @throws {BusyError} when it is writing for somebody else, or all that may be open are
   */
  take(
    run: string,
    side: Side,
  ): ((request: TextRequest, signal: AbortSignal) => AsyncGenerator<TextEvent>) | undefined {
    const folder = this.#options.store.locate(run);
    if (folder === undefined) return undefined;
    const kept = this.#keep(run, side, folder);
    if (kept.busy) {
      throw new BusyError(
        `Cannot write now: this run's ${side} model is writing another text; wait for it, or stop it`,
      );
    }
    kept.busy = true;
    const free = () => {
      kept.busy = false;
      this.#rest(key(run, side), kept);
    };
    const explain = (error: unknown) => this.#explain(error);
    return async function* (request, signal) {
      try {
        yield* write(await kept.model, request, AbortSignal.any([signal, AbortSignal.timeout(LONGEST)]));
      } catch (error) {
        yield { type: "error", error: explain(error) };
      } finally {
        free();
      }
    };
  }

  /** Closes models that do not write; the others when their text has ended. */
  close(): void {
    for (const [name, kept] of this.#kept) this.#drop(name, kept);
  }

  #keep(run: string, side: Side, folder: string): Kept {
    const name = key(run, side), known = this.#kept.get(name);
    if (known !== undefined) {
      this.#kept.delete(name);
      this.#kept.set(name, known);
      if (!known.busy) this.#rest(name, known);
      return known;
    }
    if (this.#kept.size >= this.#options.most) {
      const idle = [...this.#kept].find(([, { busy }]) => !busy);
      if (idle === undefined) {
        throw new BusyError(
          `Cannot open another model: ${this.#options.most} are writing already; wait for one, or stop it`,
        );
      }
      this.#drop(...idle);
    }
    const kept: Kept = { model: this.#open(side, folder), busy: false };
    this.#kept.set(name, kept);
    // What is not there now may be there later.
    kept.model.catch(() => this.#drop(name, kept));
    this.#rest(name, kept);
    return kept;
  }

  async #open(side: Side, folder: string): Promise<TextModel> {
    const source = side === "packed" ? packedIn(folder) : originalOf(folder);
    const checkpoint = keepDecoded(await openLocalModel(source, this.#options));
    try {
      return await openTextModel(checkpoint);
    } catch (error) {
      checkpoint.close();
      throw error;
    }
  }

  /** One sentence for who asks. */
  #explain(error: unknown): string {
    if (error instanceof Error && (error instanceof InputError || /^Cannot /.test(error.message))) {
      return redact(error.message);
    }
    this.#options.onError(error instanceof Error ? error : new Error(`${error}`));
    return "Something unexpected happened; the server's own output says what";
  }

  /** Closes a model in a while, unless it is used again. */
  #rest(name: string, kept: Kept): void {
    clearTimeout(kept.timer);
    if (this.#kept.get(name) !== kept) return closeAfter(kept);
    const timer = setTimeout(() => kept.busy || this.#drop(name, kept), this.#options.idle);
    // It keeps no process alive.
    Deno.unrefTimer(timer);
    kept.timer = timer;
  }

  #drop(name: string, kept: Kept): void {
    clearTimeout(kept.timer);
    if (this.#kept.get(name) === kept) this.#kept.delete(name);
    if (!kept.busy) closeAfter(kept);
  }
}

/** Closes a model as soon as it is open. */
function closeAfter({ model }: Kept): void {
  model.then((opened) => opened.close(), () => {});
}

function key(run: string, side: Side): string {
  return `${side} ${run}`;
}

async function* write(model: TextModel, request: TextRequest, signal: AbortSignal): AsyncGenerator<TextEvent> {
  const { prompt, ...options } = request, began = performance.now();
  const encoded = model.encode(prompt);
  yield { type: "begin", tokens: encoded.ids.length };
  const since = (start: number) => (performance.now() - start) / 1000;
  let tokens = 0, first = began, last = -1;
  const end = (why: "end" | "limit" | "positions" | "stopped"): TextEvent => {
    const writing = since(first);
    return {
      ...{ type: "end", why, tokens, seconds: since(began) },
      ...(tokens > 0 ? { first: (first - began) / 1000 } : {}),
      ...(tokens > 1 && writing > 0 ? { rate: (tokens - 1) / writing } : {}),
    };
  };
  try {
    for await (const { id, text } of model.write(encoded, { ...options, signal })) {
      if (tokens === 0) first = performance.now();
      tokens++;
      last = id;
      if (text !== "") yield { type: "text", text };
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return yield end("stopped");
  }
  yield end(model.ends.includes(last) ? "end" : tokens >= options.maxTokens ? "limit" : "positions");
}

/** @throws {InputError} when the run has none */
function packedIn(folder: string): { readonly path: string } {
  const path = join(folder, "model");
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return { path };
  throw new InputError("Cannot write with this run: it left no packed model, which a stage `pack` makes");
}

/** @throws {InputError} when its lock does not say which it was */
function originalOf(folder: string): z.infer<typeof Model> {
  const { recipe } = readLock(folder);
  const model =
    Model.safeParse(typeof recipe === "object" && recipe !== null && "model" in recipe && recipe.model).data;
  if (model === undefined) {
    throw new InputError("Cannot find the original: the run's lock does not say which model it was");
  }
  if ("hub" in model) return model;
  const { path, config } = model;
  return { path: resolve(folder, path), ...(config === undefined ? {} : { config: resolve(folder, config) }) };
}
