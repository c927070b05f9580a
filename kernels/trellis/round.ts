/**
 * Rounds a column of weights to the points of a trellis: the sequence of codes that costs least, distortion and bits together (Viterbi).
 *
 * The rows of a column are one trellis, cut into strips that start in state 0 each. What paths cost is counted in whole numbers, so that the
 * better of two is found without a branch: which of them it is, is next to chance, and a processor that guesses it wrong loses more time
 * than all the rest takes.
 */
import { contextOf, CONTEXTS, MAX_CODE } from "./contexts.ts";
import { type States } from "./states.ts";

/** Magnitudes of codes that a table of costs tells apart; larger ones cost what the last does. */
export const COSTS = 64;

/** Parts of a squared step that costs are counted in. */
export const COST_PARTS = 4096;

/** Most rows of a strip: what a path costs must stay below 2³⁰ parts. */
const MAX_STRIP = 8192;

/** Most that one code may cost in bits. */
const MAX_COST = 24 * COST_PARTS;

/** What rounding depends on besides the weights. */
export interface Rounding {
  readonly states: States;
  /** Rows after which the trellis starts anew, MAX_STRIP at most. */
  readonly strip: number;
  /** [quantizers, CONTEXTS, COSTS]: of a magnitude, its sign's bit included (`partsOf`). All 0 for the nearest points. */
  readonly costs: Int32Array;
  /** [rows]: log2 of each row's size against the layer's, in eighths. */
  readonly rowSizes: Int8Array;
}

/**
 * Costs of codes in whole parts, from bits.
 *
 * @param bits [quantizers, CONTEXTS, COSTS]
 * @param lambda squared steps that a bit is worth
 */
export function partsOf(bits: Float32Array, lambda: number): Int32Array {
  return Int32Array.from(bits, (bit) => Math.min(Math.round(lambda * bit * COST_PARTS), MAX_COST));
}

/** Room for one column's decisions. */
export interface RoundingScratch {
  /** [rows]: of each state, which of its two predecessors is the better, as a bit. */
  readonly decisions: Uint8Array;
  /** [rows, 4]: the best even and odd code of quantizer 0, and of quantizer 1, and what they cost. */
  readonly magnitudes: Int16Array;
  readonly paid: Int32Array;
}

/** Room for columns of so many rows. */
export function roundingScratch(rows: number): RoundingScratch {
  return {
    decisions: new Uint8Array(rows),
    magnitudes: new Int16Array(4 * rows),
    paid: new Int32Array(4 * rows),
  };
}

/**
 * Rounds one column.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { CONTEXTS } from "./contexts.ts";
 * import { COSTS, roundColumn, roundingScratch } from "./round.ts";
 *
 * const x = Float64Array.of(0.2, -1.9, 3.1, 0.9), codes = new Int16Array(4), points = new Float64Array(4);
 * const rounding = { strip: 4, costs: new Int32Array(2 * CONTEXTS * COSTS), rowSizes: new Int8Array(4) };
 * roundColumn(codes, points, { ...rounding, states: 1, x, columnSize: 0 }, roundingScratch(4));
 * assert.deepEqual([...codes], [0, -2, 3, 1]);
 * roundColumn(codes, points, { ...rounding, states: 8, x, columnSize: 0 }, roundingScratch(4));
 * assert.deepEqual([...points], [0, -2, 4, 1]);
 * ```
 * @throws {RangeError} when a strip has too many rows
 * @param codes [rows], overwritten
 * @param points [rows], overwritten: what the codes stand for, in steps
 * @param options.x [rows]: the weights in steps
 * @param options.columnSize log2 of the column's size in steps, in eighths
 */
export function roundColumn(
  codes: Int16Array,
  points: Float64Array,
  { states, strip, costs, rowSizes, x, columnSize }: Rounding & {
    readonly x: Float64Array;
    readonly columnSize: number;
  },
  scratch: RoundingScratch,
): void {
  const rows = x.length;
  if (Math.min(strip, rows) > MAX_STRIP) {
    throw new RangeError(`Cannot round a column as a strip has at most ${MAX_STRIP} rows: current value is ${strip}`);
  }
  if (states === 1) return roundScalars(codes, points, { x, costs, rowSizes, columnSize });
  candidates({ x, costs, rowSizes, columnSize }, scratch);
  const { decisions, magnitudes } = scratch, walk = states === 8 ? walk8 : walk4;
  const predecessors = states === 8 ? PREDECESSORS8 : PREDECESSORS4;
  // The bit of a state that is its quantizer, and the words of the weights that have their signs.
  const shift = states === 8 ? 0 : 1, signs = new Int32Array(x.buffer, x.byteOffset, 2 * rows);
  for (let from = 0; from < rows; from += strip) {
    const to = Math.min(from + strip, rows);
    let state = walk(from, to, scratch);
    for (let i = to - 1; i >= from; i--) {
      const before = predecessors[2 * state + (decisions[i] >> state & 1)], s = before >> 1;
      const second = s >> shift & 1, k = magnitudes[4 * i + 2 * second + (before & 1)];
      // 2k, or 2k − 1 where k is not 0.
      const point = 2 * k - second & -k >> 31, sign = signs[2 * i + 1] >> 31;
      codes[i] = (k ^ sign) - sign;
      points[i] = (point ^ sign) - sign;
      state = s;
    }
  }
}

/** [states, 2]: where a state is come to from, as 2·state + parity of the code. */
const PREDECESSORS8 = Uint8Array.of(
  ...[2 * 0, 2 * 4 + 1],
  ...[2 * 2, 2 * 6 + 1],
  ...[2 * 0 + 1, 2 * 4],
  ...[2 * 2 + 1, 2 * 6],
  ...[2 * 3 + 1, 2 * 5],
  ...[2 * 1, 2 * 7 + 1],
  ...[2 * 3, 2 * 5 + 1],
  ...[2 * 1 + 1, 2 * 7],
);
const PREDECESSORS4 = Uint8Array.of(
  ...[2 * 0, 2 * 1 + 1],
  ...[2 * 2, 2 * 3 + 1],
  ...[2 * 0 + 1, 2 * 1],
  ...[2 * 2 + 1, 2 * 3],
);

interface Weights {
  readonly x: Float64Array;
  readonly costs: Int32Array;
  readonly rowSizes: Int8Array;
  readonly columnSize: number;
}

/** Above this, in steps, 0 costs more than any other code. */
const FAR = 16;

/**
 * What each weight costs with the best even and the best odd code of each quantizer: the points below and above it, of which one is even and
 * the other odd, and 0.
 */
function candidates({ x, costs, rowSizes, columnSize }: Weights, { paid, magnitudes }: RoundingScratch): void {
  for (let i = 0; i < x.length; i++) {
    const a = Math.abs(x[i]), near = Math.min(a, FAR), zero = near * near * COST_PARTS | 0;
    const first = contextOf(rowSizes[i], columnSize) * COSTS, at = 4 * i;
    // Quantizer 0 has points 2k.
    let k = Math.min(a / 2 | 0, MAX_CODE - 1), below = a - 2 * k, odd = k & 1;
    let low = (below * below * COST_PARTS | 0) + costs[first + Math.min(k, COSTS - 1)];
    let high = ((below - 2) * (below - 2) * COST_PARTS | 0) + costs[first + Math.min(k + 1, COSTS - 1)];
    let change = (high - low) & -odd, none = zero + costs[first];
    let even = low + change, better = (none - even) >> 31;
    paid[at] = even + ((none - even) & better);
    paid[at + 1] = high - change;
    magnitudes[at] = k + odd & ~better;
    magnitudes[at + 1] = k + 1 - odd;
    // Quantizer 1 has points 2k − 1, and 0.
    const second = first + CONTEXTS * COSTS;
    k = Math.min((a + 1) / 2 | 0, MAX_CODE - 1);
    below = a - 2 * k + 1;
    odd = k & 1;
    const away = below - 2;
    low = k === 0 ? zero + costs[second] : (below * below * COST_PARTS | 0) + costs[second + Math.min(k, COSTS - 1)];
    high = (away * away * COST_PARTS | 0) + costs[second + Math.min(k + 1, COSTS - 1)];
    change = (high - low) & -odd;
    none = zero + costs[second];
    even = low + change;
    better = (none - even) >> 31;
    paid[at + 2] = even + ((none - even) & better);
    paid[at + 3] = high - change;
    magnitudes[at + 2] = k + odd & ~better;
    magnitudes[at + 3] = k + 1 - odd;
  }
}

/** Above what can be reached. */
const NEVER = 2 ** 30;

// The walks are written out: an array of states would take longer than all the rest.

/** Weights `from` to `to`, forward. @returns the state that ends them best */
function walk8(from: number, to: number, { paid, decisions }: RoundingScratch): number {
  let c0 = 0, c1 = NEVER, c2 = NEVER, c3 = NEVER, c4 = NEVER, c5 = NEVER, c6 = NEVER, c7 = NEVER;
  for (let i = from; i < to; i++) {
    const e0 = paid[4 * i], o0 = paid[4 * i + 1], e1 = paid[4 * i + 2], o1 = paid[4 * i + 3];
    const a0 = c0 + e0 | 0, a1 = c2 + e0 | 0, a2 = c0 + o0 | 0, a3 = c2 + o0 | 0;
    const a4 = c3 + o1 | 0, a5 = c1 + e1 | 0, a6 = c3 + e1 | 0, a7 = c1 + o1 | 0;
    const d0 = (c4 + o0 | 0) - a0 | 0, d1 = (c6 + o0 | 0) - a1 | 0, d2 = (c4 + e0 | 0) - a2 | 0;
    const d3 = (c6 + e0 | 0) - a3 | 0, d4 = (c5 + e1 | 0) - a4 | 0, d5 = (c7 + o1 | 0) - a5 | 0;
    const d6 = (c5 + o1 | 0) - a6 | 0, d7 = (c7 + e1 | 0) - a7 | 0;
    // All ones where the other predecessor is the better.
    const m0 = d0 >> 31, m1 = d1 >> 31, m2 = d2 >> 31, m3 = d3 >> 31;
    const m4 = d4 >> 31, m5 = d5 >> 31, m6 = d6 >> 31, m7 = d7 >> 31;
    decisions[i] = m0 & 1 | m1 & 2 | m2 & 4 | m3 & 8 | m4 & 16 | m5 & 32 | m6 & 64 | m7 & 128;
    c0 = a0 + (d0 & m0) | 0, c1 = a1 + (d1 & m1) | 0, c2 = a2 + (d2 & m2) | 0, c3 = a3 + (d3 & m3) | 0;
    c4 = a4 + (d4 & m4) | 0, c5 = a5 + (d5 & m5) | 0, c6 = a6 + (d6 & m6) | 0, c7 = a7 + (d7 & m7) | 0;
  }
  return least(c0, c1, c2, c3, c4, c5, c6, c7);
}

/** Weights `from` to `to`, forward. @returns the state that ends them best */
function walk4(from: number, to: number, { paid, decisions }: RoundingScratch): number {
  let c0 = 0, c1 = NEVER, c2 = NEVER, c3 = NEVER;
  for (let i = from; i < to; i++) {
    const e0 = paid[4 * i], o0 = paid[4 * i + 1], e1 = paid[4 * i + 2], o1 = paid[4 * i + 3];
    const a0 = c0 + e0 | 0, a1 = c2 + e1 | 0, a2 = c0 + o0 | 0, a3 = c2 + o1 | 0;
    const d0 = (c1 + o0 | 0) - a0 | 0, d1 = (c3 + o1 | 0) - a1 | 0;
    const d2 = (c1 + e0 | 0) - a2 | 0, d3 = (c3 + e1 | 0) - a3 | 0;
    const m0 = d0 >> 31, m1 = d1 >> 31, m2 = d2 >> 31, m3 = d3 >> 31;
    decisions[i] = m0 & 1 | m1 & 2 | m2 & 4 | m3 & 8;
    c0 = a0 + (d0 & m0) | 0, c1 = a1 + (d1 & m1) | 0, c2 = a2 + (d2 & m2) | 0, c3 = a3 + (d3 & m3) | 0;
  }
  return least(c0, c1, c2, c3);
}

function least(...costs: number[]): number {
  let best = 0;
  for (let s = 1; s < costs.length; s++) if (costs[s] < costs[best]) best = s;
  return best;
}

/** Integers, or the one nearer to 0 where its bits cost less by more. */
function roundScalars(
  codes: Int16Array,
  points: Float64Array,
  { x, costs, rowSizes, columnSize }: Weights,
): void {
  for (let i = 0; i < x.length; i++) {
    const a = Math.abs(x[i]), table = contextOf(rowSizes[i], columnSize) * COSTS;
    let k = Math.min(Math.floor(a + 0.5), MAX_CODE);
    if (k > 0 && k < COSTS) {
      const cost = (code: number) => (a - code) * (a - code) * COST_PARTS + costs[table + code];
      if (cost(k - 1) < cost(k)) k--;
      if (cost(0) < cost(k)) k = 0;
    }
    codes[i] = x[i] < 0 ? -k : k;
    points[i] = codes[i];
  }
}
