/**
 * Rounds a column of weights to the points of a trellis: the sequence of codes that costs least, distortion and bits together (Viterbi).
 *
 * The rows of a column are one trellis, cut into strips that start in state 0 each. Both decisions and sums are made in float64, so
 * that codes depend on the operands alone.
 */
import { contextOf, CONTEXTS, MAX_CODE } from "./contexts.ts";
import { type States } from "./states.ts";

/** Magnitudes of codes that a table of costs tells apart; larger ones cost what the last does. */
export const COSTS = 64;

/** What rounding depends on besides the weights. */
export interface Rounding {
  readonly states: States;
  /** Rows after which the trellis starts anew. */
  readonly strip: number;
  /** [quantizers, CONTEXTS, COSTS]: of a magnitude, its sign's bit included; in squared steps. All 0 for the nearest points. */
  readonly costs: Float32Array;
  /** [rows]: log2 of each row's size against the layer's, in eighths. */
  readonly rowSizes: Int8Array;
}

/** Room for one column's decisions. */
export interface RoundingScratch {
  /** [rows]: of each state, which of its two predecessors is the better, as a bit. */
  readonly decisions: Uint8Array;
  /** [rows, 4]: the best even and odd code of quantizer 0, and of quantizer 1, and what they cost. */
  readonly magnitudes: Int16Array;
  readonly paid: Float64Array;
}

/** Room for columns of so many rows. */
export function roundingScratch(rows: number): RoundingScratch {
  return {
    decisions: new Uint8Array(rows),
    magnitudes: new Int16Array(4 * rows),
    paid: new Float64Array(4 * rows),
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
 * const rounding = { strip: 4, costs: new Float32Array(2 * CONTEXTS * COSTS), rowSizes: new Int8Array(4) };
 * roundColumn(codes, points, { ...rounding, states: 1, x, columnSize: 0 }, roundingScratch(4));
 * assert.deepEqual([...codes], [0, -2, 3, 1]);
 * roundColumn(codes, points, { ...rounding, states: 8, x, columnSize: 0 }, roundingScratch(4));
 * assert.deepEqual([...points], [0, -2, 4, 1]);
 * ```
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
  if (states === 1) return roundScalars(codes, points, { x, costs, rowSizes, columnSize });
  candidates({ x, costs, rowSizes, columnSize }, scratch);
  const { decisions, magnitudes } = scratch, walk = states === 8 ? walk8 : walk4;
  const predecessors = states === 8 ? PREDECESSORS8 : PREDECESSORS4;
  const quantizer = states === 8 ? 1 : 2;
  for (let from = 0; from < rows; from += strip) {
    const to = Math.min(from + strip, rows);
    let state = walk(from, to, scratch);
    for (let i = to - 1; i >= from; i--) {
      const before = predecessors[2 * state + (decisions[i] >> state & 1)], s = before >> 1;
      const second = (s & quantizer) === 0 ? 0 : 1, k = magnitudes[4 * i + 2 * second + (before & 1)];
      const point = second === 0 ? 2 * k : k === 0 ? 0 : 2 * k - 1;
      const negative = x[i] < 0;
      codes[i] = negative ? -k : k;
      points[i] = negative ? -point : point;
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
  readonly costs: Float32Array;
  readonly rowSizes: Int8Array;
  readonly columnSize: number;
}

/** The largest magnitude at which 0 may still cost less, as it is next to free in bits. */
const NEAR = 3;

/**
 * What each weight costs with the best even and the best odd code of each quantizer: the points below and above it, of which one is even and
 * the other odd, and 0.
 */
function candidates({ x, costs, rowSizes, columnSize }: Weights, { paid, magnitudes }: RoundingScratch): void {
  for (let i = 0; i < x.length; i++) {
    const a = Math.abs(x[i]), context = contextOf(rowSizes[i], columnSize);
    for (let quantizer = 0; quantizer < 2; quantizer++) {
      const table = (quantizer * CONTEXTS + context) * COSTS, shift = quantizer;
      const k = Math.min((a + shift) / 2 | 0, MAX_CODE - 1);
      // Points are 2k, or 2k − 1 and 0.
      const below = k === 0 ? a : a - 2 * k + shift, above = a - 2 * k - 2 + shift;
      const low = below * below + costs[table + (k < COSTS ? k : COSTS - 1)];
      const high = above * above + costs[table + (k + 1 < COSTS ? k + 1 : COSTS - 1)];
      const odd = k & 1, at = 4 * i + 2 * quantizer;
      paid[at + odd] = low;
      paid[at + 1 - odd] = high;
      magnitudes[at + odd] = k;
      magnitudes[at + 1 - odd] = k + 1;
      if (k > 0 && k <= NEAR) {
        const none = a * a + costs[table];
        if (none < paid[at]) {
          paid[at] = none;
          magnitudes[at] = 0;
        }
      }
    }
  }
}

/** Above what can be reached. */
const NEVER = 1e300;

// The walks are written out: an array of states would take longer than all the rest.

/** Weights `from` to `to`, forward. @returns the state that ends them best */
function walk8(from: number, to: number, { paid, decisions }: RoundingScratch): number {
  let c0 = 0, c1 = NEVER, c2 = NEVER, c3 = NEVER, c4 = NEVER, c5 = NEVER, c6 = NEVER, c7 = NEVER;
  for (let i = from; i < to; i++) {
    const e0 = paid[4 * i], o0 = paid[4 * i + 1], e1 = paid[4 * i + 2], o1 = paid[4 * i + 3];
    let bits = 0, n0 = c0 + e0, n1 = c2 + e0, n2 = c0 + o0, n3 = c2 + o0;
    let n4 = c3 + o1, n5 = c1 + e1, n6 = c3 + e1, n7 = c1 + o1, other: number;
    if ((other = c4 + o0) < n0) n0 = other, bits |= 1;
    if ((other = c6 + o0) < n1) n1 = other, bits |= 2;
    if ((other = c4 + e0) < n2) n2 = other, bits |= 4;
    if ((other = c6 + e0) < n3) n3 = other, bits |= 8;
    if ((other = c5 + e1) < n4) n4 = other, bits |= 16;
    if ((other = c7 + o1) < n5) n5 = other, bits |= 32;
    if ((other = c5 + o1) < n6) n6 = other, bits |= 64;
    if ((other = c7 + e1) < n7) n7 = other, bits |= 128;
    decisions[i] = bits;
    c0 = n0, c1 = n1, c2 = n2, c3 = n3, c4 = n4, c5 = n5, c6 = n6, c7 = n7;
  }
  return least(c0, c1, c2, c3, c4, c5, c6, c7);
}

/** Weights `from` to `to`, forward. @returns the state that ends them best */
function walk4(from: number, to: number, { paid, decisions }: RoundingScratch): number {
  let c0 = 0, c1 = NEVER, c2 = NEVER, c3 = NEVER;
  for (let i = from; i < to; i++) {
    const e0 = paid[4 * i], o0 = paid[4 * i + 1], e1 = paid[4 * i + 2], o1 = paid[4 * i + 3];
    let bits = 0, n0 = c0 + e0, n1 = c2 + e1, n2 = c0 + o0, n3 = c2 + o1, other: number;
    if ((other = c1 + o0) < n0) n0 = other, bits |= 1;
    if ((other = c3 + o1) < n1) n1 = other, bits |= 2;
    if ((other = c1 + e0) < n2) n2 = other, bits |= 4;
    if ((other = c3 + e1) < n3) n3 = other, bits |= 8;
    decisions[i] = bits;
    c0 = n0, c1 = n1, c2 = n2, c3 = n3;
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
      const cost = (code: number) => (a - code) * (a - code) + costs[table + code];
      if (cost(k - 1) < cost(k)) k--;
      if (k > 0 && k <= NEAR && cost(0) < cost(k)) k = 0;
    }
    codes[i] = x[i] < 0 ? -k : k;
    points[i] = codes[i];
  }
}
