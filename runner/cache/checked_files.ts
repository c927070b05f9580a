/**
 * What a run knows of the artifacts' files: each is hashed once, and again only when its size, times or inode differ.
 * Nothing is taken over from earlier runs: a disk that forgets bits does not change times.
 */
import { basename } from "node:path";
import { type FileState, stateOf } from "../../files/file_state.ts";
import { type Content, type HashContent, hashContent, tellHashing } from "../../files/hash_content.ts";

/** How waiting for a hash can end, and who is told how far it is. */
export interface Patience {
  readonly signal?: AbortSignal;
  /** Told how far a large file is hashed. */
  readonly tell?: (message: string) => void;
}

/** Milliseconds in which a second change of a file may leave its time as it is: clocks of file systems tick slowly. */
const TICK = 20;

/** The same where times are whole seconds. */
const COARSE_TICK = 2000;

/** From so many bytes on, waiting a tick takes less time than hashing again. */
const WORTH_WAITING = 1 << 24;

/** The files whose content is known. */
export class CheckedFiles {
  readonly #hash: HashContent;
  readonly #known = new Map<string, { readonly print: string; readonly content: Content }>();
  readonly #busy = new Map<string, Promise<unknown>>();

  /** @param hash by default `hashContent`; tests count */
  constructor(hash: HashContent = hashContent) {
    this.#hash = hash;
  }

  /**
   * What a file holds, hashed unless it is known to be as it was.
   *
   * @returns undefined when there is no such file, or it may not be read
   * @throws the signal's reason when it is aborted
   */
  async content(path: string, patience: Patience = {}): Promise<Content | undefined> {
    // Steps side by side may ask for one file: the second one finds it known.
    for (let other = this.#busy.get(path); other !== undefined; other = this.#busy.get(path)) await other;
    const state = stateOf(path);
    const known = this.#known.get(path);
    if (known !== undefined && known.print === state?.print) return known.content;
    const hashing = this.#learn(path, patience);
    this.#busy.set(path, hashing.catch(() => {}));
    try {
      return await hashing;
    } finally {
      this.#busy.delete(path);
    }
  }

  /** As `content`, but the file is hashed whatever is known, and nothing is remembered. */
  async read(path: string, { signal, tell }: Patience = {}): Promise<Content | undefined> {
    const total = stateOf(path)?.size;
    if (total === undefined) return undefined;
    try {
      return await this.#hash(path, { signal, onChunk: tell && tellHashing(basename(path), { total, tell }) });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return undefined;
      throw error;
    }
  }

  /** Takes note of a file whose bytes were hashed while it was written, in that state. */
  written(path: string, state: FileState, content: Content): void {
    this.#remember(path, { state, content, now: Date.now() });
  }

  /** Forgets everything. */
  clear(): void {
    this.#known.clear();
  }

  async #learn(path: string, patience: Patience): Promise<Content | undefined> {
    const [state, now] = [stateOf(path), Date.now()];
    const content = await this.read(path, patience);
    if (state === undefined || content === undefined || stateOf(path)?.print !== state.print) this.#known.delete(path);
    else this.#remember(path, { state, content, now });
    return content;
  }

  /** Only what cannot change again without a trace. */
  #remember(
    path: string,
    { state, content, now }: { readonly state: FileState; readonly content: Content; readonly now: number },
  ): void {
    if (settledAt(state) <= now) this.#known.set(path, { print: state.print, content });
    else this.#known.delete(path);
  }
}

/**
 * Waits, where that pays, until any later change of files just written will show in their times.
 *
 * @param states of files that nobody else knows of yet
 */
export async function settle(states: readonly FileState[]): Promise<void> {
  const now = Date.now();
  const fresh = states.filter((state) => settledAt(state) > now && settledAt(state) <= now + TICK);
  if (fresh.reduce((sum, { size }) => sum + size, 0) < WORTH_WAITING) return;
  const last = Math.max(...fresh.map(settledAt));
  await new Promise((done) => setTimeout(done, last - now));
}

function settledAt({ modified }: FileState): number {
  return modified + (modified % 1000 === 0 ? COARSE_TICK : TICK);
}
