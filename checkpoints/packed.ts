/** Opens a packed model as a checkpoint like any other: its layers decode to float32 weights. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import * as z from "zod";
import { decodeLayer } from "../kernels/decode.ts";
import type { QuantizedLayer } from "../kernels/quantized_layer.ts";
import { type ByteSource, openFile } from "./byte_source.ts";
import type { Checkpoint, JsonObject, TensorInfo, TokenizerSource } from "./checkpoint.ts";
import { InputError } from "./input_error.ts";
import { type Component, COMPONENTS, LayerHeader, restoreLayer } from "./packed_layer.ts";
import { PACKED_FILES, PACKED_VERSION } from "./packed_writer.ts";
import { type Header, parseHeader, readTensor, type Tensor, toFloat32 } from "./safetensors.ts";

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

const Metadata = z.object({ format: z.string(), version: z.string(), layers: z.string(), data_sha256: z.string() });
const Layers = z.record(z.string(), LayerHeader);
const Json = z.record(z.string(), z.unknown());

/** Bytes hashed at once. */
const CHUNK = 1 << 24;

/**
 * Opens a packed model; reads its header only.
 *
 * @param folder as `writePackedModel` left it
 * @throws {InputError} when a file is missing, truncated or malformed, or of a version this program does not know
 */
export async function openPacked(folder: string): Promise<PackedCheckpoint> {
  const source = await openFile(join(folder, PACKED_FILES.weights));
  try {
    const header = await parseHeader(source);
    const config = await readJson(join(folder, PACKED_FILES.config));
    return makeCheckpoint(source, header, config, await readTokenizer(folder), basename(folder));
  } catch (error) {
    await source.close();
    throw error;
  }
}

function makeCheckpoint(
  source: ByteSource,
  header: Header,
  config: JsonObject,
  tokenizer: TokenizerSource | undefined,
  label: string,
): PackedCheckpoint {
  const layers = readLayers(source, header);
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
  const hashData = async (begin: number) => {
    const hash = createHash("sha256");
    for (let at = begin; at < source.size; at += CHUNK) {
      hash.update(await source.read(at, Math.min(at + CHUNK, source.size)));
    }
    return hash.digest("hex");
  };
  let fileHash: Promise<string> | undefined;
  return {
    format: "packed",
    label,
    config,
    tensors,
    tokenizer,
    bytes: source.size,
    local: true,
    layers,
    source: Json.parse(JSON.parse(header.metadata.source ?? "{}")),
    layer: readLayer,
    component: readComponent,
    headerBytes: header.dataBegin,
    componentBytes(name, component) {
      const entry = header.tensors.get(`${name}.${component}`);
      return entry === undefined ? 0 : entry.end - entry.begin;
    },
    async verify() {
      if (await hashData(header.dataBegin) !== header.metadata.data_sha256) {
        throw new InputError(`Cannot trust ${label}: its tensors are not the ones that were written; pack it again`);
      }
    },
    async identity(names) {
      fileHash ??= hashData(0);
      return createHash("sha256").update(JSON.stringify([await fileHash, ...names])).digest("hex");
    },
    async read(name) {
      const info = tensors.get(name);
      if (info === undefined) throw new RangeError(`Cannot read tensor "${name}" of ${label}: there is no such tensor`);
      const layer = packedName(name, layers);
      const values = layer === undefined
        ? toFloat32(await readTensor(source, header, name))
        : decodeLayer(await readLayer(layer));
      const broken = values.findIndex((value) => !Number.isFinite(value));
      if (broken >= 0) {
        throw new RangeError(`Cannot read tensor "${name}" of ${label}: value ${broken} is ${values[broken]}`);
      }
      return values;
    },
    close: () => void source.close(),
  };
}

function readLayers({ label }: ByteSource, { metadata }: Header): ReadonlyMap<string, LayerHeader> {
  const parsed = Metadata.safeParse(metadata);
  if (!parsed.success || parsed.data.format !== "pbs2p") {
    throw new InputError(`Cannot open ${label} as a packed model: its metadata do not say format "pbs2p"`);
  }
  if (parsed.data.version !== `${PACKED_VERSION}`) {
    throw new InputError(
      `Cannot open ${label}: version must be ${PACKED_VERSION}: current value is ${parsed.data.version}; use a newer pbs2p`,
    );
  }
  try {
    return new Map(Object.entries(Layers.parse(JSON.parse(parsed.data.layers))));
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
