/** Tensors in safetensors files: written as a stream, read by byte range. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { fromBfloat16, fromFloat16 } from "./float16.ts";
import { type ByteSource, openFile } from "./byte_source.ts";
import { InputError } from "./input_error.ts";
import {
  type Dtype,
  ELEMENT_BYTES,
  elements,
  type Header,
  type HeaderEntry,
  isDtype,
  parseHeader,
} from "./safetensors_header.ts";

export { parseHeader };
export type { Dtype, Header, HeaderEntry };

/** The elements of a tensor. F16 and BF16 are bit patterns in a Uint16Array, BOOL is a Uint8Array. */
export type TensorData =
  | Float32Array
  | Uint16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint32Array
  | Float64Array;

/** One tensor in memory. */
export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** What was written. */
export interface Written {
  readonly bytes: number;
  /** Of the whole file, in hex. */
  readonly sha256: string;
}

const VIEWS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  I64: BigInt64Array,
  F64: Float64Array,
} as const;

/** Bytes handed to the operating system at once. */
const WRITE_CHUNK = 1 << 26;

/**
 * Writes a safetensors file and flushes it to the disk. The bytes depend only on the content: tensors are ordered by
 * falling element size, then name, metadata by key.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile();
 * await writeSafetensors(path, { ids: { dtype: "I32", shape: [3], data: new Int32Array([1, 2, 3]) } });
 * assert.deepEqual((await readSafetensors(path)).tensors.ids.shape, [3]);
 * await Deno.remove(path);
 * ```
 * @param path file to write; overwritten if it exists
 * @param tensors by name; `data` holds exactly the shape's elements
 * @returns size and hash, made while writing
 * @throws {RangeError} when a tensor's data does not fit its type and shape
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
  { flush = true }: { readonly flush?: boolean } = {},
): Promise<Written> {
  const entries = Object.entries(tensors).sort(([a, { dtype: s }], [b, { dtype: t }]) =>
    ELEMENT_BYTES[t] - ELEMENT_BYTES[s] || (a < b ? -1 : 1)
  );
  const header = encodeHeader(entries, metadata);
  const hash = createHash("sha256");
  const file = await open(path, "w");
  let bytes = 0;
  try {
    for (const { data } of [{ data: header }, ...entries.map(([, tensor]) => tensor)]) {
      for (let begin = 0; begin < data.byteLength; begin += WRITE_CHUNK) {
        const length = Math.min(WRITE_CHUNK, data.byteLength - begin);
        const chunk = new Uint8Array(data.buffer, data.byteOffset + begin, length);
        hash.update(chunk);
        for (let done = 0; done < length;) {
          done += (await file.write(chunk, done, length - done, bytes + done)).bytesWritten;
        }
        bytes += length;
      }
    }
    if (flush) await file.sync();
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest("hex") };
}

/**
 * Reads a whole safetensors file; for files that fit in memory many times over.
 *
 * @throws {InputError} when the file is missing, truncated or malformed, or holds a type that cannot be read here
 */
export async function readSafetensors(
  path: string,
): Promise<{ tensors: Record<string, Tensor>; metadata: Readonly<Record<string, string>> }> {
  const source = await openFile(path);
  try {
    const header = await parseHeader(source);
    const tensors: [string, Tensor][] = [];
    for (const name of header.tensors.keys()) tensors.push([name, await readTensor(source, header, name)]);
    return { tensors: Object.fromEntries(tensors), metadata: header.metadata };
  } finally {
    source.close();
  }
}

/**
 * Where a tensor lies.
 *
 * @throws {InputError} naming those there are, when there is none of that name
 */
export function entryOf({ label }: Pick<ByteSource, "label">, header: Header, name: string): HeaderEntry {
  const entry = header.tensors.get(name);
  if (entry !== undefined) return entry;
  const some = [...header.tensors.keys()].slice(0, 8).map((name) => name.slice(0, 100)).join(", ");
  throw new InputError(
    `Cannot read tensor "${name}" of ${label}: the file has no such tensor` +
      (some === "" ? "" : `, but ${some}${header.tensors.size > 8 ? ", …" : ""}`),
  );
}

/**
 * Reads one tensor by its byte range.
 *
 * @throws {InputError} when there is no such tensor, or its type cannot be read here
 */
export async function readTensor(source: ByteSource, header: Header, name: string): Promise<Tensor> {
  const { dtype, shape, begin, end } = entryOf(source, header, name);
  if (!isDtype(dtype)) {
    const known = Object.keys(ELEMENT_BYTES).join(", ");
    throw new InputError(
      `Cannot read tensor "${name}" of ${source.label}: dtype must be one of ${known}: current value is ${
        dtype.slice(0, 100)
      }`,
    );
  }
  return tensorOf(dtype, shape, await source.read(begin, end));
}

/**
 * A tensor over bytes that were read.
 *
 * @param bytes the elements, little-endian, in a buffer of their own; not copied
 * @throws {RangeError} when the bytes are not a whole number of elements
 */
export function tensorOf(dtype: Dtype, shape: readonly number[], { buffer }: Uint8Array<ArrayBuffer>): Tensor {
  return { dtype, shape, data: new VIEWS[dtype](buffer) };
}

/**
 * The values of a floating-point tensor in float32; F32 is returned as it is, not copied.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const half = { dtype: "F16", shape: [2], data: new Uint16Array([0x3c00, 0xc000]) } as const;
 * assert.deepEqual([...toFloat32(half)], [1, -2]);
 * ```
 * @throws {RangeError} for integer and boolean tensors
 */
export function toFloat32({ dtype, data }: Tensor): Float32Array {
  if (dtype === "F32" && data instanceof Float32Array) return data;
  if (dtype === "F64" && data instanceof Float64Array) return new Float32Array(data);
  if (dtype === "F16" && data instanceof Uint16Array) return fromFloat16(data);
  if (dtype === "BF16" && data instanceof Uint16Array) return fromBfloat16(data);
  throw new RangeError(`Cannot convert to float32: dtype must be F32, F16, BF16 or F64: current value is ${dtype}`);
}

function encodeHeader(
  entries: readonly (readonly [string, Tensor])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const json: Record<string, unknown> = Object.create(null);
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) json.__metadata__ = Object.fromEntries(keys.map((key) => [key, metadata[key]]));
  let begin = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    if (!(data instanceof VIEWS[dtype]) || data.length !== elements(shape)) {
      throw new RangeError(
        `Cannot write tensor "${name}": ${dtype} [${shape.join(", ")}] takes ${elements(shape)} elements of ` +
          `${VIEWS[dtype].name}: current value is a ${data.constructor.name} of ${data.length}`,
      );
    }
    json[name] = { dtype, shape, data_offsets: [begin, begin + data.byteLength] };
    begin += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(json));
  const length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}
