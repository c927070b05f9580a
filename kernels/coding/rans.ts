/**
 * Asymmetric numeral systems by ranges (rANS; J. Duda, arXiv 1311.2540, 2013), interleaved (F. Giesen, arXiv 1402.3392, 2014).
 *
 * A lane is a whole number from LOWEST to 2^31 − 1. Lanes share one sequence of 16-bit words: whoever falls below LOWEST takes the next
 * one. The encoder goes from the last symbol to the first and starts at LOWEST, so a sound decoder ends there, with all words taken.
 */
import { PRECISION } from "./tables.ts";

/** Least value of a lane; where encoding begins and decoding ends. */
export const LOWEST = 2 ** 15;

/** Words of a stream that hold the lanes it begins with, two each. */
export const LANE_WORDS = 2;

/** Lanes being written, backwards. */
export interface Writer {
  readonly lanes: Int32Array;
  /** From the last word to the first. */
  words: Uint16Array;
  used: number;
}

/** Begins a stream, at its end. */
export function openWriter(lanes: number): Writer {
  return { lanes: new Int32Array(lanes).fill(LOWEST), words: new Uint16Array(1024), used: 0 };
}

/** Puts a symbol in front of what a lane holds. @param frequency from 1 */
export function putSymbol(writer: Writer, lane: number, start: number, frequency: number): void {
  let x = writer.lanes[lane];
  if (x >>> (31 - PRECISION) >= frequency) x = spill(writer, x);
  const times = x / frequency | 0;
  writer.lanes[lane] = (times << PRECISION) + (x - Math.imul(times, frequency)) + start;
}

/** Puts bits in front of what a lane holds. @param bits 0..15 */
export function putBits(writer: Writer, lane: number, value: number, bits: number): void {
  let x = writer.lanes[lane];
  if (x >>> (31 - bits) > 0) x = spill(writer, x);
  writer.lanes[lane] = (x << bits) + value;
}

/** Puts Elias' gamma code of a number in front, so that its zeros are read first. @param value 1..2¹⁵ − 1 */
export function putGamma(writer: Writer, lane: number, value: number): void {
  const length = 31 - Math.clz32(value);
  putBits(writer, lane, value - 2 ** length, length);
  putBits(writer, lane, 1, 1);
  for (let i = 0; i < length; i++) putBits(writer, lane, 0, 1);
}

/** The stream: its lanes, low words first, then the words as they are taken. */
export function closeWriter({ lanes, words, used }: Writer): Uint16Array {
  const stream = new Uint16Array(LANE_WORDS * lanes.length + used);
  lanes.forEach((x, lane) => {
    stream[2 * lane] = x & 0xffff;
    stream[2 * lane + 1] = x >>> 16;
  });
  for (let i = 0; i < used; i++) stream[LANE_WORDS * lanes.length + i] = words[used - 1 - i];
  return stream;
}

function spill(writer: Writer, x: number): number {
  if (writer.used === writer.words.length) {
    const more = new Uint16Array(2 * writer.words.length);
    more.set(writer.words);
    writer.words = more;
  }
  writer.words[writer.used++] = x & 0xffff;
  return x >>> 16;
}

/** One lane being read. */
export interface Reader {
  x: number;
  /** The next word. */
  at: number;
  readonly words: Uint16Array;
}

/** Takes bits. @param bits 0..15 */
export function takeBits(reader: Reader, bits: number): number {
  const value = reader.x & (1 << bits) - 1;
  reader.x >>>= bits;
  refill(reader);
  return value;
}

/**
 * Takes what `putGamma` put.
 *
 * @throws {RangeError} when it is larger than any that was put
 */
export function takeGamma(reader: Reader): number {
  let length = 0;
  while (takeBits(reader, 1) === 0) {
    if (++length > MOST_GAMMA) throw new RangeError("Cannot decode a stream: a number is too large");
  }
  return 2 ** length + takeBits(reader, length);
}

const MOST_GAMMA = 14;

/** Takes a word where a lane has become too low; beyond the end there are zeros. */
export function refill(reader: Reader): void {
  if (reader.x < LOWEST) reader.x = reader.x << 16 | reader.words[reader.at++];
}

/**
 * The lanes that a stream begins with.
 *
 * @throws {RangeError} when it is too short for them, or one is out of range
 */
export function openLanes(words: Uint16Array, count: number): Int32Array {
  const lanes = new Int32Array(count);
  if (words.length < LANE_WORDS * count) throw new RangeError("Cannot decode a stream: it is shorter than its lanes");
  for (let lane = 0; lane < count; lane++) {
    lanes[lane] = words[2 * lane] | words[2 * lane + 1] << 16;
    if (lanes[lane] < LOWEST) throw new RangeError(`Cannot decode a stream: lane ${lane} begins at ${lanes[lane]}`);
  }
  return lanes;
}

/**
 * Refuses a stream that has not come to its end.
 *
 * @throws {RangeError} when words are left or missing, or a lane is not where it began when it was written
 */
export function checkEnd(lanes: Int32Array, at: number, words: Uint16Array): void {
  if (at === words.length && lanes.every((x) => x === LOWEST)) return;
  throw new RangeError(`Cannot decode a stream: it does not end where it should, after ${at} of ${words.length} words`);
}
