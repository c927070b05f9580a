/**
 * Float32 weights as the types that GGUF files are written in here: rounded as llama.cpp rounds them, or, for the types of one and two
 * bits, exactly or not at all. What they decode to says `dequantize.ts`.
 */
import { toBfloat16, toFloat16 } from "../files/float16.ts";

/** A type that tensors are written in. */
export interface GgufEncoding {
  readonly name: GgufTypeName;
  /** Its number in a GGUF file. */
  readonly type: number;
  /** Values per block; rows are whole blocks. */
  readonly values: number;
  /** Bytes per block. */
  readonly bytes: number;
  /**
   * @param values whole blocks of finite numbers
   * @throws {RangeError} saying what is wrong with which value, where the type cannot hold them
   */
  encode(values: Float32Array): Uint8Array<ArrayBuffer>;
}

/** Names of these types. */
export type GgufTypeName = "F32" | "F16" | "BF16" | "Q8_0" | "Q1_0" | "Q2_0";

/** By name. Numbers and layouts as published with ggml (`ggml.h`, `ggml-common.h`). */
export const GGUF_ENCODINGS: Readonly<Record<GgufTypeName, GgufEncoding>> = {
  F32: { name: "F32", type: 0, values: 1, bytes: 4, encode: (values) => bytesOf(values.slice()) },
  F16: { name: "F16", type: 1, values: 1, bytes: 2, encode: (values) => bytesOf(halves(values)) },
  Q8_0: { name: "Q8_0", type: 8, values: 32, bytes: 34, encode: encodeQ8_0 },
  BF16: { name: "BF16", type: 30, values: 1, bytes: 2, encode: (values) => bytesOf(upperHalves(values)) },
  Q1_0: { name: "Q1_0", type: 41, values: 128, bytes: 18, encode: encodeQ1_0 },
  Q2_0: { name: "Q2_0", type: 42, values: 64, bytes: 18, encode: encodeQ2_0 },
};

/**
 * Rounds to half precision, and refuses what would become infinite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...halves(Float32Array.of(1, 65_519))], [0x3c00, 0x7bff]);
 * assert.throws(() => halves(Float32Array.of(1, -7e4)), /-70000 at 1 is beyond F16/);
 * ```
 * @returns bit patterns
 * @throws {RangeError} naming the first value beyond ±65504 that does not round to it
 */
export function halves(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = toFloat16(values);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7fff) === 0x7c00) throw beyond(values[i], i, "F16", 65_504);
  return bits;
}

/**
 * As `halves`, to bfloat16.
 *
 * @returns bit patterns
 * @throws {RangeError} naming the first value that would become infinite
 */
export function upperHalves(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = toBfloat16(values);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7fff) === 0x7f80) throw beyond(values[i], i, "BF16", 3.39e38);
  return bits;
}

/** d = max|w| / 127 in float16, codes w / d of the d before it was rounded, halves away from zero. */
function encodeQ8_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / 32 * 34), view = new DataView(out.buffer);
  for (let from = 0, at = 0; from < values.length; from += 32, at += 34) {
    const d = Math.fround(largest(values, from, 32) / 127), inverse = Math.fround(1 / d);
    // Of a block so small that nothing of it is left.
    if (d === 0 || !Number.isFinite(inverse)) continue;
    view.setFloat16(at, d, true);
    if (!Number.isFinite(view.getFloat16(at, true))) throw beyond(127 * d, from, "Q8_0", 127 * 65_504);
    for (let j = 0; j < 32; j++) {
      const code = Math.fround(values[from + j] * inverse);
      view.setInt8(at + 2 + j, Math.sign(code) * Math.floor(Math.abs(code) + 0.5));
    }
  }
  return out;
}

/** A block of 128 of one magnitude that is a float16, and their signs. */
function encodeQ1_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / 128 * 18), view = new DataView(out.buffer);
  for (let from = 0, at = 0; from < values.length; from += 128, at += 18) {
    const d = largest(values, from, 128);
    exactScale(view, at, d, from);
    for (let j = 0; j < 128; j++) {
      const value = values[from + j];
      if (value === d) out[at + 2 + (j >> 3)] |= 1 << (j & 7);
      else if (value !== -d) {
        throw new RangeError(
          `${shown(value)} at ${from + j} stands beside ${
            shown(d)
          }, where Q1_0 has one scale d for 128 weights, each d or −d`,
        );
      }
    }
  }
  return out;
}

/** A block of 64 of −d, 0, d and 2d, d being a float16 of either sign. */
function encodeQ2_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / 64 * 18), view = new DataView(out.buffer);
  for (let from = 0, at = 0; from < values.length; from += 64, at += 18) {
    const d = scaleQ2_0(values, from);
    exactScale(view, at, d, from);
    for (let j = 0; j < 64; j++) {
      const value = values[from + j], code = d === 0 ? 0 : value / d;
      if (code !== -1 && code !== 0 && code !== 1 && code !== 2 || d === 0 && value !== 0) {
        throw new RangeError(
          `${shown(value)} at ${from + j} is none of −d, 0, d and 2d with d = ${shown(d)}, ` +
            "where Q2_0 has one scale for 64 weights",
        );
      }
      out[at + 2 + (j >> 2)] |= code + 1 << 2 * (j & 3);
    }
  }
  return out;
}

/** The d of a block, if it has one: the least magnitude; its sign is that of twice it, where there is such a value. */
function scaleQ2_0(values: Float32Array, from: number): number {
  let least = 0, most = 0;
  for (let i = from; i < from + 64; i++) {
    const size = Math.abs(values[i]);
    if (size !== 0 && (least === 0 || size < least)) least = size;
    if (size > Math.abs(most)) most = values[i];
  }
  const only = Math.abs(most) === least;
  return only ? least : Math.sign(most) * least;
}

function exactScale(view: DataView, at: number, d: number, from: number): void {
  view.setFloat16(at, d, true);
  if (view.getFloat16(at, true) === d) return;
  throw new RangeError(`the scale ${shown(d)} of the weights from ${from} on is no float16`);
}

function largest(values: Float32Array, from: number, count: number): number {
  let most = 0;
  for (let i = from; i < from + count; i++) most = Math.max(most, Math.abs(values[i]));
  return most;
}

function bytesOf({ buffer }: { readonly buffer: ArrayBufferLike }): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer as ArrayBuffer);
}

function beyond(value: number, at: number, type: string, most: number): RangeError {
  return new RangeError(`${shown(value)} at ${at} is beyond ${type}, which ends at ${most}`);
}

function shown(value: number): string {
  return String(Number(value.toPrecision(7)));
}
