/** A model as Hugging Face's transformers loads it: safetensors of one type, config.json, the tokenizer's files. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { halves, upperHalves } from "../checkpoints/gguf_encode.ts";
import { GENERATION_FILE } from "../checkpoints/model_files.ts";
import { writeJson } from "../checkpoints/packed/write.ts";
import { found } from "../files/clear_text.ts";
import { fromBfloat16, fromFloat16 } from "../files/float16.ts";
import { InputError } from "../files/input_error.ts";
import { modelSpec } from "../models/config.ts";
import { familyClass } from "../models/family_gguf.ts";
import { fitModel } from "../models/fit.ts";
import { openModel } from "../models/open_model.ts";
import { tokenizerFiles } from "../tokenizers/tokenizer_files.ts";
import { compareTensors } from "./compare.ts";
import type { Exportable, Exported, ExportedFile, ExportOptions } from "./job.ts";
import { staged } from "./staging.ts";

/** Types that weights may be written in. */
export const SAFETENSORS_TYPES = ["F16", "BF16"] as const;
export type SafetensorsType = (typeof SAFETENSORS_TYPES)[number];

/** Most bytes of tensors in one file, unless told otherwise. */
export const SHARD_BYTES = 4 * 2 ** 30;

const INDEX = "model.safetensors.index.json";
const CONFIG = "config.json";

/** Rounding to each type and back, and transformers' word for it. */
const TYPES = {
  F16: { round: halves, widen: fromFloat16, word: "float16" },
  BF16: { round: upperHalves, widen: fromBfloat16, word: "bfloat16" },
} as const;

/**
 * Writes a model, one tensor at a time, and reads it again.
 *
 * @param type that all tensors are rounded to
 * @throws {InputError} when a value is beyond the type, or transformers has no such model or tokenizer
 * @throws {RangeError} when the folder holds something else
 */
export function exportSafetensors(model: Exportable, type: SafetensorsType, options: ExportOptions): Promise<Exported> {
  const { checkpoint } = model, { to, force = false, warn = () => {} } = options;
  const companions = companionsOf(model, type, warn);
  return staged(to, { name: "safetensors", force, stale: /^model.*\.safetensors(\.index\.json)?$/ }, async (place) => {
    const weights = await writeShards(place, model, type, options);
    const texts = weights.length === 1 ? companions : [[INDEX, indexOf(weights)] as const, ...companions];
    for (const [name, value] of texts) await writeJson(join(place, name), value);
    const { checkpoint: written } = await fitModel(await openModel({ path: place }));
    try {
      const expected = (_name: string, values: Float32Array) => TYPES[type].widen(TYPES[type].round(values));
      const closeness = await compareTensors(checkpoint, written, { ...options, expected });
      const files = [...weights.map(({ name }) => name), ...texts.map(([name]) => name)];
      return { files, weights: weights.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })), closeness };
    } finally {
      written.close();
    }
  });
}

interface Shard extends ExportedFile {
  readonly tensors: readonly string[];
  readonly dataBytes: number;
}

async function writeShards(
  place: string,
  { checkpoint }: Exportable,
  type: SafetensorsType,
  { shardBytes = SHARD_BYTES, progress, signal }: ExportOptions,
): Promise<readonly Shard[]> {
  const shards: { names: string[]; bytes: number }[] = [];
  for (const { name, shape } of checkpoint.tensors.values()) {
    const bytes = 2 * elementsOf(shape), last = shards.at(-1);
    if (last === undefined || last.bytes + bytes > shardBytes) shards.push({ names: [name], bytes });
    else [last.bytes] = [last.bytes + bytes, last.names.push(name)];
  }
  const digits = (number: number) => String(number).padStart(5, "0");
  const written: Shard[] = [];
  let done = 0;
  for (const [index, { names, bytes }] of shards.entries()) {
    const name = shards.length === 1
      ? "model.safetensors"
      : `model-${digits(index + 1)}-of-${digits(shards.length)}.safetensors`;
    const file = await open(join(place, name), "w"), hash = createHash("sha256");
    let length = 0;
    const append = async (data: Uint8Array) => {
      hash.update(data);
      for (let at = 0; at < data.length;) at += (await file.write(data, at)).bytesWritten;
      length += data.length;
    };
    try {
      await append(headerOf(names.map((each) => [each, checkpoint.tensors.get(each)?.shape ?? []]), type));
      for (const each of names) {
        signal?.throwIfAborted();
        await append(await rounded(each, checkpoint, type));
        progress?.("written", ++done, checkpoint.tensors.size);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    written.push({ name, bytes: length, sha256: hash.digest("hex"), tensors: names, dataBytes: bytes });
  }
  return written;
}

async function rounded(name: string, { read }: Exportable["checkpoint"], type: SafetensorsType): Promise<Uint8Array> {
  const values = await read(name);
  try {
    return new Uint8Array(TYPES[type].round(values).buffer);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new InputError(
      `Cannot export tensor "${name}" as ${type}: ${cause.message}${type === "F16" ? "; use --type bf16" : ""}`,
      { cause },
    );
  }
}

function headerOf(tensors: readonly (readonly [string, readonly number[]])[], dtype: SafetensorsType): Uint8Array {
  // What transformers asks for: which library's layout the names and shapes are.
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let begin = 0;
  for (const [name, shape] of tensors) {
    const end = begin + 2 * elementsOf(shape);
    entries[name] = { dtype, shape, data_offsets: [begin, end] };
    begin = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(entries)), length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return header;
}

function indexOf(shards: readonly Shard[]): JsonObject {
  return {
    metadata: { total_size: shards.reduce((sum, { dataBytes }) => sum + dataBytes, 0) },
    weight_map: Object.fromEntries(shards.flatMap(({ name, tensors }) => tensors.map((each) => [each, name]))),
  };
}

/** The files beside the weights, config.json last: without it nobody loads the folder. */
function companionsOf(
  { checkpoint: { tokenizer, generation, config }, spec, name }: Exportable,
  type: SafetensorsType,
  warn: (message: string) => void,
): readonly (readonly [string, JsonObject])[] {
  const { quantization_config: _, pbs2p_biases: biases, ...rest } = config;
  if (biases !== undefined && `${modelSpec(rest).block.biases}` !== `${spec.block.biases}`) {
    throw new InputError(
      `Cannot export ${name} as safetensors: transformers has no ${spec.family} with biases on ${
        found(biases)
      } only; llama.cpp may have: --format gguf`,
    );
  }
  if (tokenizer === undefined) warn(`${name} has no tokenizer, and so the export has none`);
  const { word } = TYPES[type], className = familyClass(spec);
  const written: JsonObject = {
    ...rest,
    ...(rest.architectures === undefined && className !== undefined ? { architectures: [className] } : {}),
    ...(rest.dtype === undefined ? {} : { dtype: word }),
    torch_dtype: word,
  };
  return [
    ...(tokenizer === undefined ? [] : Object.entries(tokenizerFiles(tokenizer))),
    ...(generation === undefined ? [] : [[GENERATION_FILE, generation] as const]),
    [CONFIG, written],
  ];
}

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
