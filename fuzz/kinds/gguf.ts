/** Models in one GGUF file, as llama.cpp's converter and quantizer leave them. */
import { join } from "node:path";
import {
  convertRotary,
  encodeGguf,
  ggufName,
  type GgufTensor,
  type GgufValue,
} from "../../checkpoints/gguf_test_support.ts";
import type { Kind } from "../kind.ts";
import { readModel } from "../read_model.ts";
import { FFN, HEADS, HIDDEN, KV_HEADS, smallTensors, smallTokenizer, VOCAB } from "../small_model.ts";

/** Numbers of ggml's types with 32 weights a block, and the bytes of one. */
const Q8_0 = [8, 34] as const, Q4_0 = [2, 18] as const, BLOCK = 32;

const HEADS_OF = { queries: HEADS, keys: KV_HEADS };

/** The kind. */
export const gguf: Kind = {
  name: "gguf",
  async make(folder) {
    const pairs = encodeGguf({ ...model(), ...await bytePairs() }, tensors());
    const pieces = encodeGguf({ ...model(), ...sentencePieces() }, quantized());
    const samples = { pairs, pieces };
    for (const [name, bytes] of Object.entries(samples)) {
      await Deno.mkdir(join(folder, name));
      await Deno.writeFile(join(folder, name, "model.gguf"), bytes);
    }
    return Object.keys(samples).map((name) => ({ name, targets: [{ path: "model.gguf", syntax: "gguf" }] }));
  },
  read: (folder, _sample, seen) => readModel({ path: join(folder, "model.gguf") }, seen),
};

function model(): Record<string, GgufValue> {
  return {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": HIDDEN,
    "llama.feed_forward_length": FFN,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KV_HEADS,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.freq_base": 10_000,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
}

async function bytePairs(): Promise<Record<string, GgufValue>> {
  const { vocab, merges } = (await smallTokenizer()).model as {
    vocab: Record<string, number>;
    merges: (string | readonly string[])[];
  };
  const tokens = Object.entries(vocab).sort((a, b) => a[1] - b[1]).map(([token]) => token);
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": tokens.map((_, id) => id < 3 ? 3 : 1),
    "tokenizer.ggml.merges": merges.map((merge) => typeof merge === "string" ? merge : merge.join(" ")),
    "tokenizer.ggml.add_bos_token": true,
  };
}

function sentencePieces(): Record<string, GgufValue> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["▁t", "he", "▁the", "in", "▁w", "ha", "▁wha", "le", "▁whale", ..."▁thewinalbcdTUp,!"];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...pieces].slice(0, VOCAB);
  while (tokens.length < VOCAB) tokens.push(`<extra${tokens.length}>`);
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    // Never whole, as a whole number is written as another type.
    "tokenizer.ggml.scores": tokens.map((_, id) => -id - 0.5),
    "tokenizer.ggml.token_type": tokens.map((_, id) => id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1),
    "tokenizer.ggml.unknown_token_id": 0,
  };
}

function tensors(): Record<string, GgufTensor> {
  return Object.fromEntries(
    Object.entries(smallTensors()).map(([name, tensor]) => [ggufName(name), convertRotary(name, tensor, HEADS_OF)]),
  );
}

/** As `tensors`, its widest matrices in blocks of 4 and 8 bits: random codes under small scales. */
function quantized(): Record<string, GgufTensor> {
  return Object.fromEntries(
    Object.entries(tensors()).map(([name, tensor], at): [string, GgufTensor] => {
      const { shape } = tensor;
      if (shape.length < 2 || shape[1] % BLOCK !== 0) return [name, tensor];
      const [type, bytes] = at % 2 === 0 ? Q8_0 : Q4_0;
      const data = Uint8Array.from({ length: shape[0] * shape[1] / BLOCK * bytes }, (_, i) => i * 37 % 251);
      // Half precision's 0.01, in two bytes before each block.
      for (let block = 0; block < data.length; block += bytes) data.set([0x1f, 0x21], block);
      return [name, { shape, type, data }];
    }),
  );
}
