/**
 * Frequencies of symbols, as the coder needs them: whole numbers that sum to 2^PRECISION, one for each place in that range.
 *
 * A symbol is a code without its low bits, rounded down. Symbols from −last to last have a frequency each, all others one together:
 * behind it stand the sign and what exceeds last, in bits.
 */
import { ESCAPE, lowBits } from "../trellis/ops.ts";
import { type Cells, masses } from "./shapes.ts";

/** log2 of what frequencies sum to. */
export const PRECISION = 12;
const TOTAL = 2 ** PRECISION;

/** Where the symbol that stands for all others is among a table's. */
export const OTHERS = 0;
/** Where symbol 0 is. */
export const ZERO = 64;
/** Symbols of a table: the others, then −63 to 63. */
export const ENTRIES = 128;

/** Frequencies of one table. */
export interface Table {
  /** [ENTRIES]: symbol s is at ZERO + s. */
  readonly frequencies: Uint16Array;
  /** [ENTRIES]: where a symbol's places begin. */
  readonly starts: Uint16Array;
  /** Largest magnitude of a symbol that has its own. */
  readonly last: number;
  /** Low bits of codes. */
  readonly low: number;
}

/**
 * The table of a quantizer in a context.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf } from "../trellis/ops.ts";
 * import { defaultShapes } from "./shapes.ts";
 * import { makeTable, ZERO } from "./tables.ts";
 *
 * const { frequencies, last } = makeTable({ states: 1, quantizer: 0, context: contextOf(0, 0), shapes: defaultShapes(1) });
 * assert.deepEqual([frequencies.reduce((sum, each) => sum + each), last], [4096, 4]);
 * assert.equal(frequencies[ZERO + 1], frequencies[ZERO - 1]);
 * ```
 */
export function makeTable(cells: Cells, low: number = lowBits(cells.context)): Table {
  const count = ESCAPE + 1, sums = masses(cells, { count, low });
  return tableOf(sums, { low, short: low === 0 ? sums : masses(cells, { count, low, short: 1 }) });
}

/**
 * A table by masses.
 *
 * @param sums as `masses` gives them
 * @param short those that end before the code that begins the next ones; without low bits there is none between, and they are not read
 */
function tableOf(sums: Float64Array, { low, short }: { readonly low: number; readonly short: Float64Array }): Table {
  const chances = new Float64Array(ENTRIES), total = 2 * sums[sums.length - 1], most = sums.length - 2;
  // Symbol s holds codes s·2^low to (s + 1)·2^low − 1.
  for (let s = 0; s <= most; s++) {
    const own = low === 0
      ? sums[s] - (s === 0 ? -sums[0] : sums[s - 1])
      : short[s + 1] - (s === 0 ? -sums[0] : short[s]);
    chances[ZERO + s] = own / total;
    if (s > 0) chances[ZERO - s] = (sums[s] - sums[s - 1]) / total;
  }
  let last = 0;
  for (let s = 1; s <= most; s++) if (chances[ZERO - s] * TOTAL >= 0.5 || chances[ZERO + s] * TOTAL >= 0.5) last = s;
  return tableOfChances(chances, { last, low });
}

/**
 * A table by chances.
 *
 * @param chances [ENTRIES]: of symbols −last to last; the others have what is left of 1
 */
export function tableOfChances(
  chances: Float64Array,
  { last, low }: { readonly last: number; readonly low: number },
): Table {
  const frequencies = new Uint16Array(ENTRIES);
  let within = 0, sum = 0;
  for (let s = -last; s <= last; s++) {
    within += chances[ZERO + s];
    sum += frequencies[ZERO + s] = Math.max(1, Math.floor(chances[ZERO + s] * TOTAL + 0.5));
  }
  // All others leave a place for each symbol, so that rounding can be made up for.
  const others = Math.floor((1 - within) * TOTAL + 0.5);
  sum += frequencies[OTHERS] = Math.max(1, Math.min(others, TOTAL - (2 * last + 1)));
  spread(frequencies, { missing: TOTAL - sum, last });
  const starts = new Uint16Array(ENTRIES);
  for (let at = 0, start = 0; at < ENTRIES; at++) {
    starts[at] = start;
    start += frequencies[at];
  }
  return { frequencies, starts, last, low };
}

/** Makes up for rounding, one by one from symbol 0 outwards. */
function spread(
  frequencies: Uint16Array,
  { missing, last }: { readonly missing: number; readonly last: number },
): void {
  const sign = Math.sign(missing);
  for (let left = Math.abs(missing), turn = 0; left > 0; turn++) {
    const s = turn % (2 * last + 1), at = ZERO + (s % 2 === 0 ? -s / 2 : (s + 1) / 2);
    if (frequencies[at] + sign < 1) continue;
    frequencies[at] += sign;
    left--;
  }
}

/**
 * What the decoder looks up: by place the symbol (bits 24 to 31, signed; the others are OUTSIDE), its frequency (12 to 23), and how far
 * the place is from its start (0 to 11).
 *
 * @param places [2^PRECISION]
 */
export function fillPlaces(places: Int32Array, { frequencies, starts }: Table): void {
  for (let at = 0; at < ENTRIES; at++) {
    const frequency = frequencies[at], word = (at - ZERO) << 24 | frequency << PRECISION;
    for (let offset = 0, place = starts[at]; offset < frequency; offset++, place++) places[place] = word | offset;
  }
}

/** The symbol that stands for all others, where symbols are read. */
export const OUTSIDE = OTHERS - ZERO;
