/** Hashes the bytes of one file, however large, without holding up anything else. What is known already: `file_hashes.ts`. */
import { createHash } from "node:crypto";

/** What a file holds. */
export interface Content {
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

/** How a file is hashed. */
export interface HashContentOptions {
  /** Ends hashing after the chunk in progress. */
  readonly signal?: AbortSignal;
  /** Told of the bytes hashed so far, after each chunk. */
  readonly onChunk?: (done: number) => void;
}

/** Hashes a file; see `hashContent`. */
export type HashContent = (path: string, options?: HashContentOptions) => Promise<Content>;

/** Bytes hashed at once: a millisecond's work. Larger chunks are not faster. */
const CHUNK = 1 << 20;

/**
 * Size and sha256 of a file. One chunk is read while the one before is hashed, and between chunks timers, signals and
 * messages have their turn.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.match((await hashContent("configs/models/tiny-llama/config.json")).sha256, /^[0-9a-f]{64}$/);
 * ```
 * @throws {Deno.errors.NotFound} when there is no such file
 * @throws the signal's reason when it is aborted
 */
export const hashContent: HashContent = async (path, { signal, onChunk } = {}) => {
  signal?.throwIfAborted();
  using file = await Deno.open(path, { read: true });
  const hash = createHash("sha256");
  let [current, next] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  let bytes = 0;
  for (let length = await file.read(current); length !== null;) {
    signal?.throwIfAborted();
    const reading = file.read(next);
    hash.update(current.subarray(0, length));
    bytes += length;
    length = await reading;
    [current, next] = [next, current];
    onChunk?.(bytes);
  }
  return { bytes, sha256: hash.digest("hex") };
};

/** Bytes between two messages; hashing so many takes some tenths of a second. */
const MESSAGE_BYTES = 1 << 28;

/**
 * Tells how far a large file is hashed: `hashing model.safetensors, 3.2 of 13.5 GB`. Small files are not worth a word.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const told: string[] = [];
 * const onChunk = tellHashing("model.safetensors", { total: 13.5e9, tell: (message) => void told.push(message) });
 * for (const done of [1e6, 3.2e9, 3.21e9]) onChunk(done);
 * assert.deepEqual(told, ["hashing model.safetensors, 3.2 of 13.5 GB"]);
 * ```
 * @returns for `onChunk` of `hashContent`
 */
export function tellHashing(
  name: string,
  { total, tell }: { readonly total: number; readonly tell: (message: string) => void },
): (done: number) => void {
  let told = 0;
  return (done) => {
    const now = Math.floor(done / MESSAGE_BYTES);
    if (now === told) return;
    told = now;
    tell(`hashing ${name}, ${(done / 1e9).toFixed(1)} of ${(total / 1e9).toFixed(1)} GB`);
  };
}
