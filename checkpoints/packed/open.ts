/** Opens a packed model as a checkpoint like any other: its layers decode to float32 weights. */
import { createHash } from "node:crypto";
import { lstat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import * as z from "zod";
import type { ByteSource } from "../../files/byte_source.ts";
import type { Checkpoint, JsonObject, TensorInfo, TokenizerSource } from "../checkpoint.ts";
import { type FileHashes, inMemoryHashes } from "../../files/file_hashes.ts";
import { openHashed } from "../../files/hashed_file.ts";
import { assertFinite } from "../finite.ts";
import { identityOf, placed, sameTensors } from "../identity.ts";
import { found } from "../../files/clear_text.ts";
import { InputError } from "../../files/input_error.ts";
import { checkGeneration } from "../model_files.ts";
import type { EncodedLayer, LayerContent, LayerFormat, LayerHeader } from "./format.ts";
import { formatOf, type FormatOptions, FORMATS, fromRecord } from "./formats.ts";
import { PACKED_FILES, PACKED_VERSION } from "./write.ts";
import { parseJson } from "../../files/json_text.ts";
import { type Header, parseHeader, readTensor, type Tensor, toFloat32 } from "../../files/safetensors.ts";
import { parseJsonObject, readTextFile } from "../../files/text_file.ts";
import { quote } from "../../files/what_is_it.ts";
import { isObject } from "../../files/json.ts";

/** How a layer is packed. */
export interface PackedLayer {
  readonly format: LayerFormat;
  readonly header: LayerHeader;
}

/**
 * A packed model that is open for reading.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openPacked, type PackedCheckpoint } from "./open.ts";
 * import { signFormat } from "./sign_format_test_support.ts";
 * import { writePackedModel } from "./write.ts";
 *
 * const folder = await Deno.makeTempDir(), formats = [signFormat];
 * const signs = { dtype: "U8", shape: [2, 32], data: new Uint8Array(64).fill(1) } as const;
 * const scales = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const content = { format: "sign", rows: 2, cols: 32, facts: {}, arrays: { signs, scales } };
 * const layers = [["q_proj", await signFormat.pack(content, {})] as const];
 * await writePackedModel(folder, { layers, others: [], config: {}, tokenizer: undefined, source: {} }, { formats });
 *
 * const packed: PackedCheckpoint = await openPacked(folder, { formats });
 * assert.deepEqual((await packed.layer("q_proj")).arrays.scales.data, scales.data);
 * await packed.verify();
 * packed.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export interface PackedCheckpoint extends Checkpoint {
  readonly format: "packed";
  /** Compressed layers by name, without `.weight`. */
  readonly layers: ReadonlyMap<string, PackedLayer>;
  /** What was compressed, as written. */
  readonly source: JsonObject;
  /**
   * A layer, unpacked.
   * @throws {InputError} when there is no such layer or its tensors are corrupt
   */
  layer(name: string): Promise<LayerContent>;
  /** Stored bytes of one plane of a layer; 0 where it needs none. */
  planeBytes(name: string, plane: string): number;
  /** One plane of a layer as it is stored; undefined where it needs none. */
  plane(name: string, plane: string): Promise<Tensor | undefined>;
  /** Bytes before the tensors: names, shapes and layer headers. */
  readonly headerBytes: number;
  /**
   * Hashes all tensors and compares with what was written.
   * @throws {InputError} when a byte has changed
   */
  verify(): Promise<void>;
}

const Metadata = z.object({ format: z.literal("pbs2p"), version: z.string(), layers: z.string(), source: z.string() });

/** Bytes hashed at once. */
const CHUNK = 1 << 24;

/**
 * Opens a packed model; reads its header only.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openPacked } from "./open.ts";
 * import { writePackedModel } from "./write.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const norm = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const others = [["norm.weight", norm] as const];
 * await writePackedModel(folder, { layers: [], others, config: {}, tokenizer: undefined, source: {} });
 * const packed = await openPacked(folder);
 * assert.deepEqual([...await packed.read("norm.weight")], [1, 2]);
 * packed.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param folder as `writePackedModel` left it
 * @param options `hashes`: memo of the file's hash
 * @throws {InputError} when a file is missing, truncated or malformed, or of a version or format this program does not know
 */
export async function openPacked(
  folder: string,
  { hashes = inMemoryHashes(), formats = FORMATS }: FormatOptions & { readonly hashes?: FileHashes } = {},
): Promise<PackedCheckpoint> {
  const path = join(folder, PACKED_FILES.weights);
  const { source, sha256 } = await openHashed(path, hashes);
  try {
    const header = await parseHeader(source);
    const config = await readJson(join(folder, PACKED_FILES.config));
    const tokenizer = await readTokenizer(folder);
    const generation = await readOptional(folder, PACKED_FILES.generation);
    if (generation !== undefined) checkGeneration(generation, folder);
    return makeCheckpoint(source, header, {
      config,
      tokenizer,
      generation,
      label: basename(resolve(folder)),
      sha256,
      formats,
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Described {
  readonly config: JsonObject;
  readonly tokenizer: TokenizerSource | undefined;
  readonly generation: JsonObject | undefined;
  readonly label: string;
  readonly formats: readonly LayerFormat[];
  sha256(): Promise<string>;
}

function makeCheckpoint(
  source: ByteSource,
  header: Header,
  { config, tokenizer, generation, label, formats, sha256 }: Described,
): PackedCheckpoint {
  const { layers, origin } = readMetadata(source, header, formats);
  const tensors = describeTensors(source, header, layers);
  const readPlane = async (name: string, plane: string) => {
    const full = `${name}.${plane}`;
    return header.tensors.has(full) ? await readTensor(source, header, full) : undefined;
  };
  const readLayer = async <R>(
    name: string,
    use: (format: LayerFormat, encoded: EncodedLayer) => R | Promise<R>,
  ): Promise<R> => {
    const layer = layers.get(name);
    if (layer === undefined) throw new InputError(`Cannot read layer "${name}" of ${label}: it is not a packed layer`);
    const { format } = layer;
    const planes: Record<string, Tensor> = {};
    for (const plane of format.planes) {
      const tensor = await readPlane(name, plane);
      if (tensor !== undefined) planes[plane] = tensor;
    }
    try {
      return await use(format, { format: format.name, header: layer.header, tensors: planes });
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new InputError(`Cannot read layer "${name}" of ${label}: ${cause.message}`, { cause });
    }
  };
  const floats = (tensor: Tensor, name: string) => {
    if (["F32", "F16", "BF16", "F64"].includes(tensor.dtype)) return toFloat32(tensor);
    throw new InputError(`Cannot read tensor ${quote(name)} of ${label} as weights: its values are ${tensor.dtype}`);
  };
  const file = { source, sha256 };
  const places = new Map([...tensors].map(([name, info]) => [name, { info, file }]));
  return {
    format: "packed",
    label,
    config,
    tensors,
    tokenizer,
    generation,
    bytes: source.size,
    local: true,
    layers,
    source: origin,
    layer: (name) => readLayer(name, (format, encoded) => finite(format.unpack(encoded), name, label)),
    plane: readPlane,
    headerBytes: header.dataBegin,
    planeBytes(name, plane) {
      const entry = header.tensors.get(`${name}.${plane}`);
      return entry === undefined ? 0 : entry.end - entry.begin;
    },
    async verify() {
      const hash = createHash("sha256");
      for (let at = header.dataBegin; at < source.size; at += CHUNK) {
        hash.update(await source.read(at, Math.min(at + CHUNK, source.size)));
      }
      if (hash.digest("hex") !== header.metadata.data_sha256) {
        throw new InputError(`Cannot trust ${label}: its tensors are not the ones that were written; pack it again`);
      }
    },
    identity: (names) => identityOf(label, places, names),
    async read(name) {
      placed(label, tensors, name);
      const layer = packedName(name, layers);
      const values = layer === undefined
        ? floats(await readTensor(source, header, name), name)
        : await readLayer(layer, (format, encoded) => format.decode(encoded));
      return assertFinite(values, name, label);
    },
    same: (...names) => {
      const span = ({ info: { name } }: { readonly info: TensorInfo }) => {
        const entry = header.tensors.get(name);
        if (entry === undefined) {
          throw new InputError(`Cannot compare tensor "${name}" of ${label}: it is a packed layer`);
        }
        return Promise.resolve({ source, begin: entry.begin, end: entry.end });
      };
      return sameTensors(label, places, names, { span, local: true });
    },
    close: () => void source.close(),
  };
}

function readMetadata(
  { label }: ByteSource,
  { metadata }: Header,
  formats: readonly LayerFormat[],
): { readonly layers: ReadonlyMap<string, PackedLayer>; readonly origin: JsonObject } {
  const parsed = Metadata.safeParse(metadata);
  if (!parsed.success) {
    throw new InputError(`Cannot open ${label} as a packed model: its metadata are not those of format "pbs2p"`);
  }
  const { version, layers, source } = parsed.data;
  if (version !== `${PACKED_VERSION}`) {
    throw new InputError(
      `Cannot open ${label}: version must be ${PACKED_VERSION}: current value is ${version}; use a newer pbs2p`,
    );
  }
  const fail = (what: string) => (why: string): never => {
    throw new InputError(`Cannot open ${label}: ${what}: ${why}; pack it again`);
  };
  const records = parseJson(layers, fail("the list of packed layers is malformed"));
  const origin = parseJson(source, fail("its source is malformed"));
  if (!isObject(records)) return fail("the list of packed layers is malformed")("it is not an object");
  if (!isObject(origin)) return fail("its source is malformed")("it is not an object");
  const read = Object.entries(records).map(([name, record]): [string, PackedLayer] => {
    const broken = fail(`the list of packed layers is malformed at ${quote(name)}`);
    if (!isObject(record)) return broken("it is not an object");
    try {
      const { format, header } = fromRecord(record, formats);
      return [name, { format: formatOf(format, formats), header }];
    } catch (cause) {
      if (cause instanceof InputError) throw new InputError(`Cannot open ${label}: ${cause.message}`, { cause });
      if (cause instanceof z.ZodError) return broken(issueOf(cause, record));
      throw cause;
    }
  });
  return { layers: new Map(read), origin };
}

/** The first of what a header's checks found, with the value that is there. */
function issueOf({ issues: [{ path, message, code }] }: z.ZodError, record: JsonObject): string {
  const [key] = path;
  // A check of ours that concerns several values speaks for itself; the words of a library do not.
  if (key === undefined) return code === "custom" ? message : "it has values that no such layer has";
  return `${String(key)} is none that such a layer can have: ${found(record[String(key)])}`;
}

/** Every tensor under its Hugging Face name: packed layers as one weight each, the others as they are. */
function describeTensors(
  { label }: ByteSource,
  header: Header,
  layers: ReadonlyMap<string, PackedLayer>,
): ReadonlyMap<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const planes = new Set<string>();
  for (const [layer, { format, header: { rows, cols } }] of layers) {
    let bytes = 0;
    for (const plane of format.planes) {
      const full = `${layer}.${plane}`;
      const entry = header.tensors.get(full);
      if (entry !== undefined) bytes += entry.end - entry.begin;
      planes.add(full);
    }
    const missing = format.required.find((plane) => !header.tensors.has(`${layer}.${plane}`));
    if (missing !== undefined) {
      throw new InputError(`Cannot open ${label}: packed layer "${layer}" has no tensor "${layer}.${missing}"`);
    }
    const name = `${layer}.weight`;
    tensors.set(name, { name, dtype: "PBS2P", shape: [rows, cols], bytes });
  }
  for (const [name, { dtype, shape, begin, end }] of header.tensors) {
    if (planes.has(name)) continue;
    if (tensors.has(name)) throw new InputError(`Cannot open ${label}: "${name}" is there packed and unpacked`);
    tensors.set(name, { name, dtype, shape, bytes: end - begin });
  }
  return tensors;
}

/** A layer whose numbers are numbers: its bytes may be anything. */
function finite(layer: LayerContent, name: string, label: string): LayerContent {
  for (const [array, { data }] of Object.entries(layer.arrays)) {
    if (data instanceof Float32Array) assertFinite(data, `${name}.${array}`, label);
  }
  return layer;
}

function packedName(name: string, layers: ReadonlyMap<string, PackedLayer>): string | undefined {
  const layer = name.endsWith(".weight") ? name.slice(0, -".weight".length) : "";
  return layers.has(layer) ? layer : undefined;
}

async function readTokenizer(folder: string): Promise<TokenizerSource | undefined> {
  const optional = (file: string) => readOptional(folder, file);
  const tokenizer = await optional(PACKED_FILES.tokenizer);
  if (tokenizer !== undefined) {
    return { kind: "files", tokenizer, config: await optional(PACKED_FILES.tokenizerConfig) ?? {} };
  }
  const metadata = await optional(PACKED_FILES.ggufTokenizer);
  return metadata === undefined ? undefined : { kind: "gguf", metadata };
}

/** A JSON file that need not be there. A link to nothing is there, and is told. */
async function readOptional(folder: string, file: string): Promise<JsonObject | undefined> {
  const path = join(folder, file);
  return await lstat(path).then(() => true, () => false) ? await readJson(path) : undefined;
}

async function readJson(path: string): Promise<JsonObject> {
  return parseJsonObject(await readTextFile(path, { wanted: "JSON" }), path);
}
