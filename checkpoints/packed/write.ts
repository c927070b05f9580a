/**
 * Writes the packed model: a folder of one safetensors file, config.json and the tokenizer. The file's bytes are the claim; all that
 * is needed to read it is in its own header, so that it can be moved without the rest.
 *
 * Tensors of a compressed layer `<name>`: `<name>.<plane>` for each plane of its format that needs bits (bit planes: see `planes.ts`). All
 * others are as they were. Metadata: `format` is "pbs2p", `version`, `layers` (JSON by layer name: the header of its format, with the
 * format's name where it is not bit planes), `source` (JSON: what was compressed) and `data_sha256` (of all bytes after the header).
 */
import { createHash } from "node:crypto";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toFloat16 } from "../../files/float16.ts";
import type { JsonRecord } from "../../files/json.ts";
import type { Checkpoint, JsonObject, StoredTokenizer } from "../checkpoint.ts";
import type { EncodedLayer, LayerFormat } from "./format.ts";
import { GENERATION_FILE } from "../model_files.ts";
import { formatOf, type FormatOptions, FORMATS, toRecord } from "./formats.ts";
import type { Tensor } from "../../files/safetensors.ts";

/** Raised whenever older readers cannot read what is written. */
export const PACKED_VERSION = 1;

/** Names in a packed folder. */
export const PACKED_FILES = {
  weights: "model.safetensors",
  config: "config.json",
  generation: GENERATION_FILE,
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  ggufTokenizer: "tokenizer.gguf.json",
} as const;

/** What a packed model is made of. */
export interface PackedContent {
  /** Name of each compressed layer, without `.weight`, and the layer; taken one at a time. */
  readonly layers: Iterable<readonly [string, EncodedLayer]> | AsyncIterable<readonly [string, EncodedLayer]>;
  /** Everything else, as it is to be stored; taken one at a time. */
  readonly others: Iterable<readonly [string, Tensor]> | AsyncIterable<readonly [string, Tensor]>;
  readonly config: JsonObject;
  readonly tokenizer: StoredTokenizer | undefined;
  /** generation_config.json. */
  readonly generation?: JsonObject;
  /** For people: label and size of what was compressed, method. Kept in the file's metadata. */
  readonly source: JsonObject;
}

/** What was written. */
export interface PackedFile {
  readonly path: string;
  readonly bytes: number;
  /** Of the whole file, in hex. */
  readonly sha256: string;
}

/** The least that F16 rounds to infinity: halfway from its largest number to the next power of two. */
const BEYOND_F16 = 65_520;

/** Bytes copied at once. */
const CHUNK = 1 << 24;

/**
 * Writes a packed model, holding one layer at a time; the weights appear under their name only when they are complete.
 *
 * @param folder made if needed
 * @throws {RangeError} when two tensors have one name, or a layer has one that is no plane of its format
 */
export async function writePackedModel(
  folder: string,
  content: PackedContent,
  { formats = FORMATS }: FormatOptions = {},
): Promise<PackedFile> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, PACKED_FILES.weights);
  const data = `${path}.data`;
  const part = `${path}.part`;
  try {
    const header = await writeData(data, content, formats);
    const written = await joinFiles(part, header, data);
    await writeCompanions(folder, content);
    await rename(part, path);
    return { path, ...written };
  } finally {
    await rm(data, { force: true });
    await rm(part, { force: true });
  }
}

/**
 * The tensors of a checkpoint that are not compressed, in their stored type. Those of a type that no pass computes with are rounded:
 * F64 to F32, as everything that reads them does; quantized ones of a GGUF file, which have no such type in a safetensors file, are
 * decoded and rounded to F16, or to F32 where a value is beyond its range.
 *
 * @param checkpoint of a model as `fitModel` gives it: what no pass reads is not packed
 * @param layers names of the compressed layers, without `.weight`
 * @param warn told once of each type which tensors change to it
 */
export async function* uncompressedTensors(
  checkpoint: Checkpoint,
  layers: ReadonlySet<string>,
  warn: (message: string) => void,
): AsyncGenerator<readonly [string, Tensor]> {
  const rounded = { F16: [] as string[], F32: [] as string[] };
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    if (name.endsWith(".weight") && layers.has(name.slice(0, -".weight".length))) continue;
    const values = await checkpoint.read(name);
    if (dtype === "F32") yield [name, { dtype, shape, data: values }];
    else if (dtype === "BF16") yield [name, { dtype, shape, data: upperHalves(values) }];
    else {
      const type = dtype === "F64" || values.some((value) => Math.abs(value) >= BEYOND_F16) ? "F32" : "F16";
      if (dtype !== type) rounded[type].push(`${name} (${dtype})`);
      yield [name, { dtype: type, shape, data: type === "F16" ? toFloat16(values) : values }];
    }
  }
  for (const [type, names] of Object.entries(rounded)) {
    if (names.length > 0) warn(`Stored as ${type} what is not compressed: ${names.join(", ")}`);
  }
}

/** Writes all tensors' bytes one after another. @returns the safetensors header for them */
async function writeData(
  path: string,
  content: PackedContent,
  formats: readonly LayerFormat[],
): Promise<Uint8Array> {
  const entries: Record<string, unknown> = {};
  const records: Record<string, JsonRecord> = {};
  const hash = createHash("sha256");
  const file = await open(path, "w");
  let end = 0;
  const append = async (name: string, { dtype, shape, data }: Tensor) => {
    if (Object.hasOwn(entries, name)) throw new RangeError(`Cannot write two tensors of one name: "${name}"`);
    const begin = end;
    for (let done = 0; done < data.byteLength;) {
      const chunk = new Uint8Array(data.buffer, data.byteOffset + done, Math.min(CHUNK, data.byteLength - done));
      const { bytesWritten } = await file.write(chunk);
      hash.update(chunk.subarray(0, bytesWritten));
      done += bytesWritten;
    }
    end += data.byteLength;
    entries[name] = { dtype, shape, data_offsets: [begin, end] };
  };
  try {
    for await (const [name, layer] of content.layers) {
      records[name] = toRecord(layer);
      const { planes } = formatOf(layer.format, formats);
      const stray = Object.keys(layer.tensors).find((plane) => !planes.includes(plane));
      if (stray !== undefined) {
        throw new RangeError(
          `Cannot write tensor "${stray}" of layer "${name}" as format ${layer.format} has ${planes.join(", ")}`,
        );
      }
      for (const plane of planes) {
        const tensor = layer.tensors[plane];
        if (tensor !== undefined) await append(`${name}.${plane}`, tensor);
      }
    }
    for await (const [name, tensor] of content.others) await append(name, tensor);
  } finally {
    await file.close();
  }
  entries.__metadata__ = {
    format: "pbs2p",
    version: `${PACKED_VERSION}`,
    layers: JSON.stringify(records),
    source: JSON.stringify(content.source),
    data_sha256: hash.digest("hex"),
  };
  const json = new TextEncoder().encode(JSON.stringify(entries));
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

/** Header, then data; flushed to the disk. */
async function joinFiles(
  path: string,
  header: Uint8Array,
  data: string,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  const from = await open(data, "r");
  const to = await open(path, "w");
  let bytes = 0;
  const append = async (chunk: Uint8Array) => {
    hash.update(chunk);
    for (let done = 0; done < chunk.length;) done += (await to.write(chunk, done)).bytesWritten;
    bytes += chunk.length;
  };
  try {
    await append(header);
    const buffer = new Uint8Array(CHUNK);
    for (;;) {
      const { bytesRead } = await from.read(buffer, 0, CHUNK, null);
      if (bytesRead === 0) break;
      await append(buffer.subarray(0, bytesRead));
    }
    await to.sync();
  } finally {
    await from.close();
    await to.close();
  }
  return { bytes, sha256: hash.digest("hex") };
}

async function writeCompanions(folder: string, { config, tokenizer, generation }: PackedContent): Promise<void> {
  // A loader that knows nothing of this format must refuse it by name, not read what it finds.
  const marked = { ...config, quantization_config: { quant_method: "pbs2p", version: PACKED_VERSION } };
  await writeJson(join(folder, PACKED_FILES.config), marked);
  if (generation !== undefined) await writeJson(join(folder, PACKED_FILES.generation), generation);
  if (tokenizer?.kind === "files") {
    await writeJson(join(folder, PACKED_FILES.tokenizer), tokenizer.tokenizer);
    await writeJson(join(folder, PACKED_FILES.tokenizerConfig), tokenizer.config);
  } else if (tokenizer?.kind === "gguf") {
    await writeJson(join(folder, PACKED_FILES.ggufTokenizer), tokenizer.metadata);
  }
}

/** Before a number that JSON has no word for; no text of a file holds it by chance. */
const BARE = "\u0000bare ";

/** As Python writes JSON: what is not finite stands there in its own word, so that it is read back as it was. */
export async function writeJson(path: string, value: JsonObject): Promise<void> {
  const plain = (_key: string, entry: unknown) => {
    if (typeof entry === "bigint") return Number(entry);
    return typeof entry === "number" && !Number.isFinite(entry) ? BARE + entry : entry;
  };
  const text = JSON.stringify(value, plain, 1).replaceAll(/"\\u0000bare (-?Infinity|NaN)"/g, "$1");
  await writeFile(path, text + "\n");
}

/** The upper 16 bits of each value: exact for values that came from bfloat16. */
function upperHalves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) halves[i] = bits[i] >>> 16;
  return halves;
}
