/** Rows of Parquet files, read by range. */
import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import type { ByteSource } from "./byte_source.ts";

/**
 * Reads rows; numbers of 64 bits are bigints.
 *
 * @param options `columns` that are read, by default all; `limit`: so many of the first rows, by default all
 * @throws what the library throws of a damaged file
 */
export async function readParquet(
  source: ByteSource,
  { columns, limit }: { readonly columns?: readonly string[]; readonly limit?: number } = {},
): Promise<Readonly<Record<string, unknown>>[]> {
  return await parquetReadObjects({
    file: {
      byteLength: source.size,
      slice: async (begin, end = source.size) => (await source.read(begin, end)).buffer,
    },
    compressors,
    ...(columns === undefined ? {} : { columns: [...columns] }),
    ...(limit === undefined ? {} : { rowEnd: limit }),
  });
}
