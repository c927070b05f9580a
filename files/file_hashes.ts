/**
 * Content hashes of local files: small ones are hashed whenever they are asked for, large ones once for each state.
 *
 * A large file's hash is found again when path, device, inode, size, both times and a sample of its bytes are as they were. What
 * escapes that: a change outside of the sample that is written through a memory map within half a minute of another such,
 * or made while the system's clock is set back to the same second.
 */
import { createHash } from "node:crypto";
import { open, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { datesChanges, type FileState, stateOf } from "./file_state.ts";
import { hashContent, tellHashing } from "./hash_content.ts";
import { InputError } from "./input_error.ts";

/** What tells one state of a file from another; never part of a content key. */
export interface FileStat {
  /** Real path: links are resolved. */
  readonly path: string;
  readonly size: number;
  /** Equal for equal states: `FileState.print`, and the hash of a sample. */
  readonly print: string;
}

/** A memo from the state of a large file to its sha256 (hex). */
export interface FileHashes {
  get(file: FileStat): string | undefined;
  set(file: FileStat, sha256: string): void;
  /** Bytes up to which a file is not remembered but hashed each time; default: `ALWAYS_HASHED`. */
  readonly always?: number;
  /** Told how far a large file is hashed that is not known yet. */
  readonly tell?: (message: string) => void;
  /** Told of every hash that is found. @throws {InputError} when it cannot be used */
  readonly found?: (path: string, sha256: string) => void;
}

/** A file's hash and the state in which it had it. */
export interface Hashed {
  readonly sha256: string;
  readonly state: FileState;
}

/** Up to so many bytes a file is hashed each time: that takes some hundredths of a second. */
export const ALWAYS_HASHED = 1 << 24;

/** Milliseconds until another change must show: the system's date is in whole seconds, and its clock may be another's. */
const SETTLING = 2000;

/** Pieces of a sample, spread over the file from its first bytes to its last, and bytes in each. */
const [PIECES, PIECE] = [16, 4096];

/** A memo that lives as long as the process. @param always bytes up to which a file is hashed each time */
export function inMemoryHashes(always = ALWAYS_HASHED): FileHashes {
  const known = new Map<string, string>();
  const key = ({ path, print }: FileStat) => JSON.stringify([path, print]);
  return { always, get: (file) => known.get(key(file)), set: (file, sha256) => void known.set(key(file), sha256) };
}

/**
 * As a memo, but a file must have the same hash whenever it is asked for.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const hashes = steadyHashes(inMemoryHashes());
 * const path = await Deno.makeTempFile();
 * await hashFile(path, hashes);
 * await Deno.writeTextFile(path, "something else");
 * await assert.rejects(hashFile(path, hashes), { name: "InputError", message: /has changed since the run began/ });
 * await Deno.remove(path);
 * ```
 */
export function steadyHashes(hashes: FileHashes): FileHashes {
  const known = new Map<string, string>();
  return {
    ...hashes,
    found(path, sha256) {
      const before = known.get(path) ?? sha256;
      known.set(path, before);
      if (before !== sha256) {
        throw new InputError(`Cannot go on with ${path}: it has changed since the run began; start the run again`);
      }
    },
  };
}

/**
 * The sha256 of a file's bytes, streamed, or from the memo when the file is large and has not changed. Nothing waits for
 * it: see `hashContent`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.match(await hashFile("configs/models/tiny-llama/config.json", inMemoryHashes()), /^[0-9a-f]{64}$/);
 * ```
 * @param hashes remembered only for files whose last change is some seconds old, where the file system dates changes itself
 * @param options `signal`: ends hashing
 * @returns hex
 * @throws {InputError} when the file cannot be read or changes meanwhile
 */
export async function hashFile(
  path: string,
  hashes: FileHashes,
  options: { readonly signal?: AbortSignal } = {},
): Promise<string> {
  return (await hashFileState(path, hashes, options)).sha256;
}

/** As `hashFile`, with the state that the file has that hash in. */
export async function hashFileState(
  path: string,
  hashes: FileHashes,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<Hashed> {
  const began = Date.now();
  const looked = await look(path, hashes);
  const { file, state, large } = looked;
  const known = large ? hashes.get(file) : undefined;
  const sha256 = known ?? await hashNow(path, looked, { hashes, signal });
  const memorable = large && state.changed + SETTLING <= began && datesChanges(file.path);
  if (known === undefined && memorable) hashes.set(file, sha256);
  hashes.found?.(file.path, sha256);
  return { sha256, state };
}

/**
 * Remembers the hash of a file that was hashed while it was written.
 *
 * @throws {InputError} when the file cannot be found
 */
export async function rememberHash(path: string, sha256: string, hashes: FileHashes): Promise<void> {
  const { file, large } = await look(path, hashes);
  if (large && datesChanges(file.path)) hashes.set(file, sha256);
}

interface Looked {
  readonly file: FileStat;
  readonly state: FileState;
  /** Whether its hash is worth remembering. */
  readonly large: boolean;
}

async function hashNow(
  path: string,
  { file, state }: Looked,
  { hashes, signal }: { readonly hashes: FileHashes; readonly signal: AbortSignal | undefined },
): Promise<string> {
  const { tell } = hashes;
  const onChunk = tell && tellHashing(basename(path), { total: file.size, tell });
  const { sha256 } = await hashContent(file.path, { signal, onChunk });
  const { state: after } = await look(path, hashes);
  if (after.print === state.print) return sha256;
  throw new InputError(`Cannot hash ${path}: the file changed while it was read; try again when it is complete`);
}

async function look(path: string, { always = ALWAYS_HASHED }: FileHashes): Promise<Looked> {
  try {
    const real = await realpath(path);
    const state = stateOf(real);
    if (state === undefined) throw new Error("it is not a file");
    const large = state.size > always;
    const sample = large ? ` ${await sampleOf(real, state.size)}` : "";
    return { file: { path: real, size: state.size, print: state.print + sample }, state, large };
  } catch (cause) {
    const why = (cause as { code?: unknown }).code === "ENOENT" ? "there is no such file" : cause;
    throw new InputError(`Cannot read ${path}: ${why instanceof Error ? why.message : why}`, { cause });
  }
}

/** Hash of some of a file's bytes: another model in the place of one differs in these, whatever times it was given. */
async function sampleOf(path: string, size: number): Promise<string> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  const piece = new Uint8Array(PIECE);
  for (let index = 0; index < PIECES; index++) {
    const at = Math.max(0, Math.floor((size - PIECE) * index / (PIECES - 1)));
    const { bytesRead } = await file.read(piece, 0, PIECE, at);
    hash.update(piece.subarray(0, bytesRead));
  }
  return hash.digest("hex");
}
