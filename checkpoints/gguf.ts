/** A model stored as GGUF, read in Hugging Face's names and layout, as its family's `GgufLayout` says. */
import type { Checkpoint, JsonObject, TokenizerSource } from "./checkpoint.ts";
import { assertFinite } from "./finite.ts";
import { metadataNumber } from "./gguf_config.ts";
import { type GgufEntry, parseGguf } from "./gguf_header.ts";
import { type GgufLayout, huggingFaceName, layoutOf } from "./gguf_layout.ts";
import { identityOf, infos, type Placed, placed, sameTensors } from "./identity.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import type { WeightFile } from "./model_files.ts";

/** What may come from elsewhere instead of the file's metadata. */
export interface GgufParts {
  readonly label: string;
  /** The families whose files can be read. */
  readonly layouts: readonly GgufLayout[];
  /** config.json of the original model. */
  readonly config?: JsonObject;
  readonly tokenizer?: TokenizerSource;
  /** generation_config.json of the original model. */
  readonly generation?: JsonObject;
  /** Whether the weights' bytes are here, not only their header. */
  readonly local: boolean;
}

interface Stored extends Placed {
  readonly entry: GgufEntry;
  /** Heads whose rows are interleaved; 0 where rows lie in Hugging Face's order. */
  readonly heads: number;
}

const ROPE_FACTORS = "rope_freqs.weight";
/** Rotary tables that converters of 2023 kept; they are computed anew, and whoever fits the model leaves them out by this name. */
const ROTARY_TABLE = /^blk\.\d+\.attn_rot_embd\.weight$/;
/** llama.cpp's names of what an adapter adds to a tensor. */
const ADAPTER = /\.lora_[ab]$/;

/**
 * Puts the rows of q or k back into Hugging Face's order: within each head, llama.cpp stores the two halves of the rotary
 * dimensions interleaved (row 2j + p here is row p·d/2 + j there).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...undoRotaryPermutation(new Float32Array([0, 1, 2, 3]), 4, 1)], [0, 2, 1, 3]);
 * ```
 * @param values [rows, cols], rows = heads × d
 * @returns a copy in the other order
 */
export function undoRotaryPermutation(values: Float32Array, rows: number, heads: number): Float32Array {
  const cols = values.length / rows;
  const half = rows / heads / 2;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % (2 * half);
    const to = row - within + (within & 1) * half + (within >> 1);
    out.set(values.subarray(row * cols, (row + 1) * cols), to * cols);
  }
  return out;
}

/**
 * Puts the rows of q or k into llama.cpp's order; what `undoRotaryPermutation` undoes.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const values = Float32Array.from({ length: 24 }, (_, i) => i), stored = rotaryPermutation(values, 12, 2);
 * assert.deepEqual(undoRotaryPermutation(stored, 12, 2), values);
 * ```
 * @param values [rows, cols], rows = heads × d
 * @returns a copy in the other order
 */
export function rotaryPermutation(values: Float32Array, rows: number, heads: number): Float32Array {
  const cols = values.length / rows;
  const half = rows / heads / 2;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % (2 * half);
    const from = row - within + (within & 1) * half + (within >> 1);
    out.set(values.subarray(from * cols, (from + 1) * cols), row * cols);
  }
  return out;
}

/**
 * Opens a model stored as GGUF; only headers are read.
 *
 * @param files the file, or the shards of one model in their order; closed with the checkpoint, or when this throws
 * @throws {InputError} when a file is truncated or malformed, or its architecture is not supported
 */
export async function openGguf(files: readonly WeightFile[], parts: GgufParts): Promise<Checkpoint> {
  const close = () => files.forEach(({ source }) => source.close());
  try {
    const headers = await Promise.all(files.map(({ source }) => parseGguf(source)));
    const { metadata } = headers[0];
    const { label } = parts;
    const layout = layoutOf(label, metadata, parts.layouts);
    const stored = new Map<string, Stored>();
    let ropeFactors: Float32Array | undefined;
    for (const [index, { tensors }] of headers.entries()) {
      const file = files[index];
      for (const entry of tensors) {
        if (entry.name === ROPE_FACTORS) ropeFactors = await readEntry(file, entry);
        else store(stored, { label, metadata, layout }, file, entry);
      }
    }
    checkShards(label, metadata, files.length);
    const tensors = infos(stored);
    const config = parts.config ?? layout.config({ label, metadata, tensors, ropeFactors });
    return {
      format: "gguf",
      label,
      config,
      tensors,
      tokenizer: parts.tokenizer ?? tokenizerOf(metadata),
      generation: parts.generation ?? endsOf(label, metadata),
      bytes: files.reduce((sum, { source }) => sum + source.size, 0),
      local: parts.local,
      identity: (names) => identityOf(label, stored, names),
      async read(name) {
        const { file, entry, info, heads } = placed(label, stored, name);
        if (!parts.local) {
          throw new InputError(`Cannot read tensor "${name}" of ${label}: it was opened for planning only`);
        }
        const values = assertFinite(await readEntry(file, entry), name, file.source.label);
        return heads === 0 ? values : undoRotaryPermutation(values, info.shape[0], heads);
      },
      same: (...names) => {
        const span = ({ file: { source }, entry: { begin, end } }: Stored) => Promise.resolve({ source, begin, end });
        return sameTensors(label, stored, names, { span, local: parts.local });
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function store(
  stored: Map<string, Stored>,
  { label, metadata, layout }: {
    readonly label: string;
    readonly metadata: JsonObject;
    readonly layout: GgufLayout;
  },
  file: WeightFile,
  entry: GgufEntry,
): void {
  const { architecture } = layout;
  if (ADAPTER.test(entry.name)) {
    throw new InputError(
      `Cannot open ${label}: it is an adapter (tensor "${entry.name}"), not a model; merge it into its model ` +
        "(llama.cpp: `llama-export-lora`) and give the merged file",
    );
  }
  const found = huggingFaceName(layout, entry.name) ??
    (ROTARY_TABLE.test(entry.name) ? { name: entry.name, interleaved: undefined } : undefined);
  if (found === undefined) {
    throw new InputError(
      `Cannot open ${label}: tensor "${entry.name}" is not part of a model of architecture ${architecture}`,
    );
  }
  const { name, interleaved } = found;
  const { shape, begin, end, type } = entry;
  const heads = interleaved === undefined ? 0 : headsOf(label, metadata, `${architecture}.${interleaved}`);
  if (heads !== 0 && shape[0] % (2 * heads) !== 0) {
    throw new InputError(`Cannot open ${label}: ${shape[0]} rows of "${entry.name}" do not divide into ${heads} heads`);
  }
  stored.set(name, { info: { name, dtype: type.name, shape, bytes: end - begin }, file, entry, heads });
}

async function readEntry({ source }: WeightFile, { type, begin, end }: GgufEntry): Promise<Float32Array> {
  return type.dequantize(await source.read(begin, end));
}

/** A number of heads; that of keys is the queries' where the file does not say. */
function headsOf(label: string, metadata: JsonObject, key: string): number {
  const queries = key.replace(/_kv$/, "");
  return metadataNumber(label, metadata, key in metadata ? key : queries);
}

function checkShards(label: string, metadata: JsonObject, shards: number): void {
  const expected = metadataNumber(label, metadata, "split.count", 1);
  if (expected <= 1 || expected === shards) return;
  throw new InputError(`Cannot open ${label}: the model has ${expected} shards: found ${shards}`);
}

/** All ids that end a text or a turn, as a generation_config.json would name them. */
function endsOf(label: string, metadata: JsonObject): JsonObject | undefined {
  const named = ["eos", "eot", "eom"].map((name) => metadata[`tokenizer.ggml.${name}_token_id`]);
  const ids = [
    ...new Set(named.filter((id) => id !== undefined).map((id) => typeof id === "bigint" ? Number(id) : id)),
  ];
  if (ids.length === 0) return undefined;
  const stray = ids.find((id) => !Number.isSafeInteger(id) || Number(id) < 0);
  if (stray === undefined) return { eos_token_id: ids };
  throw new InputError(
    `Cannot open ${label}: tokenizer.ggml.eos_token_id, eot_token_id and eom_token_id must be token ids: ` +
      `${found(stray)}`,
  );
}

function tokenizerOf(metadata: JsonObject): TokenizerSource | undefined {
  const entries = Object.entries(metadata).filter(([key]) => key.startsWith("tokenizer."));
  return entries.length === 0 ? undefined : { kind: "gguf", metadata: Object.fromEntries(entries) };
}
