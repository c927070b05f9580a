/** Which view of a plane takes the fewest bits: all that suit its kind are tried on parts of it. */
import { writeTables } from "./plane_tables.ts";
import { bearsOut, countSymbols, encodePlane } from "./plane_code.ts";
import {
  alphabetOf,
  grainOf,
  holdsDigits,
  MOST_PERIOD,
  type PlaneView,
  readSymbols,
  symbolCount,
  tablesOf,
  tailBits,
} from "./plane_view.ts";

/** What a plane is made of. */
export interface PlaneKind {
  /** Bits of a number, where the plane is numbers of a type: floats, of which the highest bits say their size; else words of bits. */
  readonly floats?: 16 | 32;
  /** Numbers that are alike in turn: scales of one set; default: 1. */
  readonly period?: number;
}

/** Symbols that a view is tried on, in parts; all of them where there are fewer. */
const TRIED = 1 << 15;
const PARTS = 8;
/** Bits that a symbol is said to cost beside its own, as longer ones are decoded faster; and one that waits for those before it. */
const PER_SYMBOL = 0.003, WAITING = 0.002;
/** Bytes of a stream beside its tables and symbols. */
const BESIDE = 20;
/** Shorter planes, in bytes, are not worth trying. */
const FEWEST = 32;

/**
 * A plane in fewer bytes.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodePlane } from "./plane_code.ts";
 * import { compactPlane } from "./plane_choice.ts";
 *
 * const sparse = Uint8Array.from({ length: 4000 }, (_, i) => i % 10 === 0 ? 1 << i % 8 : 0);
 * const words = compactPlane(sparse, {});
 * assert.ok(words !== undefined && words.byteLength < 1500);
 * assert.deepEqual(decodePlane(words, sparse.length), sparse);
 * // Bits that are as good as random stay as they are.
 * assert.equal(compactPlane(crypto.getRandomValues(new Uint8Array(4000)), {}), undefined);
 * ```
 * @param bytes little-endian
 * @returns words that `decodePlane` reads; undefined where that takes as many bytes, or so few that they would not bear out the plane
 */
export function compactPlane(bytes: Uint8Array, kind: PlaneKind): Uint16Array | undefined {
  if (bytes.length < FEWEST) return undefined;
  const tried = viewsOf(kind).map((view) => ({ view, bits: estimate(bytes, view) })).sort((a, b) => a.bits - b.bits);
  const best = tried.find(({ view, bits }) => bits < 8 * bytes.length && (view.unit > 0 || holdsDigits(bytes)));
  const words = best && encodePlane(bytes, best.view);
  return words && words.byteLength < bytes.length && bearsOut(words.byteLength, bytes.length) ? words : undefined;
}

/** The views that are tried. */
function viewsOf({ floats, period = 1 }: PlaneKind): PlaneView[] {
  const views: PlaneView[] = [];
  if (floats !== undefined) {
    for (const each of new Set([1, 2, 4, period <= MOST_PERIOD ? period : 1])) {
      for (const head of [5, 6, 7, 8]) {
        for (const past of [0, Math.min(head, 6)]) views.push({ unit: floats, head, period: each, past });
      }
    }
    return views;
  }
  for (let unit = 1; unit <= 8; unit++) {
    views.push({ unit, head: unit, period: 1, past: 0 });
    if (unit <= 4) views.push({ unit, head: unit, period: 1, past: unit });
  }
  for (let head = 1; head <= 4; head++) {
    views.push({ unit: 0, head, period: 1, past: 0 });
    if (head < 4) views.push({ unit: 0, head, period: 1, past: head });
  }
  return views;
}

/** Bits that a view takes, by parts of the plane; infinitely many where it cannot be read in that way. */
function estimate(bytes: Uint8Array, view: PlaneView): number {
  const count = symbolCount(view, bytes.length), alphabet = alphabetOf(view);
  // Tables that have more symbols than the plane cannot pay.
  const counts = tablesOf(view) * alphabet > count ? undefined : countParts(bytes, view);
  if (counts === undefined) return Infinity;
  let bits = 0, tried = 0;
  for (let begin = 0; begin < counts.length; begin += alphabet) {
    const own = counts.subarray(begin, begin + alphabet), all = own.reduce((sum, each) => sum + each, 0);
    for (const each of own) if (each > 0) bits -= each * Math.log2(each / all);
    tried += all;
  }
  return bits * count / tried + count * (tailBits(view) + PER_SYMBOL + (view.past > 0 ? WAITING : 0)) +
    8 * (writeTables(counts, alphabet).length + BESIDE);
}

/** Symbols of parts of the plane, each a plane by itself. */
function countParts(bytes: Uint8Array, view: PlaneView): Uint32Array | undefined {
  const every = symbolCount(view, bytes.length) <= TRIED, grain = grainOf(view);
  const length = every
    ? bytes.length
    : grain * Math.ceil(bytes.length / symbolCount(view, bytes.length) * TRIED / PARTS / grain);
  let counts: Uint32Array | undefined;
  for (let part = 0; part < (every ? 1 : PARTS); part++) {
    const from = grain * Math.floor(part * (bytes.length - length) / (PARTS - 1) / grain);
    let symbols: Uint8Array;
    try {
      symbols = readSymbols(bytes.subarray(from, from + length), view);
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
    const own = countSymbols(symbols, view);
    counts = counts?.map((each, i) => each + own[i]) ?? own;
  }
  return counts;
}
