/** Content hashes of local files, remembered so that large weights are hashed once. */
import { realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { hashContent, tellHashing } from "./hash_content.ts";
import { InputError } from "./input_error.ts";

/** What tells one state of a file from another; never part of a content key. */
export interface FileStat {
  /** Real path: links are resolved. */
  readonly path: string;
  readonly size: number;
  /** Nanoseconds since the epoch, in decimal: more digits than a number holds. */
  readonly mtime: string;
  /** In decimal; up to 64 bits. */
  readonly inode: string;
}

/** A memo from the state of a file to its sha256 (hex). */
export interface FileHashes {
  get(file: FileStat): string | undefined;
  set(file: FileStat, sha256: string): void;
  /** Told how far a large file is hashed that is not known yet. */
  readonly tell?: (message: string) => void;
}

/** A change within this time might not move the modification time on every file system. */
const SETTLED_NS = 2_000_000_000n;

/** A memo that lives as long as the process. */
export function inMemoryHashes(): FileHashes {
  const known = new Map<string, string>();
  const key = ({ path, size, mtime, inode }: FileStat) => JSON.stringify([path, size, mtime, inode]);
  return { get: (file) => known.get(key(file)), set: (file, sha256) => void known.set(key(file), sha256) };
}

/**
 * The sha256 of a file's bytes, streamed, or from the memo when the file has not changed. Nothing waits for it: see
 * `hashContent`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.match(await hashFile("configs/models/tiny-llama/config.json", inMemoryHashes()), /^[0-9a-f]{64}$/);
 * ```
 * @param hashes remembered only for files whose last change is some seconds old
 * @param options `signal`: ends hashing
 * @returns hex
 * @throws {InputError} when the file cannot be read or changes meanwhile
 */
export async function hashFile(
  path: string,
  hashes: FileHashes,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<string> {
  const before = await fileStat(path);
  const known = hashes.get(before);
  if (known !== undefined) return known;
  const { tell } = hashes;
  const onChunk = tell && tellHashing(basename(path), { total: before.size, tell });
  const { sha256 } = await hashContent(before.path, { signal, onChunk });
  const after = await fileStat(path);
  if (after.size !== before.size || after.mtime !== before.mtime || after.inode !== before.inode) {
    throw new InputError(`Cannot hash ${path}: the file changed while it was read; try again when it is complete`);
  }
  if (BigInt(Date.now()) * 1_000_000n - BigInt(after.mtime) > SETTLED_NS) hashes.set(after, sha256);
  return sha256;
}

/**
 * Remembers the hash of a file that was hashed while it was written.
 *
 * @throws {InputError} when the file cannot be found
 */
export async function rememberHash(path: string, sha256: string, hashes: FileHashes): Promise<void> {
  hashes.set(await fileStat(path), sha256);
}

async function fileStat(path: string): Promise<FileStat> {
  try {
    const real = await realpath(path);
    const { size, mtimeNs, ino } = await stat(real, { bigint: true });
    return { path: real, size: Number(size), mtime: String(mtimeNs), inode: String(ino) };
  } catch (cause) {
    throw new InputError(`Cannot read ${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
