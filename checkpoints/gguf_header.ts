/** The header of a GGUF file: metadata, and where each tensor lies. Read by `gguf_reader.ts`, checked here. */
import { GGMLQuantizationType } from "@huggingface/gguf";
import type { ByteSource } from "../files/byte_source.ts";
import type { JsonObject } from "./checkpoint.ts";
import { GGML_TYPES, type GgmlType } from "./dequantize.ts";
import { readGgufHeader } from "./gguf_reader.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import type { Fail } from "../files/json_text.ts";
import { lookAt, quote } from "../files/what_is_it.ts";

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

/** Where the file does not say, tensors begin at multiples of that many bytes. */
const ALIGNMENT = 32;
const MOST_ALIGNMENT = 1 << 20;

/**
 * Reads and checks a GGUF header: the tensors lie one after another, as llama.cpp wants them, within the file.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * @throws {InputError} when the file is not GGUF, is truncated, or holds a type that cannot be read here
 */
export async function parseGguf(source: ByteSource): Promise<GgufHeader> {
  const { label, size } = source;
  const fail: Fail = (why) => {
    throw new InputError(`Cannot read ${label} as GGUF: ${why}`);
  };
  const magic = await source.read(0, Math.min(4, size));
  if (new TextDecoder().decode(magic) !== "GGUF") {
    const other = await lookAt(source, "GGUF");
    fail(`it does not begin with GGUF${other === undefined ? "" : `: ${other}`}`);
  }
  const { metadata, tensors, bytes } = await readGgufHeader(source, fail);
  const alignment = metadata.get("general.alignment") ?? ALIGNMENT;
  if (
    typeof alignment !== "number" ||
    !(alignment >= 1 && alignment <= MOST_ALIGNMENT && Number.isInteger(Math.log2(alignment)))
  ) {
    return fail(`general.alignment must be a power of two up to ${MOST_ALIGNMENT}: ${found(alignment)}`);
  }
  const aligned = (at: number) => Math.ceil(at / alignment) * alignment;
  const dataBegin = aligned(bytes);
  const names = new Set<string>();
  let next = dataBegin;
  const entries = tensors.map(({ name, shape: reversed, type: number, offset }): GgufEntry => {
    const type = GGML_TYPES.get(number);
    if (type === undefined) {
      const known = [...GGML_TYPES.values()].map((known) => known.name).join(", ");
      return fail(
        `tensor ${quote(name)} must be of one of ${known}: current type is ${GGMLQuantizationType[number] ?? number}`,
      );
    }
    const shape = reversed.toReversed();
    const count = shape.reduce((product, length) => product * length, 1);
    if (!Number.isSafeInteger(count) || (shape.at(-1) ?? 1) % type.values !== 0) {
      return fail(
        `tensor ${quote(name)}: rows of ${type.name} are blocks of ${type.values}: shape is [${shape.join(", ")}]`,
      );
    }
    const begin = dataBegin + offset;
    const end = begin + count / type.values * type.bytes;
    if (end > size) {
      fail(`tensor ${quote(name)} ends at byte ${end}: the file has ${size} bytes and is truncated; download it again`);
    }
    if (begin !== next) {
      fail(`tensor ${quote(name)} must begin at byte ${next}, after the one before it: it begins at ${begin}`);
    }
    next = aligned(end);
    if (names.has(name)) fail(`tensor ${quote(name)} occurs twice`);
    names.add(name);
    return { name, type, shape, begin, end };
  });
  return { metadata: Object.fromEntries(metadata), tensors: entries };
}
