/** Whether two stretches of files hold the same bytes, held in memory a piece at a time. */
import { Buffer } from "node:buffer";
import type { ByteSource } from "../files/byte_source.ts";

/** Bytes of a file, from `begin` to `end` (exclusive). */
export interface Span {
  readonly source: Pick<ByteSource, "read">;
  readonly begin: number;
  readonly end: number;
}

/** Bytes compared at once. */
const PIECE = 1 << 22;
/** Of files that are read over the network: pieces that stand for the whole, and the bytes of each. */
const SAMPLES = 4;
const SAMPLE = 4096;

/**
 * Compares two spans, to the first piece that differs.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const source = { read: (begin: number, end: number) => Promise.resolve(Uint8Array.of(7, 1, 7, 2).slice(begin, end)) };
 * const span = (begin: number, end: number) => ({ source, begin, end });
 * assert.ok(await sameBytes(span(0, 1), span(2, 3)));
 * assert.ok(!await sameBytes(span(0, 2), span(2, 4)));
 * ```
 * @param options `sampled`: compare a few kilobytes from begin to end only, as for files that are not here; equal samples do not prove
 * that all is equal
 * @throws {InputError} when a file is shorter than its header says
 */
export async function sameBytes(
  a: Span,
  b: Span,
  { sampled = false }: { readonly sampled?: boolean } = {},
): Promise<boolean> {
  const size = a.end - a.begin;
  if (size !== b.end - b.begin) return false;
  if (a.source === b.source && a.begin === b.begin) return true;
  for (const [begin, end] of sampled ? samples(size) : pieces(size)) {
    const [one, other] = await Promise.all(
      [a, b].map((span) => span.source.read(span.begin + begin, span.begin + end)),
    );
    if (Buffer.compare(one, other) !== 0) return false;
  }
  return true;
}

function* pieces(size: number): Generator<readonly [number, number]> {
  for (let begin = 0; begin < size; begin += PIECE) yield [begin, Math.min(size, begin + PIECE)];
}

function* samples(size: number): Generator<readonly [number, number]> {
  if (size <= SAMPLES * SAMPLE) yield [0, size];
  else {
    for (let i = 0; i < SAMPLES; i++) {
      const begin = Math.floor(i * (size - SAMPLE) / (SAMPLES - 1));
      yield [begin, begin + SAMPLE];
    }
  }
}
