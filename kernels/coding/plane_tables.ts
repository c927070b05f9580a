/**
 * Tables of a plane's symbols as bytes: the first and the last symbol that it has, and for each of them −log2 of its chance in 16ths, 255
 * where there is none. A table that no symbol is coded by has its last before its first.
 */
import { exp2 } from "./elementary.ts";
import { PRECISION } from "./tables.ts";

/** Frequencies of one table; they sum to 2^PRECISION, and each is less. */
export interface PlaneTable {
  /** [alphabet] */
  readonly frequencies: Uint16Array;
  /** [alphabet] */
  readonly starts: Uint16Array;
}

const TOTAL = 2 ** PRECISION;
/** Parts of a bit that logarithms are stored in. */
const PARTS = 16;
const ABSENT = 255;

/**
 * Writes the tables that suit counts.
 *
 * @param counts [tables, alphabet]
 */
export function writeTables(counts: Uint32Array, alphabet: number): Uint8Array {
  const bytes: number[] = [];
  for (let begin = 0; begin < counts.length; begin += alphabet) {
    const own = counts.subarray(begin, begin + alphabet), first = own.findIndex((count) => count > 0);
    if (first < 0) bytes.push(1, 0);
    else {
      const last = own.findLastIndex((count) => count > 0), all = own.reduce((sum, count) => sum + count, 0);
      bytes.push(first, last);
      for (const count of own.subarray(first, last + 1)) {
        bytes.push(count === 0 ? ABSENT : Math.min(ABSENT - 1, Math.round(-PARTS * Math.log2(count / all))));
      }
    }
  }
  return Uint8Array.from(bytes);
}

/**
 * Reads tables.
 *
 * @param bytes untrusted; more may follow
 * @returns the tables, undefined where no symbol is coded by one, and their bytes
 * @throws {RangeError} when they are none
 */
export function readTables(
  bytes: Uint8Array,
  { tables: count, alphabet }: { readonly tables: number; readonly alphabet: number },
): { readonly tables: readonly (PlaneTable | undefined)[]; readonly end: number } {
  const tables: (PlaneTable | undefined)[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const first = bytes[at], last = bytes[at + 1], end = at + 2 + Math.max(0, last - first + 1);
    const logarithms = bytes.subarray(at + 2, end);
    const none = first === 1 && last === 0, some = first <= last && last < alphabet;
    if (!(end <= bytes.length && (none || some && logarithms.some((each) => each !== ABSENT)))) {
      throw new RangeError(`Cannot decode a plane: byte ${at} of ${bytes.length} begins no table`);
    }
    tables.push(none ? undefined : tableOf(logarithms, first, alphabet));
    at = end;
  }
  return { tables, end: at };
}

function tableOf(logarithms: Uint8Array, first: number, alphabet: number): PlaneTable {
  const frequencies = new Uint16Array(alphabet);
  let all = 0;
  for (const each of logarithms) if (each !== ABSENT) all += exp2(-each / PARTS);
  let missing = TOTAL;
  logarithms.forEach((each, i) => {
    if (each === ABSENT) return;
    const frequency = Math.max(1, Math.min(TOTAL - 1, Math.floor(exp2(-each / PARTS) / all * TOTAL + 0.5)));
    frequencies[first + i] = frequency;
    missing -= frequency;
  });
  even(frequencies, missing);
  const starts = new Uint16Array(alphabet);
  for (let s = 0, start = 0; s < alphabet; s++) {
    starts[s] = start;
    start += frequencies[s];
  }
  return { frequencies, starts };
}

/** Makes up for rounding, by symbols that have the most places. */
function even(frequencies: Uint16Array, missing: number): void {
  for (let left = missing; left !== 0;) {
    let most = 0;
    for (let s = 1; s < frequencies.length; s++) if (frequencies[s] > frequencies[most]) most = s;
    // A symbol that had all places would cost nothing, and words would not bear out how many there are.
    const room = left > 0 ? TOTAL - 1 - frequencies[most] : 1;
    if (room === 0) {
      frequencies[most === 0 ? 1 : 0] += left;
      return;
    }
    const step = left > 0 ? Math.min(left, room) : -1;
    frequencies[most] += step;
    left -= step;
  }
}
