/** A model stored as safetensors or as PyTorch state dicts: one file, or shards with an index. */
import type { ByteSource } from "../files/byte_source.ts";
import type { Checkpoint, JsonObject, TensorInfo, TokenizerSource } from "./checkpoint.ts";
import { assertFinite } from "./finite.ts";
import { identityOf, infos, type Placed, placed, sameTensors } from "./identity.ts";
import { InputError } from "../files/input_error.ts";
import { inPlace, type ModelFiles, readJson, type WeightFile } from "./model_files.ts";
import { parseStateDict, readTorchTensor, torchBytes, torchSpan } from "./pytorch.ts";
import type { Span } from "./same_bytes.ts";
import { requireFloats } from "./weight_types.ts";
import { parseHeader, readTensor, type Tensor, toFloat32 } from "../files/safetensors.ts";
import { isObject } from "../files/json.ts";
import { quote } from "../files/what_is_it.ts";

/** A tensor whose place in its file is known. */
interface StoredTensor {
  readonly info: TensorInfo;
  load(): Promise<Tensor>;
  /** Where its bytes lie, in the shape's order. */
  span(): Promise<Span>;
}

/** A kind of weight files. A sharded model has an index named after the single file of one that is not. */
interface Kind {
  readonly format: "safetensors" | "pytorch";
  readonly single: string;
  /** Reads what the file says about its tensors, not their values. */
  parse(source: ByteSource): Promise<StoredTensor[]>;
}

/** In the order in which they are looked for. */
const KINDS: readonly Kind[] = [
  { format: "safetensors", single: "model.safetensors", parse: parseSafetensors },
  { format: "pytorch", single: "pytorch_model.bin", parse: parsePytorch },
];

type PlacedTensor = Placed & StoredTensor;

/** Where a model's weights are. */
export interface Located {
  readonly kind: Kind;
  /** Files. */
  readonly names: readonly string[];
  /** The file of each tensor, for a sharded model. */
  readonly shardOf?: ReadonlyMap<string, string>;
}

/** What `openSharded` cannot know from the weight files. */
export interface ModelParts {
  readonly label: string;
  readonly config: JsonObject;
  readonly tokenizer: TokenizerSource | undefined;
  /** generation_config.json. */
  readonly generation: JsonObject | undefined;
  /** Whether the weights' bytes are here, not only their headers. */
  readonly local: boolean;
}

/**
 * The weight files of a model: its single file, or the shards that its index names. Where a model has both it is the single file, and
 * where it has safetensors and PyTorch files it is the safetensors, as with transformers.
 *
 * @param warn told when shards are left aside
 * @throws {InputError} when there are none, when a shard is missing, or when the index is malformed
 */
export async function locateWeights(files: ModelFiles, warn?: (message: string) => void): Promise<Located> {
  for (const kind of KINDS) {
    const index = `${kind.single}.index.json`;
    if (files.names.has(kind.single)) {
      if (files.names.has(index)) {
        warn?.(
          `${files.label} has ${kind.single} and ${index}: the single file is read, as transformers does; ` +
            "remove it if the shards are meant",
        );
      }
      return { kind, names: [kind.single] };
    }
    if (!files.names.has(index)) continue;
    const shardOf = await readIndex(files, index);
    return { kind, names: [...new Set(shardOf.values())].sort(), shardOf };
  }
  throw new InputError(`Cannot open model ${files.label}: ${whyNoWeights(files.names)}`);
}

/**
 * Opens a model from its weight files; only what they say about their tensors is read.
 *
 * @param located from `locateWeights` of the same files
 * @throws {InputError} when weights are missing, truncated or malformed
 */
export async function openSharded(
  files: ModelFiles,
  { kind, names, shardOf }: Located,
  parts: ModelParts,
): Promise<Checkpoint> {
  const opened: WeightFile[] = [];
  const close = () => opened.forEach(({ source }) => source.close());
  try {
    const tensors = new Map<string, PlacedTensor>();
    for (const shard of names) {
      const file = await files.open(shard);
      opened.push(file);
      for (const tensor of await kind.parse(file.source)) {
        const { name } = tensor.info;
        if (shardOf === undefined || shardOf.get(name) === shard) tensors.set(name, { ...tensor, file });
      }
    }
    for (const [name, shard] of shardOf ?? []) {
      if (tensors.has(name)) continue;
      throw new InputError(
        `Cannot open model ${files.label}: its index names ${
          quote(name)
        }, which ${shard} does not hold; download both again`,
      );
    }
    const bytes = opened.reduce((sum, { source }) => sum + source.size, 0);
    return {
      format: kind.format,
      ...parts,
      tensors: infos(tensors),
      bytes,
      identity: (wanted) => identityOf(parts.label, tensors, wanted),
      read: (name) => readWeights(parts, tensors, name),
      same: (...names) =>
        sameTensors(parts.label, tensors, names, { span: (tensor) => tensor.span(), local: parts.local }),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Shards may lie in sub-folders, as transformers reads them too, but nowhere else. */
async function readIndex(files: ModelFiles, index: string): Promise<ReadonlyMap<string, string>> {
  const { weight_map: map } = await readJson(files, index);
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new InputError(`Cannot read ${index} of ${files.label}: weight_map is not an object with entries`);
  }
  const present = new Map<string, boolean>();
  const shardOf = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    const says = `Cannot open model ${files.label}: ${index} says that ${quote(tensor)} lies in `;
    if (typeof file !== "string") {
      throw new InputError(`${says}${quote(`${JSON.stringify(file)}`)}, which is no file's name; download it again`);
    }
    const path = inPlace(file);
    if (path === undefined) {
      throw new InputError(`${says}${quote(file)}, which is outside of the model's folder; move the shards into it`);
    }
    if (!present.has(path)) present.set(path, await files.has(path));
    if (!present.get(path)) {
      const why = await files.open(path).then(({ source }) => source.close(), (error: Error) => ` (${error.message})`);
      throw new InputError(`${says}${quote(file)}, which is missing${why ?? ""}; download it again`);
    }
    shardOf.set(tensor, path);
  }
  return shardOf;
}

async function parseSafetensors(source: ByteSource): Promise<StoredTensor[]> {
  const header = await parseHeader(source);
  return [...header.tensors].map(([name, { dtype, shape, begin, end }]) => ({
    info: { name, dtype, shape, bytes: end - begin },
    load: () => readTensor(source, header, name),
    span: () => Promise.resolve({ source, begin, end }),
  }));
}

async function parsePytorch(source: ByteSource): Promise<StoredTensor[]> {
  return [...await parseStateDict(source)].map(([name, tensor]) => ({
    info: { name, dtype: tensor.dtype, shape: tensor.shape, bytes: torchBytes(tensor) },
    load: () => readTorchTensor(source, tensor),
    span: () => torchSpan(source, tensor),
  }));
}

async function readWeights(
  { label, local }: ModelParts,
  tensors: ReadonlyMap<string, PlacedTensor>,
  name: string,
): Promise<Float32Array> {
  const { info, file: { source }, load } = placed(label, tensors, name);
  if (!local) throw new InputError(`Cannot read tensor "${name}" of ${label}: it was opened for planning only`);
  requireFloats(info, source.label);
  return assertFinite(toFloat32(await load()), name, source.label);
}

function whyNoWeights(names: ReadonlySet<string>): string {
  const wanted = KINDS.map(({ single }) => single).join(" nor ");
  const gguf = [...names].find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) return `it has neither ${wanted}: found ${gguf}; name that file itself to use it`;
  return `it has neither ${wanted}, whole or in shards with an index`;
}
