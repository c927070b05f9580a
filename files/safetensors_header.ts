/** The header of a safetensors file: names, types, shapes and byte ranges, checked before anything is allocated. */
import type { ByteSource } from "./byte_source.ts";
import { InputError } from "./input_error.ts";

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
 * Reads and checks the header of a safetensors file: its length, every shape against its bytes, every range against the
 * file and against the others.
 *
 * Format: https://huggingface.co/docs/safetensors (eight bytes of length, JSON, data).
 * @throws {InputError} naming the file, the tensor, and the expected and actual bytes
 */
export async function parseHeader(source: ByteSource): Promise<Header> {
  const { label, size } = source;
  const fail = (why: string, cause?: unknown): never => {
    throw new InputError(`Cannot read ${label} as safetensors: ${why}`, { cause });
  };
  if (size < 8) fail(`a header of at least 8 bytes was expected: the file has ${size} bytes`);
  const length = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > BigInt(MOST_HEADER_BYTES)) {
    fail(`the header may have ${MOST_HEADER_BYTES} bytes: the file says ${length}`);
  }
  const dataBegin = 8 + Number(length);
  if (dataBegin > size) fail(`the header ends at byte ${dataBegin}: the file has ${size} bytes and is truncated`);

  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await source.read(8, dataBegin)));
  } catch (cause) {
    fail("the header is not JSON", cause);
  }
  if (!isRecord(json)) return fail("the header is not a JSON object");

  const tensors = new Map<string, HeaderEntry>();
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") {
      if (!isRecord(value)) return fail("__metadata__ is not an object");
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== "string") return fail(`__metadata__.${key} is not a string`);
        metadata[key] = text;
      }
    } else {
      tensors.set(name, checkEntry(value, dataBegin, (why) => fail(`tensor "${name}": ${why}`)));
    }
  }
  checkRanges(tensors, size, fail);
  return { tensors, metadata, dataBegin };
}

/** Number of elements of a shape; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function checkEntry(value: unknown, dataBegin: number, fail: (why: string) => never): HeaderEntry {
  if (!isRecord(value)) return fail("the entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") return fail("dtype is not a string");
  if (!isLengths(shape)) return fail(`shape must be a list of sizes: current value is ${JSON.stringify(shape)}`);
  if (!isLengths(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    return fail(`data_offsets must be [begin, end]: current value is ${JSON.stringify(offsets)}`);
  }
  const bytes = offsets[1] - offsets[0];
  if (isDtype(dtype)) {
    const expected = elements(shape) * ELEMENT_BYTES[dtype];
    if (expected !== bytes) fail(`${dtype} [${shape.join(", ")}] takes ${expected} bytes: data_offsets give ${bytes}`);
  }
  return { dtype, shape, begin: dataBegin + offsets[0], end: dataBegin + offsets[1] };
}

function checkRanges(tensors: ReadonlyMap<string, HeaderEntry>, size: number, fail: (why: string) => never): void {
  let last: [string, HeaderEntry] | undefined;
  for (const current of [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const [name, { begin, end }] = current;
    if (end > size) {
      fail(`tensor "${name}" ends at byte ${end}: the file has ${size} bytes and is truncated`);
    }
    if (last !== undefined && begin < last[1].end) fail(`tensors "${last[0]}" and "${name}" overlap at byte ${begin}`);
    if (end > begin) last = current;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isLengths(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length >= 0);
}
