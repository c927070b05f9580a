/** The state of a local file: by what a change is noticed without reading it. Not what the file holds (`hash_content.ts`). */
import { type BigIntStats, fstatSync, statfsSync, statSync } from "node:fs";

/**
 * One state of a file.
 *
 * The system dates every change (ctime) whoever writes, and no program can set that date, as `touch -r`, `cp -p`, `tar x` and
 * `rsync -t` do with the time of modification. Deno gives it in whole seconds, and the time of modification in milliseconds.
 */
export interface FileState {
  /** In bytes. */
  readonly size: number;
  /** Milliseconds since the epoch; whatever the last program said. */
  readonly modified: number;
  /** Milliseconds since the epoch, in whole seconds; whatever the system said. */
  readonly changed: number;
  /** Device, inode, size and both times; equal for equal states. */
  readonly print: string;
}

/**
 * Types of Linux file systems whose ctime is not the date of a change, as statfs(2) numbers them: FUSE (sshfs, S3, rclone),
 * CIFS, SMB, 9p, FAT and exFAT, and images that are mounted: squashfs, EROFS, cramfs, ISO 9660.
 */
const UNDATED: ReadonlySet<number> = new Set([
  ...[0x65735546, 0xff534d42, 0xfe534d42, 0x517b, 0x01021997, 0x4d44, 0x2011bab0],
  ...[0x73717368, 0xe0f5e1e2, 0x28cd3d45, 0x9660],
]);

/** What the system says of a path that leads to nothing. */
const NOT_THERE: ReadonlySet<unknown> = new Set(["ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENAMETOOLONG"]);

/**
 * The state of a file; links are followed.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(stateOf("deno.json")?.print, stateOf("./deno.json")?.print);
 * assert.deepEqual([stateOf("no such file"), stateOf("files")], [undefined, undefined]);
 * ```
 * @returns undefined when there is no such file, it may not be looked at, or it is a folder, a pipe or a device
 */
export function stateOf(path: string): FileState | undefined {
  try {
    return fromStats(statSync(path, { bigint: true, throwIfNoEntry: false }));
  } catch (error) {
    if (error instanceof Error && "code" in error && NOT_THERE.has(error.code)) return undefined;
    throw error;
  }
}

/** As `stateOf`, of an open file. */
export function stateOfOpen(file: number): FileState | undefined {
  return fromStats(fstatSync(file, { bigint: true }));
}

/** Whether the file system that a file lies on dates changes itself. */
export function datesChanges(path: string): boolean {
  try {
    return !UNDATED.has(Number(BigInt.asUintN(32, statfsSync(path, { bigint: true }).type)));
  } catch {
    return false;
  }
}

function fromStats(found: BigIntStats | undefined): FileState | undefined {
  if (found === undefined || !found.isFile()) return undefined;
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  return {
    size: Number(size),
    modified: Number(mtimeNs / 1_000_000n),
    changed: Number(ctimeNs / 1_000_000n),
    print: [dev, ino, size, mtimeNs, ctimeNs].join(" "),
  };
}
