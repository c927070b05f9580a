/** A LLaMA of one block, small enough to be read thousands of times: its tensors, config and tokenizer. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../cli/places.ts";
import { toFloat16 } from "../files/float16.ts";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { seededRandom } from "../datasets/random.ts";

/** Sizes. */
export const HIDDEN = 16, FFN = 32, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 8, VOCAB = 300;

/** Shapes by name. */
export const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [VOCAB, HIDDEN],
  "model.layers.0.input_layernorm.weight": [HIDDEN],
  "model.layers.0.self_attn.q_proj.weight": [HEADS * HEAD_DIM, HIDDEN],
  "model.layers.0.self_attn.k_proj.weight": [KV_HEADS * HEAD_DIM, HIDDEN],
  "model.layers.0.self_attn.v_proj.weight": [KV_HEADS * HEAD_DIM, HIDDEN],
  "model.layers.0.self_attn.o_proj.weight": [HIDDEN, HEADS * HEAD_DIM],
  "model.layers.0.post_attention_layernorm.weight": [HIDDEN],
  "model.layers.0.mlp.gate_proj.weight": [FFN, HIDDEN],
  "model.layers.0.mlp.up_proj.weight": [FFN, HIDDEN],
  "model.layers.0.mlp.down_proj.weight": [HIDDEN, FFN],
  "model.norm.weight": [HIDDEN],
};

const tinyLlama = join(projectFolder, "configs", "models", "tiny-llama");

/** Random weights in half precision. */
export function smallTensors(): Record<string, Tensor> {
  const random = seededRandom(1, "weights");
  const tensors = Object.entries(SHAPES).map(([name, shape]): [string, Tensor] => {
    const size = shape.reduce((product, length) => product * length, 1);
    const data = toFloat16(Float32Array.from({ length: size }, () => (random.below(2001) - 1000) / 10_000));
    return [name, { dtype: "F16", shape, data }];
  });
  return Object.fromEntries(tensors);
}

/** tiny-llama's config with small sizes. */
export async function smallConfig(): Promise<Record<string, unknown>> {
  return {
    ...await readJson(join(tinyLlama, "config.json")),
    ...{ head_dim: HEAD_DIM, hidden_size: HIDDEN, intermediate_size: FFN, max_position_embeddings: 64 },
    ...{ num_attention_heads: HEADS, num_key_value_heads: KV_HEADS, num_hidden_layers: 1, vocab_size: VOCAB },
  };
}

/** tiny-llama's tokenizer with its first tokens: all bytes, and the merges that lead to no others. */
export async function smallTokenizer(): Promise<Record<string, unknown>> {
  const tokenizer = await readJson(join(tinyLlama, "tokenizer.json"));
  const model = tokenizer.model as { vocab: Record<string, number>; merges: (string | [string, string])[] };
  const vocab = Object.fromEntries(Object.entries(model.vocab).filter(([, id]) => id < VOCAB));
  const merges = model.merges.filter((merge) => {
    const [left, right] = Array.isArray(merge) ? merge : merge.split(" ");
    return left in vocab && right in vocab && left + right in vocab;
  });
  return { ...tokenizer, model: { ...model, vocab, merges } };
}

/** tiny-llama's tokenizer_config.json. */
export function smallTokenizerConfig(): Promise<Record<string, unknown>> {
  return readJson(join(tinyLlama, "tokenizer_config.json"));
}

/** Writes the model as a folder with safetensors. */
export async function writeSmallModel(folder: string): Promise<void> {
  await writeSafetensors(join(folder, "model.safetensors"), smallTensors(), { format: "pt" }, { flush: false });
  await writeDescription(folder);
}

/** Writes what a folder has besides weights. */
export async function writeDescription(folder: string): Promise<void> {
  await writeJson(join(folder, "config.json"), await smallConfig());
  await writeJson(join(folder, "tokenizer.json"), await smallTokenizer());
  await writeJson(join(folder, "tokenizer_config.json"), await smallTokenizerConfig());
}

/** Writes a JSON file as one line. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, JSON.stringify(value));
}

/** Reads a JSON object that is sound. */
export async function readJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, "utf8"));
}
