/** Random access to the bytes of one file, on disk or behind HTTP range requests. */
import { closeSync, open, read } from "node:fs";
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

/**
 * Opens a local file for reading by ranges; concurrent reads are safe.
 *
 * @param path absolute or relative path
 * @throws {InputError} when there is no such file or it cannot be opened
 */
export async function openFile(path: string): Promise<LocalFile> {
  const label = basename(path);
  const file = await promisify(open)(path, "r").catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === "ENOENT" ? "there is no such file" : cause.message;
    throw new InputError(`Cannot open ${path}: ${why}`, { cause });
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

/** @throws {InputError} unless 0 ≤ begin ≤ end ≤ size */
export function checkRange(label: string, size: number, begin: number, end: number): void {
  if (begin >= 0 && begin <= end && end <= size) return;
  throw new InputError(`Cannot read bytes ${begin} to ${end} of ${label}: the file has ${size} bytes`);
}
