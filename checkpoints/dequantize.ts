/**
 * The quantized block types of GGUF, widened to float32: one function per type.
 *
 * Layouts as published with ggml (`ggml-common.h`: block_q4_0 … block_q6_K, block_q1_0, block_q2_0). A block's scales are half precision and come
 * before or after its codes; every product below is exact in float32, so that each value is rounded at most once.
 */
import { fromBfloat16, fromFloat16 } from "../files/float16.ts";

/** One stored type. */
export interface GgmlType {
  readonly name: string;
  /** Values per block. */
  readonly values: number;
  /** Bytes per block. */
  readonly bytes: number;
  /** @param data whole blocks, in a buffer of their own */
  readonly dequantize: (data: Uint8Array<ArrayBuffer>) => Float32Array;
}

/** Types that can be read, by their number in a GGUF file. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map<number, GgmlType>([
  [0, { name: "F32", values: 1, bytes: 4, dequantize: (data) => new Float32Array(data.buffer) }],
  [1, { name: "F16", values: 1, bytes: 2, dequantize: (data) => fromFloat16(new Uint16Array(data.buffer)) }],
  [2, { name: "Q4_0", values: 32, bytes: 18, dequantize: dequantizeQ4_0 }],
  [3, { name: "Q4_1", values: 32, bytes: 20, dequantize: dequantizeQ4_1 }],
  [6, { name: "Q5_0", values: 32, bytes: 22, dequantize: dequantizeQ5_0 }],
  [7, { name: "Q5_1", values: 32, bytes: 24, dequantize: dequantizeQ5_1 }],
  [8, { name: "Q8_0", values: 32, bytes: 34, dequantize: dequantizeQ8_0 }],
  [12, { name: "Q4_K", values: 256, bytes: 144, dequantize: dequantizeQ4_K }],
  [13, { name: "Q5_K", values: 256, bytes: 176, dequantize: dequantizeQ5_K }],
  [14, { name: "Q6_K", values: 256, bytes: 210, dequantize: dequantizeQ6_K }],
  [30, { name: "BF16", values: 1, bytes: 2, dequantize: (data) => fromBfloat16(new Uint16Array(data.buffer)) }],
  [41, { name: "Q1_0", values: 128, bytes: 18, dequantize: dequantizeQ1_0 }],
  [42, { name: "Q2_0", values: 64, bytes: 18, dequantize: dequantizeQ2_0 }],
]);

/** Block of 128: scale d, 16 bytes of signs, the lowest bit first. Value d, or −d where the bit is 0. */
function dequantizeQ1_0(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 18 * 128);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 18, to += 128) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 128; j++) out[to + j] = data[at + 2 + (j >> 3)] >> (j & 7) & 1 ? d : -d;
  }
  return out;
}

/** Block of 64: scale d, 16 bytes of four codes, the lowest bits first. Value d·(q − 1). */
function dequantizeQ2_0(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 18 * 64);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 18, to += 64) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 64; j++) out[to + j] = d * ((data[at + 2 + (j >> 2)] >> 2 * (j & 3) & 3) - 1);
  }
  return out;
}

/** Block of 32: scale d, 32 signed bytes. Value d·q. */
function dequantizeQ8_0(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 34 * 32);
  const view = new DataView(data.buffer);
  const codes = new Int8Array(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 34, to += 32) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 32; j++) out[to + j] = d * codes[at + 2 + j];
  }
  return out;
}

/** Block of 32: scale d, 16 bytes of two codes (low nibbles are values 0–15, high ones 16–31). Value d·(q − 8). */
function dequantizeQ4_0(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 18 * 32);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 18, to += 32) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 16; j++) {
      const pair = data[at + 2 + j];
      out[to + j] = d * ((pair & 15) - 8);
      out[to + 16 + j] = d * ((pair >> 4) - 8);
    }
  }
  return out;
}

/** As Q4_0, with a minimum m after d. Value d·q + m. */
function dequantizeQ4_1(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 20 * 32);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 20, to += 32) {
    const d = view.getFloat16(at, true);
    const m = view.getFloat16(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const pair = data[at + 4 + j];
      out[to + j] = d * (pair & 15) + m;
      out[to + 16 + j] = d * (pair >> 4) + m;
    }
  }
  return out;
}

/** As Q4_0, with a word of fifth bits (bit j for value j) between d and the nibbles. Value d·(q − 16). */
function dequantizeQ5_0(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 22 * 32);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 22, to += 32) {
    const d = view.getFloat16(at, true);
    const high = view.getUint32(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const pair = data[at + 6 + j];
      out[to + j] = d * ((pair & 15 | (high >>> j & 1) << 4) - 16);
      out[to + 16 + j] = d * ((pair >> 4 | (high >>> j + 16 & 1) << 4) - 16);
    }
  }
  return out;
}

/** As Q5_0, with a minimum m after d. Value d·q + m. */
function dequantizeQ5_1(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 24 * 32);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 24, to += 32) {
    const d = view.getFloat16(at, true);
    const m = view.getFloat16(at + 2, true);
    const high = view.getUint32(at + 4, true);
    for (let j = 0; j < 16; j++) {
      const pair = data[at + 8 + j];
      out[to + j] = d * (pair & 15 | (high >>> j & 1) << 4) + m;
      out[to + 16 + j] = d * (pair >> 4 | (high >>> j + 16 & 1) << 4) + m;
    }
  }
  return out;
}

/**
 * Block of 256: d, dmin, 12 bytes with eight 6-bit scales and minima, 128 bytes of nibbles (32 bytes hold values of two
 * runs of 32). Value d·scale·q − dmin·min.
 */
function dequantizeQ4_K(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 144 * 256);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 144, to += 256) {
    const d = view.getFloat16(at, true);
    const dmin = view.getFloat16(at + 2, true);
    for (let run = 0; run < 8; run++) {
      const scale = d * scaleK(data, at + 4, run);
      const minimum = dmin * minimumK(data, at + 4, run);
      const codes = at + 16 + (run >> 1) * 32;
      const shift = (run & 1) * 4;
      for (let j = 0; j < 32; j++) out[to + run * 32 + j] = scale * (data[codes + j] >> shift & 15) - minimum;
    }
  }
  return out;
}

/** As Q4_K, with 32 bytes of fifth bits (bit `run` of byte j) between the scales and the nibbles. */
function dequantizeQ5_K(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 176 * 256);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 176, to += 256) {
    const d = view.getFloat16(at, true);
    const dmin = view.getFloat16(at + 2, true);
    for (let run = 0; run < 8; run++) {
      const scale = d * scaleK(data, at + 4, run);
      const minimum = dmin * minimumK(data, at + 4, run);
      const codes = at + 48 + (run >> 1) * 32;
      const shift = (run & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const code = data[codes + j] >> shift & 15 | (data[at + 16 + j] >> run & 1) << 4;
        out[to + run * 32 + j] = scale * code - minimum;
      }
    }
  }
  return out;
}

/**
 * Block of 256: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d. Each half of 128 values has 64
 * and 32 of these bytes, and is four runs of 32 with two scales each. Value d·scale·(q − 32).
 */
function dequantizeQ6_K(data: Uint8Array<ArrayBuffer>): Float32Array {
  const out = new Float32Array(data.length / 210 * 256);
  const view = new DataView(data.buffer);
  for (let at = 0, to = 0; at < data.length; at += 210, to += 256) {
    const d = view.getFloat16(at + 208, true);
    for (let run = 0; run < 8; run++) {
      const half = run >> 2;
      const quarter = run & 3;
      const low = at + half * 64 + (quarter & 1) * 32;
      const shift = (quarter >> 1) * 4;
      const high = at + 128 + half * 32;
      for (let j = 0; j < 32; j++) {
        const code = data[low + j] >> shift & 15 | (data[high + j] >> 2 * quarter & 3) << 4;
        out[to + run * 32 + j] = d * view.getInt8(at + 192 + run * 2 + (j >> 4)) * (code - 32);
      }
    }
  }
  return out;
}

/** 6-bit scale of one of eight runs: whole in bytes 0–3, split over bytes 8–11 and the top bits of 0–3 after that. */
function scaleK(data: Uint8Array, at: number, run: number): number {
  return run < 4 ? data[at + run] & 63 : data[at + run + 4] & 15 | data[at + run - 4] >> 6 << 4;
}

/** 6-bit minimum of one of eight runs: whole in bytes 4–7, split over bytes 8–11 and the top bits of 4–7 after that. */
function minimumK(data: Uint8Array, at: number, run: number): number {
  return run < 4 ? data[at + run + 4] & 63 : data[at + run + 4] >> 4 | data[at + run] >> 6 << 4;
}
