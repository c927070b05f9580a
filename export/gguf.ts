/** A model as llama.cpp runs it: one GGUF file with weights, metadata and tokenizer. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { GGML_TYPES } from "../checkpoints/dequantize.ts";
import { rotaryPermutation } from "../checkpoints/gguf.ts";
import { GGUF_ENCODINGS, type GgufEncoding, type GgufTypeName } from "../checkpoints/gguf_encode.ts";
import { openGgufWriter } from "../checkpoints/gguf_writer.ts";
import { writeJson } from "../checkpoints/packed/write.ts";
import { InputError } from "../files/input_error.ts";
import { fitModel } from "../models/fit.ts";
import { openModel } from "../models/open_model.ts";
import type { ModelSpec } from "../models/spec.ts";
import { vocabularyTensors } from "../models/tensors.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import { compareTensors } from "./compare.ts";
import { ggufModelMetadata, isUsualScaling } from "./gguf_metadata.ts";
import { ggufNames, type GgufPlace } from "./gguf_names.ts";
import type { Exportable, Exported, ExportOptions } from "./job.ts";
import { ropeFactors } from "./rope_factors.ts";
import { staged } from "./staging.ts";

/** Types that matrices may be written in. */
export const GGUF_TYPES = ["F16", "BF16", "Q8_0", "Q1_0", "Q2_0"] as const;
export type GgufType = (typeof GGUF_TYPES)[number];

/** Types that hold a layer's codes exactly, or not at all. */
const EXACT: readonly GgufType[] = ["Q1_0", "Q2_0"];

/** Texts that a tokenizer that was written must read as the model's own does. */
const PROBES = [
  "The people of the United States, in order to form a more perfect union",
  "  two spaces\n\nand\ttabs; don't we'll 1234567890 3.14",
  "für Übermut — 你好, Привет, 🙂 naïve\u00a0x",
  "if (a != b) { return f(x)[0] += 2; }\r\n",
] as const;

/** What to do about weights that are no such codes. */
const REFUSAL = "; nothing is written that only comes near: use --type q8_0 or f16, or compress the model";

/** A tensor and how it is written. */
interface Written extends GgufPlace {
  readonly from: string;
  readonly shape: readonly number[];
  readonly encoding: GgufEncoding;
}

/** Name of the file that is written. */
export function ggufFile({ name }: Pick<Exportable, "name">, type: GgufType): string {
  const plain = name.replaceAll(/[^\w.-]+/g, "-").replace(/^[.-]+/, "").slice(0, 100);
  return `${plain === "" ? "model" : plain}-${type}.gguf`;
}

/**
 * Writes a model, one tensor at a time, and reads it again. Vectors are stored in F32; so is nothing else. Where `type` is one of codes
 * (Q1_0, Q2_0), layers of blocks have it, and embedding and head are stored in F16, or BF16 where they are packed so.
 *
 * @param type of the matrices
 * @throws {InputError} when llama.cpp has no such model or tokenizer, a value is beyond the type, or it holds the weights only by approximation
 * @throws {RangeError} when there is such a file already
 */
export function exportGguf(model: Exportable, type: GgufType, options: ExportOptions): Promise<Exported> {
  const { checkpoint, spec } = model, { to, force = false, warn = () => {}, progress, signal } = options;
  const names = ggufNames(model), file = ggufFile(model, type);
  const tensors = [...names].map(([from, place]) => describe(from, place, { checkpoint, spec, type }));
  const smaller = tensors.filter(({ encoding, shape }) =>
    type === "Q8_0" && shape.length > 1 && encoding.name === "F16"
  );
  if (smaller.length > 0) {
    warn(
      `Stored as F16, as rows of Q8_0 are blocks of 32: ${smaller[0].from}` +
        (smaller.length > 1 ? ` and ${smaller.length - 1} more` : ""),
    );
  }
  const metadata = ggufModelMetadata(model, { type, warn });
  const factors = ropeFactors(spec);
  const extra = factors === undefined
    ? []
    : [{ name: "rope_freqs.weight", shape: [factors.length], encoding: GGUF_ENCODINGS.F32 }];
  return staged(to, { name: file, force, taken: [file] }, async (place) => {
    const path = join(place, file);
    const writer = await openGgufWriter(path, { metadata, tensors: [...extra, ...tensors] });
    try {
      if (factors !== undefined) await writer.append(GGUF_ENCODINGS.F32.encode(factors));
      for (const [index, tensor] of tensors.entries()) {
        signal?.throwIfAborted();
        const values = await checkpoint.read(tensor.from);
        await writer.append(encode(tensor, inOrder(values, tensor)));
        progress?.("written", index + 1, tensors.length);
      }
      const { bytes, sha256 } = await writer.finish();
      const closeness = await check(place, file, { model, tensors, options });
      return { files: [file], weights: [{ name: file, bytes, sha256 }], closeness };
    } finally {
      await writer.close();
    }
  });
}

function describe(
  from: string,
  place: GgufPlace,
  { checkpoint, spec, type }: { readonly checkpoint: Checkpoint; readonly spec: ModelSpec; readonly type: GgufType },
): Written {
  const info = checkpoint.tensors.get(from), shape = info?.shape ?? [];
  return { ...place, from, shape, encoding: GGUF_ENCODINGS[encodingOf()] };

  function encodingOf(): GgufTypeName {
    if (shape.length < 2) return "F32";
    const cols = shape.at(-1) ?? 0;
    if (!EXACT.includes(type)) return cols % GGUF_ENCODINGS[type].values === 0 ? type : "F16";
    if (Object.values(vocabularyTensors(spec)).includes(from)) return info?.dtype === "BF16" ? "BF16" : "F16";
    const { values } = GGUF_ENCODINGS[type];
    if (cols % values === 0) return type;
    throw new InputError(
      `Cannot export "${from}" as ${type}: rows of ${type} are blocks of ${values}, and its rows have ${cols} weights; ` +
        "use --type q8_0 or f16",
    );
  }
}

function inOrder(values: Float32Array, { heads, shape }: Written): Float32Array {
  return heads === 0 ? values : rotaryPermutation(values, shape[0], heads);
}

function encode({ from, encoding, shape }: Written, values: Float32Array): Uint8Array<ArrayBuffer> {
  try {
    return encoding.encode(values);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const remedies: Readonly<Partial<Record<GgufTypeName, string>>> = {
      Q1_0: `${REFUSAL} with spbo's profile: binary`,
      Q2_0: `${REFUSAL} with spbo's profile: ternary`,
      BF16: "",
    };
    const remedy = remedies[encoding.name] ?? "; use --type bf16";
    throw new InputError(
      `Cannot export "${from}" [${shape.join(", ")}] as ${encoding.name}: ${cause.message}${remedy}`,
      { cause },
    );
  }
}

/** Opens what was written as any model, and compares it with what was packed: shape, weights and tokenizer. */
async function check(
  place: string,
  file: string,
  { model: { checkpoint, spec }, tensors, options }: {
    readonly model: Exportable;
    readonly tensors: readonly Written[];
    readonly options: ExportOptions;
  },
) {
  const described = join(place, "config"), usual = isUsualScaling(spec);
  if (!usual) {
    // The file says what Llama 3's scaling comes to, and not how it was made.
    const { quantization_config: _, ...config } = checkpoint.config;
    await mkdir(described);
    await writeJson(join(described, "config.json"), config);
  }
  const source = { path: join(place, file), ...(usual ? {} : { config: described }) };
  const { checkpoint: written, spec: read } = await fitModel(await openModel(source));
  try {
    const [wanted, found] = [spec, read].map(essence);
    if (wanted !== found) {
      throw new Error(`Cannot trust what was written: its metadata say ${found} in place of ${wanted}`);
    }
    const { tokenizer } = checkpoint;
    if (tokenizer !== undefined) compareTokenizers({ wanted: tokenizer, found: written.tokenizer });
    const byName = new Map(tensors.map((tensor) => [tensor.from, tensor]));
    const expected = (name: string, values: Float32Array) => {
      const tensor = byName.get(name);
      const type = tensor && GGML_TYPES.get(tensor.encoding.type);
      if (!tensor || !type) throw new Error(`Cannot compare "${name}" as it was not written`);
      // Rows are rounded alone, so that their order does not matter.
      return type.dequantize(encode(tensor, values));
    };
    return await compareTensors(checkpoint, written, { ...options, expected });
  } finally {
    written.close();
  }
}

/** What of a spec a file must bring back; numbers as float32 holds them, as a file does. */
function essence(spec: ModelSpec): string {
  const { hidden, ffn, blocks, heads, kvHeads, headDim, vocab, tied, eps, ropeTheta, ropeScaling, block } = spec;
  const numbers = [eps, ropeTheta].map(Math.fround);
  const scaling = { ...ropeScaling, ...("factor" in ropeScaling ? { factor: Math.fround(ropeScaling.factor) } : {}) };
  const entries = Object.entries(scaling).sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([hidden, ffn, blocks, heads, kvHeads, headDim, vocab, tied, numbers, entries, block.biases]);
}

function compareTokenizers(
  { wanted, found }: { readonly wanted: Checkpoint["tokenizer"]; readonly found: Checkpoint["tokenizer"] },
): void {
  if (!wanted || !found) throw new Error("Cannot trust what was written: it has no tokenizer");
  const [own, read] = [openTokenizer(wanted), openTokenizer(found)];
  for (const text of PROBES) {
    const [a, b] = [own, read].map((tokenizer) => tokenizer.encode(text).join());
    if (a !== b) {
      throw new Error(
        `Cannot trust what was written: its tokenizer reads ${JSON.stringify(text)} as ${b} in place of ${a}`,
      );
    }
  }
}
