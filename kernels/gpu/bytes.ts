/**
 * Bytes on their way to and from the WebGPU device: four to a word, as on this side; a word to each between kernels, so that no
 * two threads share one.
 */
import narrow from "./narrow.wgsl" with { type: "text" };
import { type GpuBuffer, type GpuContext, WINDOW_ALIGNMENT } from "./op.ts";
import { grid } from "./dispatch.ts";
import widen from "./widen.wgsl" with { type: "text" };

/** Bytes of a word. */
const BYTES = 4;

/**
 * Makes words of bytes; see `bytesOfWords`.
 *
 * @returns ⌈length / 4⌉ words, lowest byte first
 */
export function gpuNarrow(context: GpuContext, bytes: GpuBuffer<"u8">): GpuBuffer<"u32"> {
  const words = context.scratch("u32", Math.ceil(bytes.length / BYTES), { zeroed: false });
  for (const { first, count } of windows(context, bytes.length)) {
    const some = Math.ceil(count / BYTES);
    context.run(
      { name: "narrow", code: narrow },
      [
        { buffer: words, access: "read_write", first: first / BYTES, count: some },
        { buffer: bytes, access: "read", first, count },
      ],
      [some],
      grid(context, some),
    );
  }
  return words;
}

/**
 * Makes bytes of words, of which the last may be used in part.
 *
 * @param length bytes
 */
export function gpuWiden(context: GpuContext, words: GpuBuffer<"u32">, length: number): GpuBuffer<"u8"> {
  const bytes = context.scratch("u8", length, { zeroed: false });
  for (const { first, count } of windows(context, length)) {
    const some = Math.ceil(count / BYTES);
    context.run(
      { name: "widen", code: widen },
      [
        { buffer: bytes, access: "read_write", first, count },
        { buffer: words, access: "read", first: first / BYTES, count: some },
      ],
      [some],
      grid(context, some),
    );
  }
  return bytes;
}

/** Bytes as words, lowest byte first, without copying where they lie so. */
export function wordsOfBytes(bytes: Uint8Array): Uint32Array {
  if (bytes.byteOffset % BYTES === 0 && bytes.length % BYTES === 0) {
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / BYTES);
  }
  const words = new Uint32Array(Math.ceil(bytes.length / BYTES));
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

/** The first bytes of words. */
export function bytesOfWords(words: Uint32Array, length: number): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, length);
}

/** Runs of bytes that can be bound, and whose words begin at a window's start. */
function windows({ bindable }: GpuContext, length: number): { first: number; count: number }[] {
  const step = Math.floor(bindable / (WINDOW_ALIGNMENT * BYTES)) * WINDOW_ALIGNMENT * BYTES;
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => ({
    first: i * step,
    count: Math.min(step, length - i * step),
  }));
}
