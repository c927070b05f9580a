/** The header of a safetensors file: names, types, shapes and byte ranges, checked before anything is allocated. */
import type { ByteSource } from "./byte_source.ts";
import { found } from "./clear_text.ts";
import { InputError } from "./input_error.ts";
import { type Fail, parseJson } from "./json_text.ts";
import { isObject } from "./json.ts";
import { lookAt, quote } from "./what_is_it.ts";

/** Bytes of one element, by stored type. */
export const ELEMENT_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  F64: 8,
} as const;

/** Element types that are read and written here. */
export type Dtype = keyof typeof ELEMENT_BYTES;

/** Where one tensor lies in its file. */
export interface HeaderEntry {
  /** As the file says; a `Dtype` unless the file holds types that cannot be read here, such as F8_E4M3. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte, from the start of the file. */
  readonly begin: number;
  /** Byte after the last one. */
  readonly end: number;
}

/** A checked header. */
export interface Header {
  readonly tensors: ReadonlyMap<string, HeaderEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the tensors' bytes begin. */
  readonly dataBegin: number;
}

/** Larger headers are refused, as the format's own reader does. */
const MOST_HEADER_BYTES = 100_000_000;

/** Whether this program can read and write elements of that type. */
export function isDtype(dtype: string): dtype is Dtype {
  return Object.hasOwn(ELEMENT_BYTES, dtype);
}

/**
 * Reads and checks the header of a safetensors file: its length, every shape against its bytes, and that the ranges make up the file
 * without overlap, gap or rest, as the format's own reader wants it.
 *
 * Format: https://huggingface.co/docs/safetensors (eight bytes of length, JSON, data).
 * @throws {InputError} naming the file, the tensor, and the expected and actual bytes; of another kind of file, what it is
 */
export async function parseHeader(source: ByteSource): Promise<Header> {
  const { label, size } = source;
  const fail: Fail = (why) => {
    throw new InputError(`Cannot read ${label} as safetensors: ${why}`);
  };
  /** For what may come of the file being something else. */
  const refuse = async (why: string): Promise<never> => fail(await lookAt(source, "safetensors") ?? why);
  if (size < 8) await refuse(`a header of at least 8 bytes was expected: the file has ${size} bytes`);
  const length = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > BigInt(MOST_HEADER_BYTES)) {
    await refuse(`the header may have ${MOST_HEADER_BYTES} bytes: the file says ${length}`);
  }
  const dataBegin = 8 + Number(length);
  if (dataBegin > size) {
    await refuse(
      `the header ends at byte ${dataBegin}: the file has ${size} bytes and is truncated; download it again`,
    );
  }
  const text = decode(await source.read(8, dataBegin));
  // Read with JSON's own rules, without a byte order mark.
  if (text === undefined || !text.startsWith("{")) return await refuse("the header is not JSON, or not a JSON object");
  const json = parseJson(text, (why) => fail(`the header is not JSON: ${why}`), { unique: true });
  if (!isObject(json)) return fail("the header is not a JSON object");
  const { __metadata__: metadata = {}, ...entries } = json;
  const tensors = new Map(
    Object.entries(entries).map(([name, value]) => [
      name,
      checkEntry(value, dataBegin, (why) => fail(`tensor ${quote(name)}: ${why}`)),
    ]),
  );
  checkRanges(tensors, { dataBegin, size }, fail);
  return { tensors, metadata: checkMetadata(metadata, fail), dataBegin };
}

/** Number of elements of a shape; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function checkEntry(value: unknown, dataBegin: number, fail: Fail): HeaderEntry {
  if (!isObject(value)) return fail("the entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") return fail("dtype is not a string");
  if (!isLengths(shape)) return fail(`shape must be a list of sizes: ${found(shape)}`);
  if (!isLengths(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    return fail(`data_offsets must be [begin, end]: ${found(offsets)}`);
  }
  const bytes = offsets[1] - offsets[0];
  if (isDtype(dtype)) {
    const expected = elements(shape) * ELEMENT_BYTES[dtype];
    if (expected !== bytes) fail(`${dtype} [${shape.join(", ")}] takes ${expected} bytes: data_offsets give ${bytes}`);
  }
  return { dtype, shape, begin: dataBegin + offsets[0], end: dataBegin + offsets[1] };
}

function checkMetadata(metadata: unknown, fail: Fail): Readonly<Record<string, string>> {
  if (!isObject(metadata)) return fail("__metadata__ is not an object");
  return Object.fromEntries(
    Object.entries(metadata).map(([key, text]) =>
      typeof text === "string" ? [key, text] : fail(`__metadata__.${key.slice(0, 100)} is not a string`)
    ),
  );
}

function checkRanges(
  tensors: ReadonlyMap<string, HeaderEntry>,
  { dataBegin, size }: { readonly dataBegin: number; readonly size: number },
  fail: Fail,
): void {
  let at = dataBegin;
  let last = "";
  for (const [name, { begin, end }] of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (end > size) {
      fail(`tensor ${quote(name)} ends at byte ${end}: the file has ${size} bytes and is truncated; download it again`);
    }
    if (begin < at) fail(`tensors ${quote(last)} and ${quote(name)} overlap at byte ${begin}`);
    if (begin > at) fail(`bytes ${at} to ${begin}, before tensor ${quote(name)}, belong to no tensor`);
    [at, last] = [end, name];
  }
  if (at < size) fail(`bytes ${at} to ${size}, after its last tensor, belong to no tensor; download it again`);
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function isLengths(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length >= 0);
}
