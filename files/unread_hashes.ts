/** Planning reads no weights: what has never been hashed on this machine stays unread, and is told. */
import { ALWAYS_HASHED, type FileHashes, type FileStat } from "./file_hashes.ts";

/**
 * A memo that answers for large files it does not know with a mark that equals no hash, so that they are not read and nothing
 * made from them is taken for cached.
 *
 * @param unseen told of each such file, once
 */
export function withoutReading(hashes: FileHashes, unseen: (file: FileStat) => void): FileHashes {
  const told = new Set<string>();
  return {
    ...hashes,
    get(file) {
      const known = hashes.get(file);
      if (known !== undefined || file.size <= ALWAYS_HASHED) return known;
      if (!told.has(file.path)) unseen(file);
      told.add(file.path);
      return `unseen:${file.path}:${file.print}`;
    },
  };
}
