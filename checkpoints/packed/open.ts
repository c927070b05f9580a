/** Opens a packed model as a checkpoint like any other: its layers decode to float32 weights. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import * as z from "zod";
import { decodeLayer, type QuantizedLayer } from "../../kernels/binary/ops.ts";
import { type ByteSource, openFile } from "../../files/byte_source.ts";
import type { Checkpoint, JsonObject, TensorInfo, TokenizerSource } from "../checkpoint.ts";
import { type FileHashes, hashFile, inMemoryHashes } from "../../files/file_hashes.ts";
import { assertFinite } from "../finite.ts";
import { identityOf, placed } from "../identity.ts";
import { InputError } from "../../files/input_error.ts";
import { type Component, COMPONENTS, LayerHeader, restoreLayer } from "./layer.ts";
import { PACKED_FILES, PACKED_VERSION } from "./write.ts";
import { type Header, parseHeader, readTensor, type Tensor, toFloat32 } from "../../files/safetensors.ts";

/** A packed model that is open for reading. */
export interface PackedCheckpoint extends Checkpoint {
  readonly format: "packed";
  /** Compressed layers by name, without `.weight`. */
  readonly layers: ReadonlyMap<string, LayerHeader>;
  /** What was compressed, as written. */
  readonly source: JsonObject;
  /**
   * A layer's codes and scales.
   * @throws {InputError} when there is no such layer or its tensors are corrupt
   */
  layer(name: string): Promise<QuantizedLayer>;
  /** Stored bytes of one component of a layer; 0 where it needs none. */
  componentBytes(name: string, component: Component): number;
  /** One component of a layer as it is stored; undefined where it needs none. */
  component(name: string, component: Component): Promise<Tensor | undefined>;
  /** Bytes before the tensors: names, shapes and layer headers. */
  readonly headerBytes: number;
  /**
   * Hashes all tensors and compares with what was written.
   * @throws {InputError} when a byte has changed
   */
  verify(): Promise<void>;
}

const Metadata = z.object({ format: z.literal("pbs2p"), version: z.string(), layers: z.string(), source: z.string() });
const Layers = z.record(z.string(), LayerHeader);
const Json = z.record(z.string(), z.unknown());

/** Bytes hashed at once. */
const CHUNK = 1 << 24;

/**
 * Opens a packed model; reads its header only.
 *
 * @param folder as `writePackedModel` left it
 * @param options `hashes`: memo of the file's hash
 * @throws {InputError} when a file is missing, truncated or malformed, or of a version this program does not know
 */
export async function openPacked(
  folder: string,
  { hashes = inMemoryHashes() }: { readonly hashes?: FileHashes } = {},
): Promise<PackedCheckpoint> {
  const path = join(folder, PACKED_FILES.weights);
  const source = await openFile(path);
  try {
    const header = await parseHeader(source);
    const config = await readJson(join(folder, PACKED_FILES.config));
    const sha256 = () => hashFile(path, hashes);
    const described = { config, tokenizer: await readTokenizer(folder), label: basename(resolve(folder)), sha256 };
    return makeCheckpoint(source, header, described);
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Described {
  readonly config: JsonObject;
  readonly tokenizer: TokenizerSource | undefined;
  readonly label: string;
  sha256(): Promise<string>;
}

function makeCheckpoint(
  source: ByteSource,
  header: Header,
  { config, tokenizer, label, sha256 }: Described,
): PackedCheckpoint {
  const { layers, origin } = readMetadata(source, header);
  const tensors = describeTensors(source, header, layers);
  const readComponent = async (name: string, component: Component) => {
    const full = `${name}.${component}`;
    return header.tensors.has(full) ? await readTensor(source, header, full) : undefined;
  };
  const readLayer = async (name: string) => {
    const layer = layers.get(name);
    if (layer === undefined) throw new InputError(`Cannot read layer "${name}" of ${label}: it is not a packed layer`);
    const components: Partial<Record<Component, Tensor>> = {};
    for (const component of COMPONENTS) components[component] = await readComponent(name, component);
    try {
      return restoreLayer({ header: layer, tensors: components });
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new InputError(`Cannot read layer "${name}" of ${label}: ${cause.message}`, { cause });
    }
  };
  const file = { source, sha256 };
  const places = new Map([...tensors].map(([name, info]) => [name, { info, file }]));
  return {
    format: "packed",
    label,
    config,
    tensors,
    tokenizer,
    bytes: source.size,
    local: true,
    layers,
    source: origin,
    layer: readLayer,
    component: readComponent,
    headerBytes: header.dataBegin,
    componentBytes(name, component) {
      const entry = header.tensors.get(`${name}.${component}`);
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
        ? toFloat32(await readTensor(source, header, name))
        : decodeLayer(await readLayer(layer));
      return assertFinite(values, name, label);
    },
    close: () => void source.close(),
  };
}

function readMetadata(
  { label }: ByteSource,
  { metadata }: Header,
): { readonly layers: ReadonlyMap<string, LayerHeader>; readonly origin: JsonObject } {
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
  try {
    return {
      layers: new Map(Object.entries(Layers.parse(JSON.parse(layers)))),
      origin: Json.parse(JSON.parse(source)),
    };
  } catch (cause) {
    throw new InputError(`Cannot open ${label}: the list of packed layers is malformed`, { cause });
  }
}

/** Every tensor under its Hugging Face name: packed layers as one weight each, the others as they are. */
function describeTensors(
  { label }: ByteSource,
  header: Header,
  layers: ReadonlyMap<string, LayerHeader>,
): ReadonlyMap<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const components = new Set<string>();
  for (const [layer, { rows, cols }] of layers) {
    let bytes = 0;
    for (const component of COMPONENTS) {
      const full = `${layer}.${component}`;
      const entry = header.tensors.get(full);
      if (entry !== undefined) bytes += entry.end - entry.begin;
      components.add(full);
    }
    if (!header.tensors.has(`${layer}.scales`)) {
      throw new InputError(`Cannot open ${label}: packed layer "${layer}" has no tensor "${layer}.scales"`);
    }
    const name = `${layer}.weight`;
    tensors.set(name, { name, dtype: "PBS2P", shape: [rows, cols], bytes });
  }
  for (const [name, { dtype, shape, begin, end }] of header.tensors) {
    if (components.has(name)) continue;
    if (tensors.has(name)) throw new InputError(`Cannot open ${label}: "${name}" is there packed and unpacked`);
    tensors.set(name, { name, dtype, shape, bytes: end - begin });
  }
  return tensors;
}

function packedName(name: string, layers: ReadonlyMap<string, LayerHeader>): string | undefined {
  const layer = name.endsWith(".weight") ? name.slice(0, -".weight".length) : "";
  return layers.has(layer) ? layer : undefined;
}

async function readTokenizer(folder: string): Promise<TokenizerSource | undefined> {
  const optional = (file: string) =>
    readJson(join(folder, file)).catch((error) => {
      if (error instanceof InputError && isMissing(error.cause)) return undefined;
      throw error;
    });
  const tokenizer = await optional(PACKED_FILES.tokenizer);
  if (tokenizer !== undefined) {
    return { kind: "files", tokenizer, config: await optional(PACKED_FILES.tokenizerConfig) ?? {} };
  }
  const metadata = await optional(PACKED_FILES.ggufTokenizer);
  return metadata === undefined ? undefined : { kind: "gguf", metadata };
}

async function readJson(path: string): Promise<JsonObject> {
  try {
    return Json.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    const why = isMissing(cause) ? "there is no such file" : "it is not a JSON object";
    throw new InputError(`Cannot read ${path}: ${why}`, { cause });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
