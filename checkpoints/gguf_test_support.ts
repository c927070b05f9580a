/** Writes small GGUF files for tests. */
import type { Tensor } from "../files/safetensors.ts";

/** A metadata value; integers are stored as uint32, other numbers as float32. */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[];

/** One tensor to write: its stored type's number and bytes. */
export interface GgufTensor {
  /** Outermost dimension first, as in Hugging Face's layout. */
  readonly shape: readonly number[];
  readonly type: number;
  readonly data: Uint8Array;
}

/** GGUF's names of a LLaMA's or Qwen's parts by Hugging Face's, spelled out apart from the reader's own. */
const NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "lm_head": "output",
  "input_layernorm": "attn_norm",
  "post_attention_layernorm": "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** A tensor's name in GGUF, as llama.cpp's converter gives it: `blk.0.attn_q.weight`. */
export function ggufName(name: string): string {
  const [, block, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name) ?? [];
  return `${block === undefined ? "" : `blk.${block}.`}${NAMES[part]}.${kind}`;
}

/** As llama.cpp's converter stores a tensor of a model whose queries and keys it permutes. */
export function convertRotary(
  name: string,
  tensor: Tensor,
  heads: { readonly queries: number; readonly keys: number },
): GgufTensor {
  const permuted = name.endsWith("q_proj.weight") || name.endsWith("q_proj.bias")
    ? heads.queries
    : name.endsWith("k_proj.weight") || name.endsWith("k_proj.bias")
    ? heads.keys
    : 0;
  return ggufTensor(permuted === 0 ? tensor : permuteRotary(tensor, permuted));
}

/**
 * A GGUF file, version 3, aligned to 32 bytes.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function encodeGguf(
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: Readonly<Record<string, GgufTensor>>,
): Uint8Array {
  const names = Object.entries(tensors);
  const out: number[] = [...new TextEncoder().encode("GGUF"), ...word(3), ...long(names.length)];
  out.push(...long(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) out.push(...text(key), ...typed(value));
  let offset = 0;
  for (const [name, { shape, type, data }] of names) {
    out.push(
      ...text(name),
      ...word(shape.length),
      ...[...shape].reverse().flatMap(long),
      ...word(type),
      ...long(offset),
    );
    offset += aligned(data.length);
  }
  const begin = aligned(out.length);
  const file = new Uint8Array(begin + offset);
  file.set(out);
  let at = begin;
  for (const [, { data }] of names) {
    file.set(data, at);
    at += aligned(data.length);
  }
  return file;
}

/** A float tensor as GGUF stores it: type F32 (0), F16 (1) or BF16 (30). */
export function ggufTensor({ dtype, shape, data }: Tensor): GgufTensor {
  const type = { F32: 0, F16: 1, BF16: 30 }[String(dtype)];
  if (type === undefined) throw new RangeError(`Cannot write ${dtype} as GGUF`);
  return { shape, type, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** The order of rows that llama.cpp's converter gives q and k: within a head, the two rotary halves interleaved. */
export function permuteRotary({ dtype, shape, data }: Tensor, heads: number): Tensor {
  const [rows, cols] = shape.length === 2 ? shape : [shape[0], 1];
  const half = rows / heads / 2;
  const out = data.slice();
  for (let head = 0; head < heads; head++) {
    for (let part = 0; part < 2; part++) {
      for (let j = 0; j < half; j++) {
        const from = (head * 2 + part) * half + j;
        const to = head * 2 * half + 2 * j + part;
        for (let col = 0; col < cols; col++) out[to * cols + col] = data[from * cols + col];
      }
    }
  }
  return { dtype, shape, data: out };
}

function typed(value: GgufValue): number[] {
  if (typeof value === "string") return [...word(8), ...text(value)];
  if (typeof value === "boolean") return [...word(7), value ? 1 : 0];
  if (typeof value === "number") return [...word(Number.isInteger(value) ? 4 : 6), ...scalar(value)];
  const [first] = value;
  const items = value.flatMap((item) => typeof item === "string" ? text(item) : scalar(item));
  return [...word(9), ...word(typeof first === "string" ? 8 : 4), ...long(value.length), ...items];
}

function scalar(value: number): number[] {
  return Number.isInteger(value) ? word(value) : [...new Uint8Array(new Float32Array([value]).buffer)];
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...long(bytes.length), ...bytes];
}

function word(value: number): number[] {
  return [...new Uint8Array(new Uint32Array([value]).buffer)];
}

function long(value: number): number[] {
  return [...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)];
}

function aligned(length: number): number {
  return Math.ceil(length / 32) * 32;
}
