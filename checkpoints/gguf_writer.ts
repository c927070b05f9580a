/** GGUF files, version 3, written as a stream: the header, which needs no weights, then one tensor at a time. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { GgufEncoding } from "./gguf_encode.ts";

/** A metadata value with its type in the file. */
export type GgufValue =
  | { readonly kind: "u32" | "f32"; readonly value: number }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "texts"; readonly value: readonly string[] }
  | { readonly kind: "i32s" | "f32s"; readonly value: readonly number[] };

/** Metadata by key. */
export type GgufMetadata = Readonly<Record<string, GgufValue>>;

/** A tensor that is to be written. */
export interface GgufTensor {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly encoding: GgufEncoding;
}

/** A file that is being written. */
export interface GgufWriter {
  /**
   * Writes the next tensor.
   * @param data as its encoding makes it
   * @throws {RangeError} when these are not as many bytes as the tensor takes, or all are written
   */
  append(data: Uint8Array): Promise<void>;
  /** Flushes to the disk and closes. @throws {RangeError} when tensors are missing */
  finish(): Promise<{ readonly bytes: number; readonly sha256: string }>;
  /** Closes, whatever is missing; after `finish` too. */
  close(): Promise<void>;
}

/** Tensors begin at multiples of that many bytes; the format's default, which is not stated then. */
const ALIGNMENT = 32;
/** Bytes handed to the operating system at once. */
const CHUNK = 1 << 24;

/** Numbers of the types of metadata. */
const NUMBERS = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, array: 9 } as const;

/**
 * Begins a file: writes its header.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openFile } from "../files/byte_source.ts";
 * import { GGUF_ENCODINGS } from "./gguf_encode.ts";
 * import { parseGguf } from "./gguf_header.ts";
 *
 * const path = await Deno.makeTempFile(), encoding = GGUF_ENCODINGS.F16;
 * const writer = await openGgufWriter(path, {
 *   metadata: { "general.architecture": { kind: "text", value: "llama" } },
 *   tensors: [{ name: "output_norm.weight", shape: [2], encoding }],
 * });
 * await writer.append(encoding.encode(Float32Array.of(1, 2)));
 * await writer.finish();
 * const source = await openFile(path), { metadata, tensors: [{ shape }] } = await parseGguf(source);
 * assert.deepEqual([metadata, shape], [{ "general.architecture": "llama" }, [2]]);
 * source.close();
 * await Deno.remove(path);
 * ```
 * @param path file to write; overwritten if it exists
 */
export async function openGgufWriter(
  path: string,
  { metadata, tensors }: { readonly metadata: GgufMetadata; readonly tensors: readonly GgufTensor[] },
): Promise<GgufWriter> {
  const hash = createHash("sha256"), file = await open(path, "w");
  let bytes = 0, next = 0, closed = false;
  const write = async (data: Uint8Array) => {
    for (let done = 0; done < data.length;) {
      const chunk = data.subarray(done, done + CHUNK), { bytesWritten } = await file.write(chunk);
      hash.update(chunk.subarray(0, bytesWritten));
      done += bytesWritten;
    }
    bytes += data.length;
    await pad();
  };
  const pad = async () => {
    const rest = new Uint8Array(aligned(bytes) - bytes);
    if (rest.length > 0) await write(rest);
  };
  const close = async () => {
    if (closed) return;
    closed = true;
    await file.close();
  };
  try {
    await write(headerOf(metadata, tensors));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async append(data) {
      const tensor = tensors[next++], wanted = tensor === undefined ? 0 : sizeOf(tensor);
      if (tensor === undefined || data.length !== wanted) {
        throw new RangeError(
          `Cannot write tensor "${tensor?.name}" as it takes ${wanted} bytes: current value is ${data.length}`,
        );
      }
      await write(data);
    },
    async finish() {
      if (next !== tensors.length) {
        throw new RangeError(`Cannot finish the file as it has ${tensors.length} tensors: ${next} are written`);
      }
      await file.sync();
      await close();
      return { bytes, sha256: hash.digest("hex") };
    },
    close,
  };
}

/** Bytes that a tensor takes. @throws {RangeError} when its rows are not whole blocks */
function sizeOf({ name, shape, encoding }: GgufTensor): number {
  if ((shape.at(-1) ?? 1) % encoding.values === 0) {
    return shape.reduce((product, length) => product * length, 1) / encoding.values * encoding.bytes;
  }
  throw new RangeError(
    `Cannot write tensor "${name}" as rows of ${encoding.name} are blocks of ${encoding.values}: shape is [${
      shape.join(", ")
    }]`,
  );
}

function headerOf(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const out = new Bytes();
  out.ascii("GGUF").word(3).long(tensors.length).long(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) out.text(key).value(value);
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, encoding } = tensor;
    out.text(name).word(shape.length);
    for (const length of shape.toReversed()) out.long(length);
    out.word(encoding.type).long(offset);
    offset = aligned(offset + sizeOf(tensor));
  }
  return out.bytes();
}

function aligned(at: number): number {
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT;
}

/** Bytes that grow, little-endian. */
class Bytes {
  #buffer = new Uint8Array(1 << 16);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  word(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  long(value: number): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  ascii(text: string): this {
    const bytes = new TextEncoder().encode(text), at = this.#grow(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    this.long(bytes.length);
    const at = this.#grow(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  value(value: GgufValue): this {
    switch (value.kind) {
      case "u32":
        return this.word(NUMBERS.u32).word(value.value);
      case "f32":
        return this.word(NUMBERS.f32).#float(value.value);
      case "bool": {
        this.word(NUMBERS.bool);
        const at = this.#grow(1);
        this.#buffer[at] = value.value ? 1 : 0;
        return this;
      }
      case "text":
        return this.word(NUMBERS.text).text(value.value);
      case "texts":
        this.word(NUMBERS.array).word(NUMBERS.text).long(value.value.length);
        for (const text of value.value) this.text(text);
        return this;
      case "i32s":
      case "f32s": {
        const item = value.kind === "i32s" ? "i32" : "f32";
        this.word(NUMBERS.array).word(NUMBERS[item]).long(value.value.length);
        for (const number of value.value) item === "i32" ? this.word(number) : this.#float(number);
        return this;
      }
      default:
        return value satisfies never;
    }
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #float(value: number): this {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  /** Makes room. @returns where it begins */
  #grow(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}
