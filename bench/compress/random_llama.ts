/** A checkpoint of random weights in the shape of a LLaMA, written as a stream: as large as the model, not as the memory. */
import { type FileHandle, mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSafetensors } from "../../files/safetensors.ts";
import { seededRandom } from "../../datasets/random.ts";
import { modelSpec } from "../../models/config.ts";
import type { TensorShapes } from "../../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "../../models/tensors.ts";

/** What is written. */
export interface RandomLlama {
  readonly hidden: number;
  readonly ffn: number;
  readonly heads: number;
  readonly blocks: number;
  readonly vocab: number;
  /** Windows of random token ids to calibrate on, and tokens in each. */
  readonly windows: number;
  readonly length: number;
  readonly seed: number;
}

/** LLaMA-7B's width; the vocabulary is small, as it costs nothing that is measured here. */
export const LLAMA_7B = { hidden: 4096, ffn: 11_008, heads: 32, vocab: 1000 } as const;

/** Blocks of LLaMA-7B. */
export const LLAMA_7B_BLOCKS = 32;

/** Values made and written at once. */
const CHUNK = 1 << 20;

/** Standard deviation of the weights, about that of trained ones. */
const DEVIATION = 0.02;

/**
 * Writes config.json, model.safetensors (F16) and windows.safetensors (tensor `calibration`, I32).
 *
 * @param folder made if needed
 * @returns bytes of the weights
 */
export async function writeRandomLlama(folder: string, shape: RandomLlama): Promise<number> {
  await mkdir(folder, { recursive: true });
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.hidden,
    intermediate_size: shape.ffn,
    num_hidden_layers: shape.blocks,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.heads,
    max_position_embeddings: 2048,
    vocab_size: shape.vocab,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const random = seededRandom(shape.seed, "tokens");
  const ids = Int32Array.from({ length: shape.windows * shape.length }, () => random.below(shape.vocab));
  await writeSafetensors(join(folder, "windows.safetensors"), {
    calibration: { dtype: "I32", shape: [shape.windows, shape.length], data: ids },
  });
  const spec = modelSpec(config);
  const blocks = Array.from({ length: shape.blocks }, (_, block) => blockShapes(spec, block));
  const shapes = new Map([embeddingShapes(spec), ...blocks, headShapes(spec)].flatMap((some) => [...some]));
  return await writeWeights(join(folder, "model.safetensors"), shapes, shape.seed);
}

async function writeWeights(path: string, shapes: TensorShapes, seed: number): Promise<number> {
  const header: { [name: string]: unknown } = {};
  let end = 0;
  for (const [name, shape] of shapes) {
    const begin = end;
    end += 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F16", shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = 8 * Math.ceil(text.length / 8);
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  const file = await open(path, "w");
  try {
    await writeAll(file, head);
    const fill = gaussian(seed);
    const chunk = new Float16Array(CHUNK);
    for (const [name, shape] of shapes) {
      const norm = name.endsWith("norm.weight");
      let left = shape.reduce((product, size) => product * size, 1);
      for (; left > 0; left -= chunk.length) {
        const values = chunk.subarray(0, Math.min(left, chunk.length));
        if (norm) values.fill(1);
        else fill(values);
        await writeAll(file, new Uint8Array(values.buffer, 0, values.byteLength));
      }
    }
    return head.length + end;
  } finally {
    await file.close();
  }
}

/** Fills arrays with nearly normal values: sums of four uniform ones (two draws of xorshift32). */
function gaussian(seed: number): (values: Float16Array) => void {
  // Zero is where xorshift never leaves.
  let state = seededRandom(seed, "weights").below(2 ** 32 - 1) + 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
  const factor = DEVIATION / (65_536 * Math.sqrt(4 / 12));
  return (values) => {
    for (let i = 0; i < values.length; i++) {
      const one = next(), two = next();
      values[i] = factor * ((one & 0xffff) + (one >>> 16) + (two & 0xffff) + (two >>> 16) - 131_070);
    }
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
}
