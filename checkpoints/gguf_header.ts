/** The header of a GGUF file: metadata, and where each tensor lies. Parsed by @huggingface/gguf, checked here. */
import { GGMLQuantizationType, gguf, type GGUFParseOutput } from "@huggingface/gguf";
import type { ByteSource } from "../files/byte_source.ts";
import type { JsonObject } from "./checkpoint.ts";
import { GGML_TYPES, type GgmlType } from "./dequantize.ts";
import { InputError } from "../files/input_error.ts";

/** Where one tensor lies in its file. */
export interface GgufEntry {
  readonly name: string;
  readonly type: GgmlType;
  /** Outermost dimension first, the reverse of what the file says. */
  readonly shape: readonly number[];
  /** First byte, from the start of the file. */
  readonly begin: number;
  /** Byte after the last one. */
  readonly end: number;
}

/** A checked header. */
export interface GgufHeader {
  /** 64-bit integers as numbers. */
  readonly metadata: JsonObject;
  readonly tensors: readonly GgufEntry[];
}

/**
 * Reads and checks a GGUF header.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * @throws {InputError} when the file is not GGUF, is truncated, or holds a type that cannot be read here
 */
export async function parseGguf(source: ByteSource): Promise<GgufHeader> {
  const { label, size } = source;
  const fail = (why: string, cause?: unknown): never => {
    throw new InputError(`Cannot read ${label} as GGUF: ${why}`, { cause });
  };
  const magic = await source.read(0, Math.min(4, size));
  if (new TextDecoder().decode(magic) !== "GGUF") fail("it does not begin with GGUF");
  const parsed = await parse(source).catch((cause) => {
    if (cause instanceof InputError) throw cause;
    return fail(`${cause instanceof Error ? cause.message : cause} (the file has ${size} bytes)`, cause);
  });
  if (!parsed.littleEndian) fail("it is big-endian; convert it to little-endian");
  const dataBegin = Number(parsed.tensorDataOffset);
  if (parsed.tensorInfoByteRange[1] > size) {
    fail(`its header ends at byte ${parsed.tensorInfoByteRange[1]}: the file has ${size} bytes and is truncated`);
  }
  const names = new Set<string>();
  const tensors = parsed.tensorInfos.map(({ name, shape: reversed, dtype, offset }) => {
    const type = GGML_TYPES.get(dtype);
    if (type === undefined) {
      const known = [...GGML_TYPES.values()].map((known) => known.name).join(", ");
      return fail(
        `tensor "${name}" must be of one of ${known}: current type is ${GGMLQuantizationType[dtype] ?? dtype}`,
      );
    }
    const shape = reversed.map(Number).reverse();
    const count = shape.reduce((product, length) => product * length, 1);
    if (!Number.isSafeInteger(count) || (shape.at(-1) ?? 1) % type.values !== 0) {
      return fail(
        `tensor "${name}": rows of ${type.name} are blocks of ${type.values}: shape is [${shape.join(", ")}]`,
      );
    }
    const begin = dataBegin + Number(offset);
    const end = begin + count / type.values * type.bytes;
    if (end > size) fail(`tensor "${name}" ends at byte ${end}: the file has ${size} bytes and is truncated`);
    if (names.has(name)) fail(`tensor "${name}" occurs twice`);
    names.add(name);
    return { name, type, shape, begin, end };
  });
  return { metadata: plain(parsed.metadata), tensors };
}

/** The library asks for ranges of a URL; they are answered from the source. */
function parse(source: ByteSource): Promise<GGUFParseOutput> {
  const answer = async (_url: unknown, init?: { headers?: HeadersInit }): Promise<Response> => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
    const begin = Math.min(Number(first), source.size);
    const end = Math.min(Number(last) + 1, source.size);
    return new Response(await source.read(begin, end), {
      headers: { "content-range": `bytes ${begin}-${end - 1}/${source.size}` },
    });
  };
  return gguf("https://localhost/", { fetch: answer });
}

function plain(metadata: object): JsonObject {
  const value = (item: unknown): unknown =>
    typeof item === "bigint" ? Number(item) : Array.isArray(item) ? item.map(value) : item;
  return Object.fromEntries(Object.entries(metadata).map(([key, item]) => [key, value(item)]));
}
