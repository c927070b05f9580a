/** Random access to the bytes of one file, on disk or behind HTTP range requests. */
import { closeSync, open, read, type Stats } from "node:fs";
import { lstat, readlink, stat } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { type FileState, stateOfOpen } from "./file_state.ts";
import { InputError } from "./input_error.ts";

/** A file of known length that is read by ranges. */
export interface ByteSource {
  /** For messages: the file's name. */
  readonly label: string;
  /** Length of the file in bytes. */
  readonly size: number;
  /**
   * Bytes `begin` to `end` (exclusive), in a buffer of their own.
   * @throws {InputError} when the file holds fewer
   */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/** A file on this disk. */
export interface LocalFile extends ByteSource {
  /** As it is now: it changes when somebody writes to the file. */
  state(): FileState;
}

/** The largest single read handed to the operating system; some refuse 2 GiB and more. */
const CHUNK = 1 << 28;

/** What codes of the operating system mean for somebody who wants to read a file. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "its permissions do not let it be read; give yourself the right to with `chmod u+r`",
  EPERM: "its permissions do not let it be read; give yourself the right to with `chmod u+r`",
  EISDIR: "it is a folder, not a file",
  ENOTDIR: "a part of its path is a file, not a folder",
  ELOOP: "it is a link that leads back to itself; download it again",
  ENAMETOOLONG: "its path is longer than the system allows",
  EMFILE: "too many files are open",
  EIO: "the disk cannot read it",
};

/**
 * Opens a local file for reading by ranges; concurrent reads are safe.
 *
 * @param path absolute or relative path
 * @throws {InputError} when there is no such file, it cannot be opened, or it is no file but a folder or a pipe
 */
export async function openFile(path: string): Promise<LocalFile> {
  const label = basename(path);
  const file = await reaching(path, async () => {
    await statRegular(path);
    return await promisify(open)(path, "r");
  });
  const opened = stateOfOpen(file);
  if (opened === undefined) {
    closeSync(file);
    throw new InputError(`Cannot open ${path}: it is not a file`);
  }
  const { size } = opened;
  return {
    label,
    size,
    state: () => stateOfOpen(file) ?? opened,
    close: () => closeSync(file),
    async read(begin, end) {
      checkRange(label, size, begin, end);
      const bytes = new Uint8Array(end - begin);
      for (let done = 0; done < bytes.length;) {
        const length = Math.min(CHUNK, bytes.length - done);
        const { bytesRead } = await promisify(read)(file, bytes, done, length, begin + done);
        if (bytesRead === 0) {
          throw new InputError(
            `Cannot read bytes ${begin} to ${end} of ${label}: the file ends at byte ${
              begin + done
            } since it was opened`,
          );
        }
        done += bytesRead;
      }
      return bytes;
    },
  };
}

/**
 * Bytes of a local file, which is not opened.
 *
 * @throws {InputError} as `openFile`, but for permissions
 */
export async function sizeOfFile(path: string): Promise<number> {
  return (await reaching(path, () => statRegular(path))).size;
}

/** @throws {InputError} unless 0 ≤ begin ≤ end ≤ size */
export function checkRange(label: string, size: number, begin: number, end: number): void {
  if (begin >= 0 && begin <= end && end <= size) return;
  throw new InputError(`Cannot read bytes ${begin} to ${end} of ${label}: the file has ${size} bytes`);
}

/**
 * Says why a path cannot be read, and what to do: a link to nothing is not the same as no file.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const cause = Object.assign(new Error(), { code: "ENOENT" });
 * assert.equal(await whyUnreadable("/there/is/none", cause), "there is no such file");
 * ```
 * @param cause what the operating system or the runtime threw
 * @returns the rest of a message that has named the path
 */
export async function whyUnreadable(path: string, cause: unknown): Promise<string> {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "ENOENT") {
    const target = await lstat(path).then(
      (found) => found.isSymbolicLink() ? readlink(path) : undefined,
      () => undefined,
    );
    if (target !== undefined) {
      return `it is a link to ${target}, which is not there, as an unfinished download leaves it in the cache of Hugging Face; ` +
        "download it again";
    }
  }
  return REASONS[code] ?? (cause instanceof Error ? cause.message : String(cause));
}

async function reaching<T>(path: string, reach: () => Promise<T>): Promise<T> {
  try {
    return await reach();
  } catch (cause) {
    throw new InputError(`Cannot open ${path}: ${await whyUnreadable(path, cause)}`, { cause });
  }
}

/** Looks before anything is opened: opening a pipe would wait for somebody to write to it. */
async function statRegular(path: string): Promise<Stats> {
  const found = await stat(path);
  if (found.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
  if (!found.isFile()) throw new Error("it is a device or a pipe, not a file");
  return found;
}
