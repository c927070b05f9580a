/** Models in one GGUF file, as llama.cpp's converter and quantizer leave them. */
import { join } from "node:path";
import { encodeGguf, type GgufTensor, ggufTensor, type GgufValue } from "../../checkpoints/gguf_test_support.ts";
import { permuteRotary } from "../../checkpoints/gguf_test_support.ts";
import type { Tensor } from "../../files/safetensors.ts";
import type { Kind } from "../kind.ts";
import { readModel } from "../read_model.ts";
import { FFN, HEADS, HIDDEN, KV_HEADS, smallTensors, smallTokenizer, VOCAB } from "../small_model.ts";

/** GGUF's names. */
const NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "input_layernorm": "attn_norm",
  "post_attention_layernorm": "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** Numbers of ggml's types with 32 weights a block, and the bytes of one. */
const Q8_0 = [8, 34] as const, Q4_0 = [2, 18] as const, BLOCK = 32;

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
    Object.entries(smallTensors()).map(([name, tensor]) => [nameOf(name), convert(name, tensor)]),
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

function convert(name: string, tensor: Tensor): GgufTensor {
  const heads = name.includes("q_proj") ? HEADS : name.includes("k_proj") ? KV_HEADS : 0;
  return ggufTensor(heads === 0 ? tensor : permuteRotary(tensor, heads));
}

function nameOf(name: string): string {
  const [, block, part] = /^(?:model\.layers\.(\d+)\.)?(.+)\.weight$/.exec(name) ?? [];
  return `${block === undefined ? "" : `blk.${block}.`}${NAMES[part]}.weight`;
}
