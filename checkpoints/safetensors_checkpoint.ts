/** A model stored as safetensors: one file, or shards with an index. */
import type { Checkpoint, JsonObject, TokenizerSource } from "./checkpoint.ts";
import { assertFinite } from "./finite.ts";
import { identityOf, infos, type Placed, placed } from "./identity.ts";
import { InputError } from "./input_error.ts";
import { isObject, type ModelFiles, readJson, type WeightFile } from "./model_files.ts";
import { type Header, parseHeader, readTensor, toFloat32 } from "./safetensors.ts";

/** The single file of a model that is not sharded. */
export const SINGLE = "model.safetensors";
/** The index of a model that is. */
export const INDEX = `${SINGLE}.index.json`;

/** Types whose values are weights; others hold someone else's quantized codes. */
const FLOATS = new Set(["F32", "F16", "BF16", "F64"]);

interface Stored extends Placed {
  readonly header: Header;
}

/** What `openSafetensors` cannot know from the weight files. */
export interface SafetensorsParts {
  readonly label: string;
  readonly config: JsonObject;
  readonly tokenizer: TokenizerSource | undefined;
  /** Whether the weights' bytes are here, not only their headers. */
  readonly local: boolean;
}

/**
 * The weight files of a model: `model.safetensors`, or the shards its index names.
 *
 * @returns file names, and for a sharded model which file each tensor is in
 * @throws {InputError} when there are none, when a shard is missing, or when the index is malformed
 */
export async function locateWeights(
  files: ModelFiles,
): Promise<{ readonly names: readonly string[]; readonly shardOf?: ReadonlyMap<string, string> }> {
  if (files.names.has(SINGLE)) return { names: [SINGLE] };
  if (!files.names.has(INDEX)) throw new InputError(`Cannot open model ${files.label}: ${whyNoWeights(files.names)}`);
  const { weight_map: map } = await readJson(files, INDEX);
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new InputError(`Cannot read ${INDEX} of ${files.label}: weight_map is not an object with entries`);
  }
  const shardOf = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !files.names.has(file)) {
      throw new InputError(
        `Cannot open model ${files.label}: ${INDEX} says that "${tensor}" lies in ${
          JSON.stringify(file)
        }, which is missing`,
      );
    }
    shardOf.set(tensor, file);
  }
  return { names: [...new Set(shardOf.values())].sort(), shardOf };
}

/**
 * Opens a model stored as safetensors; only headers are read.
 *
 * @throws {InputError} when weights are missing, truncated or malformed
 */
export async function openSafetensors(files: ModelFiles, parts: SafetensorsParts): Promise<Checkpoint> {
  const { names, shardOf } = await locateWeights(files);
  const opened: WeightFile[] = [];
  const close = () => opened.forEach(({ source }) => source.close());
  try {
    const tensors = new Map<string, Stored>();
    for (const shard of names) {
      const file = await files.open(shard);
      opened.push(file);
      const header = await parseHeader(file.source);
      for (const [name, { dtype, shape, begin, end }] of header.tensors) {
        if (shardOf !== undefined && shardOf.get(name) !== shard) continue;
        tensors.set(name, { info: { name, dtype, shape, bytes: end - begin }, file, header });
      }
    }
    for (const [name, shard] of shardOf ?? []) {
      if (tensors.has(name)) continue;
      throw new InputError(`Cannot open model ${files.label}: ${INDEX} names "${name}", which ${shard} does not hold`);
    }
    const bytes = opened.reduce((sum, { source }) => sum + source.size, 0);
    return {
      format: "safetensors",
      ...parts,
      tensors: infos(tensors),
      bytes,
      identity: (wanted) => identityOf(parts.label, tensors, wanted),
      read: (name) => readWeights(parts, tensors, name),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

async function readWeights(
  { label, local }: SafetensorsParts,
  tensors: ReadonlyMap<string, Stored>,
  name: string,
): Promise<Float32Array> {
  const { info: { dtype }, file: { source }, header } = placed(label, tensors, name);
  if (!local) throw new InputError(`Cannot read tensor "${name}" of ${label}: it was opened for planning only`);
  if (!FLOATS.has(dtype)) {
    throw new InputError(
      `Cannot use tensor "${name}" of ${source.label}: weights must be F32, F16, BF16 or F64: current dtype is ${dtype}; ` +
        "give the original model, not one that is quantized already",
    );
  }
  return assertFinite(toFloat32(await readTensor(source, header, name)), name, source.label);
}

function whyNoWeights(names: ReadonlySet<string>): string {
  const all = [...names];
  const torch = all.find((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name));
  if (torch !== undefined) {
    return `weights must be safetensors or GGUF: found only ${torch}; save it with save_pretrained(…, safe_serialization=True)`;
  }
  const gguf = all.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) return `it has no ${SINGLE}: found ${gguf}; name that file itself to use it`;
  return `it has neither ${SINGLE} nor ${INDEX}`;
}
