/** safetensors read and written by code of its own, so that the project's is not its own judge. */
import { readFileSync, writeFileSync } from "node:fs";

/** One tensor as it lies in the file. */
export interface PlainTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A whole file. */
export interface PlainFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, PlainTensor>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** Reads a file: eight bytes of length, a JSON header, the data. */
export function readPlain(path: string): PlainFile {
  const file = readFileSync(path);
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(file.toString("utf8", 8, begin));
  const tensors = Object.entries(entries as Record<string, Entry>).map(
    ([name, { dtype, shape, data_offsets: [from, to] }]) =>
      [name, { dtype, shape, bytes: file.subarray(begin + from, begin + to) }] as const,
  );
  return { metadata, tensors: new Map(tensors) };
}

/** Writes a file; tensors in the order given. */
export function writePlain(path: string, tensors: ReadonlyMap<string, PlainTensor>): void {
  const entries: Record<string, Entry> = {};
  let at = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    entries[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const text = new TextEncoder().encode(JSON.stringify({ __metadata__: { format: "pt" }, ...entries }));
  const header = new Uint8Array(8 * Math.ceil(text.length / 8)).fill(0x20);
  header.set(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  writeFileSync(path, concatenate([length, header, ...[...tensors.values()].map((tensor) => tensor.bytes)]));
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
