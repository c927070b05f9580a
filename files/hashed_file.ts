/** An open file whose bytes are those of its hash for as long as it is read: what is replaced or written over is noticed. */
import { createHash } from "node:crypto";
import { type ByteSource, openFile } from "./byte_source.ts";
import { type FileHashes, hashFileState } from "./file_hashes.ts";
import { InputError } from "./input_error.ts";

/** A file that is read by ranges, and the hash of its content. */
export interface HashedFile {
  /** Reading throws an `InputError` once the file is no longer what it was when it was opened. */
  readonly source: ByteSource;
  /** Hex; of the whole file, hashed at most once. */
  sha256(): Promise<string>;
}

/** Bytes read at once where a file is hashed again. */
const CHUNK = 1 << 22;

/**
 * Opens a local file.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { inMemoryHashes } from "./file_hashes.ts";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "weights");
 * const { source } = await openHashed(path, inMemoryHashes());
 * assert.equal((await source.read(0, 7)).length, 7);
 * await Deno.writeTextFile(path, "others!!");
 * await assert.rejects(source.read(0, 7), { name: "InputError", message: /has changed since it was opened/ });
 * source.close();
 * await Deno.remove(path);
 * ```
 * @param hashes memo of content hashes
 * @throws {InputError} when there is no such file or it cannot be opened
 */
export async function openHashed(path: string, hashes: FileHashes): Promise<HashedFile> {
  const file = await openFile(path);
  let { print } = file.state();
  let hash: Promise<string> | undefined;
  let checking: Promise<void> | undefined;
  const changed = () =>
    new InputError(`Cannot go on with ${path}: it has changed since it was opened; start again when it is complete`);
  const identify = async () => {
    const { sha256, state } = await hashFileState(path, hashes);
    if (state.print !== print) throw changed();
    return sha256;
  };
  const check = async () => {
    const now = file.state();
    // Whoever renames or links a file or changes its rights leaves its content as it is, but moves its date.
    const same = hash !== undefined && now.size === file.size && await hashOf(file) === await hash;
    if (!same || file.state().print !== now.print) throw changed();
    print = now.print;
  };
  return {
    source: {
      label: file.label,
      size: file.size,
      close: () => file.close(),
      async read(begin, end) {
        const bytes = await file.read(begin, end);
        if (file.state().print !== print) await (checking ??= check().finally(() => checking = undefined));
        return bytes;
      },
    },
    sha256: () => hash ??= identify(),
  };
}

async function hashOf(source: ByteSource): Promise<string> {
  const hash = createHash("sha256");
  for (let begin = 0; begin < source.size; begin += CHUNK) {
    hash.update(await source.read(begin, Math.min(source.size, begin + CHUNK)));
  }
  return hash.digest("hex");
}
