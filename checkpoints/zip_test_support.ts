/** Zip files with stored members, for tests: as PyTorch writes them, or wrong on purpose. */
import { crc32 } from "node:zlib";
import type { ByteSource } from "../files/byte_source.ts";

/** What differs from a plain zip file. */
export interface ZipQuirks {
  /** Sizes, offsets and the end in 64 bits, as in files above 4 GiB. */
  readonly zip64?: boolean;
  /** Compression method of all members; their bytes are stored nevertheless. */
  readonly method?: number;
  /** General flags of all members. */
  readonly flags?: number;
  /** Bytes of padding in the local headers, which the directory does not have; PyTorch aligns members so. */
  readonly padding?: number;
  readonly comment?: string;
}

/** The bytes of a zip file. */
export function encodeZip(
  members: readonly (readonly [string, Uint8Array | string])[],
  { zip64 = false, method = 0, flags = 0, padding = 0, comment = "" }: ZipQuirks = {},
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const write = (part: Uint8Array) => void (at += parts[parts.push(part) - 1].length);
  for (const [text, content] of members) {
    const name = new TextEncoder().encode(text);
    const data = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const size = zip64 ? 0xffffffff : data.length;
    const shared = pack([2, 45], [2, flags], [2, method], [4, 0], [4, crc32(data)], [4, size], [4, size]);
    const fields = zip64 ? pack([2, 1], [2, 24], [8, data.length], [8, data.length], [8, at]) : new Uint8Array();
    directory.push(
      pack([4, 0x02014b50], [2, 45]),
      shared,
      pack([2, name.length], [2, fields.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, zip64 ? 0xffffffff : at]),
      name,
      fields,
    );
    write(pack([4, 0x04034b50]));
    write(shared);
    write(pack([2, name.length], [2, padding]));
    write(name);
    write(new Uint8Array(padding));
    write(data);
  }
  const begin = at;
  directory.forEach(write);
  const size = at - begin;
  const count = members.length;
  if (zip64) {
    const record = at;
    write(
      pack([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, begin]),
    );
    write(pack([4, 0x07064b50], [4, 0], [8, record], [4, 1]));
  }
  const [few, small] = zip64 ? [0xffff, 0xffffffff] : [count, size];
  write(pack([4, 0x06054b50], [2, 0], [2, 0], [2, few], [2, few], [4, small], [4, zip64 ? 0xffffffff : begin]));
  write(pack([2, comment.length]));
  write(new TextEncoder().encode(comment));
  const out = new Uint8Array(at);
  parts.reduce((to, part) => (out.set(part, to), to + part.length), 0);
  return out;
}

/** Bytes in memory as a source of bytes. */
export function memorySource(bytes: Uint8Array, label = "x.bin"): ByteSource & { readonly ranges: [number, number][] } {
  const ranges: [number, number][] = [];
  return {
    label,
    size: bytes.length,
    ranges,
    read: (begin, end) => {
      if (begin < 0 || begin > end || end > bytes.length) {
        throw new RangeError(`bytes ${begin} to ${end} were asked for`);
      }
      ranges.push([begin, end]);
      return Promise.resolve(Uint8Array.from(bytes.subarray(begin, end)));
    },
    close: () => undefined,
  };
}

/** Little-endian numbers: bytes of each, and value. */
function pack(...fields: readonly [1 | 2 | 4 | 8, number][]): Uint8Array {
  const out: number[] = [];
  for (const [bytes, value] of fields) {
    for (let i = 0, rest = BigInt(value); i < bytes; i++, rest >>= 8n) out.push(Number(rest & 255n));
  }
  return Uint8Array.from(out);
}
