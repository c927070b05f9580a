/** Planning reads no weights: what has never been hashed on this machine stays unread, and is told. */
import type { FileHashes, FileStat } from "./file_hashes.ts";

/** Smaller files are hashed on the spot, as that takes no noticeable time. */
const NOTICEABLE = 64 * 2 ** 20;

/**
 * A memo that answers for large files it does not know with a mark that equals no hash, so that they are not read and nothing
 * made from them is taken for cached.
 *
 * @param unseen told of each such file, once
 */
export function withoutReading(hashes: FileHashes, unseen: (file: FileStat) => void): FileHashes {
  const told = new Set<string>();
  return {
    get(file) {
      const known = hashes.get(file);
      if (known !== undefined || file.size < NOTICEABLE) return known;
      if (!told.has(file.path)) unseen(file);
      told.add(file.path);
      return `unseen:${file.path}:${file.size}:${file.mtime}:${file.inode}`;
    },
    set: (file, sha256) => hashes.set(file, sha256),
    tell: hashes.tell,
  };
}
