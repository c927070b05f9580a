/** What a GGUF file says of its model, in llama.cpp's keys. */
import type { GgufMetadata, GgufValue } from "../checkpoints/gguf_writer.ts";
import { endTokens } from "../inference/generate.ts";
import { familyGguf } from "../models/family_gguf.ts";
import type { ModelSpec } from "../models/spec.ts";
import { ggufTokenizerMetadata } from "../tokenizers/gguf_metadata.ts";
import { storedTokenizer } from "../tokenizers/tokenizer.ts";
import type { Exportable } from "./job.ts";

/** llama.cpp's numbers of what most of a file's tensors are (`llama_ftype`). */
const FILE_TYPES = { F16: 1, Q8_0: 7, BF16: 32, Q1_0: 40, Q2_0: 41 } as const;

/** Constants of Llama 3's scaling, which files do not say: whoever reads them takes these. */
const USUAL = { lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 } as const;

/** Version of the quantized types' layouts. */
const QUANTIZATION_VERSION = 2;

/** Whether a file's rotary factors tell which scaling they are of. */
export function isUsualScaling({ ropeScaling: scaling }: Pick<ModelSpec, "ropeScaling">): boolean {
  return scaling.type !== "llama3" ||
    scaling.lowFrequencyFactor === USUAL.lowFrequencyFactor &&
      scaling.highFrequencyFactor === USUAL.highFrequencyFactor &&
      scaling.originalMaxPositions === USUAL.originalMaxPositions;
}

/**
 * All metadata of a model's file.
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * @param options `warn`: told what llama.cpp does otherwise
 * @throws {InputError} when llama.cpp has no such tokenizer
 */
export function ggufModelMetadata(
  model: Exportable,
  { type, warn }: { readonly type: keyof typeof FILE_TYPES; readonly warn: (message: string) => void },
): GgufMetadata {
  const { spec, checkpoint, name } = model;
  const architecture = familyGguf(spec)?.architecture ?? spec.family;
  const { hidden, ffn, blocks, heads, kvHeads, headDim, vocab, eps, window, ropeTheta } = spec;
  const positions = checkpoint.config.max_position_embeddings;
  if (window !== null) {
    warn(
      `llama.cpp lets this model attend to all tokens, which is the same up to ${window} of them: attention slides then`,
    );
  }
  const own: Record<string, GgufValue> = {
    vocab_size: u32(vocab),
    context_length: u32(typeof positions === "number" ? positions : spec.maxPositions),
    embedding_length: u32(hidden),
    block_count: u32(blocks),
    feed_forward_length: u32(ffn),
    "attention.head_count": u32(heads),
    "attention.head_count_kv": u32(kvHeads),
    "attention.layer_norm_rms_epsilon": f32(eps),
    "attention.key_length": u32(headDim),
    "attention.value_length": u32(headDim),
    "rope.dimension_count": u32(headDim),
    "rope.freq_base": f32(ropeTheta),
    // What tells a Mistral from a LLaMA, whose architecture it has.
    ...(window !== null && architecture === "llama" ? { "attention.sliding_window": u32(window) } : {}),
    ...scalingOf(spec),
  };
  return {
    "general.architecture": text(architecture),
    "general.type": text("model"),
    "general.name": text(name),
    "general.file_type": u32(FILE_TYPES[type]),
    "general.quantization_version": u32(QUANTIZATION_VERSION),
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [`${architecture}.${key}`, value])),
    ...tokenizerOf(model, warn),
  };
}

function scalingOf({ ropeScaling: scaling }: ModelSpec): Readonly<Record<string, GgufValue>> {
  if (scaling.type !== "linear") return {};
  return { "rope.scaling.type": text("linear"), "rope.scaling.factor": f32(scaling.factor) };
}

function tokenizerOf({ checkpoint, spec, name }: Exportable, warn: (message: string) => void): GgufMetadata {
  const { tokenizer } = checkpoint;
  if (tokenizer !== undefined) {
    return ggufTokenizerMetadata(storedTokenizer(tokenizer), { vocab: spec.vocab, ends: endTokens(checkpoint), warn });
  }
  warn(`${name} has no tokenizer, and so the export has none: llama.cpp takes token ids only`);
  return { "tokenizer.ggml.model": text("no_vocab") };
}

function u32(value: number): GgufValue {
  return { kind: "u32", value };
}

function f32(value: number): GgufValue {
  return { kind: "f32", value };
}

function text(value: string): GgufValue {
  return { kind: "text", value };
}
