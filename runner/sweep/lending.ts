/** Keeps what points of a sweep hand to later ones for as long as one of these needs it, and within bounds. */
import type { ArtifactCache } from "../cache/cache.ts";
import { freeBytes } from "../cache/no_space.ts";
import type { Lent } from "./sharing.ts";

/** What is needed of the cache. */
type LendingCache = Pick<ArtifactCache, "folder" | "limit" | "pin" | "unpin" | "has" | "drop">;

/** Most of the cache's size, and of what is free on its disk, that is held for later points. */
const SHARE = 0.5;

/** What one sweep holds at a time. */
export class Lending {
  readonly #cache: LendingCache;
  readonly #owner: string;
  readonly #from: ReadonlyMap<number, readonly Lent[]>;
  readonly #held = new Map<string, Lent>();
  #bytes = 0;

  /**
   * @param lent as `shareWork` finds it
   * @param options `owner`: in whose name artifacts are pinned; positions count from 0
   */
  constructor(lent: readonly Lent[], { cache, owner }: { readonly cache: LendingCache; readonly owner: string }) {
    this.#cache = cache;
    this.#owner = owner;
    this.#from = Map.groupBy(lent, ({ from }) => from);
  }

  /** Bytes that are held, or will be once they are made. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * A point begins: what it will make for others is held from its first moment on; what costs most per byte goes first, and
   * what has no room is made again.
   */
  begin(position: number): void {
    const worth = ({ seconds, bytes }: Lent) => seconds / Math.max(1, bytes);
    const most = SHARE * Math.min(this.#cache.limit, freeBytes(this.#cache.folder) ?? Infinity);
    const keys: string[] = [];
    for (const lent of [...this.#from.get(position) ?? []].sort((a, b) => worth(b) - worth(a))) {
      if (this.#held.has(lent.key) || this.#bytes + lent.bytes > most) continue;
      this.#held.set(lent.key, lent);
      this.#bytes += lent.bytes;
      keys.push(lent.key);
    }
    this.#cache.pin(this.#owner, keys);
  }

  /** All points before a position are over: lets go of what only they read, and deletes what was only handed on. */
  release(position: number): void {
    const over = [...this.#held.values()].filter(({ until }) => until < position);
    this.#cache.unpin(this.#owner, over.map(({ key }) => key));
    for (const { key, retain, bytes } of over) {
      this.#held.delete(key);
      this.#bytes -= bytes;
      if (retain === "transient" && this.#cache.has(key)) this.#cache.drop(key);
    }
  }

  /** Lets go of everything; what is there stays, for whoever goes on. */
  end(): void {
    this.#cache.unpin(this.#owner);
    this.#held.clear();
    this.#bytes = 0;
  }
}
