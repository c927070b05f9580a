/** The directory of a zip file whose members are stored, not compressed: where each one's bytes lie. */
import type { ByteSource } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { quote } from "../files/what_is_it.ts";

/** One member of a zip file. */
export interface ZipMember {
  /** Where its local header begins, from the start of the file. */
  readonly header: number;
  /** Bytes of its content. */
  readonly size: number;
  /** 0 for stored. */
  readonly method: number;
  /** Whether its content is encrypted. */
  readonly encrypted: boolean;
}

/** Numbers that begin the parts of a zip file. */
const SIGNATURE = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator: 0x07064b50 };
/** Bytes of those parts before anything of variable length. */
const FIXED = { local: 30, central: 46, end: 22, end64: 56, locator: 20 };
/** The record at the end may be followed by a comment of that many bytes. */
const MOST_COMMENT = 0xffff;
/** Stands for "see the zip64 extra field". */
const MORE_32 = 0xffffffff;
const MORE_16 = 0xffff;
/** Extra field with the sizes and offsets that do not fit 32 bits. */
const ZIP64 = 1;
const ENCRYPTED = 1;

/** Larger directories are refused before they are read: a model has some thousand members, of 100 bytes each. */
const MOST_DIRECTORY_BYTES = 100_000_000;

/** What the end of the file says about the directory. */
interface Directory {
  readonly begin: number;
  readonly size: number;
  readonly count: number;
}

/**
 * Reads the directory of a zip file, from its end; the members themselves are not touched.
 *
 * Format: PKWARE's APPNOTE.TXT 6.3, sections 4.3.12 to 4.3.16 and 4.5.3.
 * @returns members by name
 * @throws {InputError} when the file is truncated or malformed
 */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipMember>> {
  const tailBegin = Math.max(0, source.size - FIXED.end - MOST_COMMENT - FIXED.locator - FIXED.end64);
  const tail = await source.read(tailBegin, source.size);
  const directory = await findDirectory(source, tail, tailBegin);
  const { begin, size, count } = directory;
  if (begin + size > source.size) fail(source, `its directory ends at byte ${begin + size}, after the file's last`);
  if (size > MOST_DIRECTORY_BYTES) fail(source, `its directory may have ${MOST_DIRECTORY_BYTES} bytes: it has ${size}`);
  const bytes = begin >= tailBegin
    ? tail.subarray(begin - tailBegin, begin - tailBegin + size)
    : await source.read(begin, begin + size);
  return parseDirectory(source, bytes, directory, count);
}

/**
 * Where the content of a stored member begins; its local header is read for that.
 *
 * @param name of the member, for messages
 * @returns byte from the start of the file; content up to that plus `member.size` lies within the file
 * @throws {InputError} when the member is compressed or encrypted, or its header is malformed
 */
export async function locateMember(source: ByteSource, name: string, member: ZipMember): Promise<number> {
  if (member.method !== 0 || member.encrypted) {
    fail(source, `${name} must be stored as it is: it is ${member.encrypted ? "encrypted" : "compressed"}`);
  }
  if (member.header + FIXED.local > source.size) fail(source, `${name} begins after the file's last byte`);
  const view = viewOf(await source.read(member.header, member.header + FIXED.local));
  if (view.getUint32(0, true) !== SIGNATURE.local) fail(source, `${name} has no header at byte ${member.header}`);
  const nameBegin = member.header + FIXED.local;
  const nameEnd = nameBegin + view.getUint16(26, true);
  const begin = nameEnd + view.getUint16(28, true);
  if (begin > source.size) fail(source, `${name} begins after the file's last byte`);
  // The directory could point to another member of the same size.
  const found = new TextDecoder().decode(await source.read(nameBegin, nameEnd));
  if (found !== name) fail(source, `${quote(name)} is called ${quote(found)} where its bytes are`);
  if (begin + member.size > source.size) {
    fail(source, `${name} ends at byte ${begin + member.size}: the file has ${source.size} bytes and is truncated`);
  }
  return begin;
}

async function findDirectory(source: ByteSource, tail: Uint8Array<ArrayBuffer>, tailBegin: number): Promise<Directory> {
  const view = viewOf(tail);
  let at = tail.length - FIXED.end;
  while (at >= 0 && !(view.getUint32(at, true) === SIGNATURE.end && commentFits(view, at))) at--;
  if (at < 0) fail(source, `it has no zip directory at its end; it is truncated or of another kind`);
  const locator = at - FIXED.locator;
  if (locator >= 0 && view.getUint32(locator, true) === SIGNATURE.locator) {
    const begin = safe(source, view, locator + 8);
    if (begin + FIXED.end64 > source.size) fail(source, `its zip64 record begins at byte ${begin}, after its end`);
    const record = viewOf(await source.read(begin, begin + FIXED.end64));
    if (record.getUint32(0, true) !== SIGNATURE.end64) fail(source, `it has no zip64 record at byte ${begin}`);
    return { count: safe(source, record, 32), size: safe(source, record, 40), begin: safe(source, record, 48) };
  }
  const directory = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    begin: view.getUint32(at + 16, true),
  };
  if (directory.begin + directory.size > tailBegin + at) fail(source, "its directory overlaps the record at its end");
  return directory;
}

function commentFits(view: DataView, at: number): boolean {
  return at + FIXED.end + view.getUint16(at + 20, true) === view.byteLength;
}

function parseDirectory(
  source: ByteSource,
  bytes: Uint8Array<ArrayBuffer>,
  { begin, size }: Directory,
  count: number,
): ReadonlyMap<string, ZipMember> {
  const view = viewOf(bytes);
  const members = new Map<string, ZipMember>();
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + FIXED.central > size || view.getUint32(at, true) !== SIGNATURE.central) {
      fail(source, `its directory promises ${count} members: number ${index + 1} at byte ${begin + at} is none`);
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const extra = at + FIXED.central + nameLength;
    const next = extra + extraLength + commentLength;
    if (next > size) fail(source, `its directory is cut within member number ${index + 1}`);
    const name = new TextDecoder().decode(bytes.subarray(at + FIXED.central, extra));
    if (members.has(name)) fail(source, `it has two members named ${quote(name)}`);
    members.set(
      name,
      parseMember(source, new DataView(view.buffer, view.byteOffset + at, next - at), extra - at, extraLength),
    );
    at = next;
  }
  return members;
}

/** @param view one entry of the directory; @param extra where its extra fields begin in it, and how long they are */
function parseMember(source: ByteSource, view: DataView, extra: number, extraLength: number): ZipMember {
  const [packed, unpacked, header] = [20, 24, 42].map((field) => view.getUint32(field, true));
  if (view.getUint16(34, true) !== 0 && view.getUint16(34, true) !== MORE_16) {
    fail(source, "it is one part of several");
  }
  let size = unpacked;
  let begin = header;
  for (let at = extra; at + 4 <= extra + extraLength;) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === ZIP64) {
      let field = at + 4;
      const end = Math.min(at + 4 + length, extra + extraLength);
      const take = (value: number) => {
        if (value !== MORE_32) return value;
        if (field + 8 > end) fail(source, "a zip64 field of its directory is cut");
        field += 8;
        return safe(source, view, field - 8);
      };
      size = take(unpacked);
      take(packed);
      begin = take(header);
    }
    at += 4 + length;
  }
  return {
    header: begin,
    size,
    method: view.getUint16(10, true),
    encrypted: (view.getUint16(8, true) & ENCRYPTED) !== 0,
  };
}

/** A 64-bit number that is small enough to be a place in a file. */
function safe(source: ByteSource, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(source.size)) fail(source, `its directory speaks of byte ${value}: it has ${source.size} bytes`);
  return Number(value);
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function fail({ label }: ByteSource, why: string): never {
  throw new InputError(`Cannot read ${label} as a PyTorch checkpoint: ${why}`);
}
