/** How often magnitudes occur in their contexts, and what that says of their bits. */
import { contextOf, CONTEXTS, ESCAPE, lowBits, type States, SYMBOLS, trellisOf } from "../trellis/ops.ts";
import { fitShapes, magnitudeChances } from "./fit.ts";
import { type LayerCodes, walkRows } from "./layer_codes.ts";

/**
 * Counts of magnitudes without their low bits, and the bits that are stored as they are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { CONTEXTS, SYMBOLS } from "../trellis/ops.ts";
 * import { entropyBits, type Histogram } from "./histogram.ts";
 *
 * const counts = new Uint32Array(2 * CONTEXTS * SYMBOLS).fill(4, 0, 2), histogram: Histogram = { states: 1, counts, raw: 4 };
 * assert.equal(entropyBits(histogram), 8 + 4);
 * ```
 */
export interface Histogram {
  readonly states: States;
  /** [2 quantizers, CONTEXTS, SYMBOLS]; the last symbol is all larger ones. */
  readonly counts: Uint32Array;
  /** Bits of signs, of low bits, and of what is behind the last symbol. */
  readonly raw: number;
}

/**
 * Counts the codes of a layer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf, SYMBOLS } from "../trellis/ops.ts";
 * import { histogram } from "./histogram.ts";
 *
 * const codes = Int16Array.of(0, -2, 3, 0), rowSizes = Int8Array.of(0, 0), columnSizes = rowSizes;
 * const { counts, raw } = histogram({ rows: 2, cols: 2, states: 1, strip: 2, codes, rowSizes, columnSizes });
 * const at = contextOf(0, 0) * SYMBOLS;
 * assert.deepEqual([...counts.subarray(at, at + 4), raw], [2, 0, 1, 1, 2]);
 * ```
 */
export function histogram(layer: Omit<LayerCodes, "steps">): Histogram {
  const { rows, cols, states, strip, codes, rowSizes, columnSizes } = layer;
  const counts = new Uint32Array(2 * CONTEXTS * SYMBOLS);
  let raw = 0;
  for (let from = 0; from < rows; from += strip) {
    walkRows(layer, { from, to: Math.min(from + strip, rows) }, (row, quantizers) => {
      for (let j = 0, at = row * cols; j < cols; j++, at++) {
        const context = contextOf(rowSizes[row], columnSizes[j]), low = lowBits(context), k = Math.abs(codes[at]);
        const symbol = Math.min(k >> low, ESCAPE);
        counts[(quantizers[j] * CONTEXTS + context) * SYMBOLS + symbol]++;
        raw += low + (k > 0 ? 1 : 0);
        if (symbol === ESCAPE) raw += gammaBits((k >> low) - ESCAPE + 1);
      }
    });
  }
  return { states, counts, raw };
}

/** Bits of Elias' gamma code of a number from 1 on. */
export function gammaBits(value: number): number {
  return 2 * (31 - Math.clz32(value)) + 1;
}

/** Entropy of the symbols in their quantizers and contexts, and the bits that are stored as they are. @returns bits */
export function entropyBits({ counts, raw }: Histogram): number {
  let bits = raw;
  for (let at = 0; at < counts.length; at += SYMBOLS) {
    let all = 0;
    for (let s = 0; s < SYMBOLS; s++) all += counts[at + s];
    for (let s = 0; s < SYMBOLS; s++) {
      const count = counts[at + s];
      if (count > 0) bits -= count * Math.log2(count / all);
    }
  }
  return bits;
}

/** Counts from which on a context is believed. */
const ENOUGH = 200;
/** What the shape counts there. */
const PRIOR = 20;

/**
 * What magnitudes cost: by counts where there are enough, by the shape that fits them all elsewhere.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { CONTEXTS, contextOf, SYMBOLS } from "../trellis/ops.ts";
 * import { costTable } from "./histogram.ts";
 *
 * const costs = costTable({ states: 8, counts: new Uint32Array(2 * CONTEXTS * SYMBOLS), raw: 0 });
 * const of = (context: number, k: number) => costs[context * 64 + k];
 * // Zero is cheap where weights are smaller than a step, and dear where they are larger.
 * assert.ok(of(contextOf(-8, -8), 0) < 0.1 && of(contextOf(0, 24), 0) > 3);
 * ```
 * @returns [2 quantizers, CONTEXTS, 64]: bits of magnitudes 0 to 63 with their sign and all that is stored of them
 */
export function costTable({ states, counts }: Histogram): Float32Array {
  const costs = new Float32Array(2 * CONTEXTS * COSTS), shapes = fitShapes({ states, counts });
  for (let quantizer = 0; quantizer < trellisOf(states).count; quantizer++) {
    for (let context = 0; context < CONTEXTS; context++) {
      const index = quantizer * CONTEXTS + context, own = counts.subarray(index * SYMBOLS, (index + 1) * SYMBOLS);
      const chances = magnitudeChances({ states, quantizer, context, shapes }), low = lowBits(context);
      const all = own.reduce((sum, count) => sum + count, 0), weight = all > ENOUGH ? PRIOR : 1;
      for (let k = 0; k < COSTS; k++) {
        const symbol = Math.min(k >> low, ESCAPE), counted = all > ENOUGH ? own[symbol] : 0;
        const chance = (counted + weight * chances[symbol]) / (weight + (all > ENOUGH ? all : 0));
        costs[index * COSTS + k] = -Math.log2(chance) + low + (k > 0 ? 1 : 0) +
          (symbol === ESCAPE ? gammaBits((k >> low) - ESCAPE + 1) : 0);
      }
    }
  }
  return costs;
}

/** Magnitudes that a table of costs has. */
const COSTS = 64;
