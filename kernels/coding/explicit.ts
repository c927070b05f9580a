/**
 * Tables of contexts that the layer's shapes do not suit, such as that of rows which are all the same: logarithms of chances, one after
 * the other, where that takes fewer bits than it saves.
 *
 * A table is: a byte that says quantizer · CONTEXTS + context, one with the last magnitude that has a chance of its own, and a byte for
 * each magnitude from 0 to it and for all larger ones: −log2 of the chance of both signs, in 16ths. Tables rise by their first byte.
 */
import { CONTEXTS, ESCAPE, lowBits, SYMBOLS } from "../trellis/ops.ts";
import { exp2 } from "./elementary.ts";
import { type Counted, fitShapes } from "./fit.ts";
import type { Shapes } from "./shapes.ts";
import { codeBits } from "./symbols.ts";
import { ENTRIES, makeTable, type Table, tableOfChances, ZERO } from "./tables.ts";

/** Parts of a bit that logarithms are stored in. */
const PARTS = 16;
/** Bytes of a table beside those of its magnitudes. */
const BESIDE = 3;
/** Codes of a context from which on a table of its own may save anything. */
const FEWEST = 64;

/**
 * The tables that are worth their bytes.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { CONTEXTS, contextOf, SYMBOLS } from "../trellis/ops.ts";
 * import { explicitTables } from "./explicit.ts";
 * import { defaultShapes } from "./shapes.ts";
 *
 * // All magnitudes are 3.
 * const counts = new Uint32Array(2 * CONTEXTS * SYMBOLS), context = contextOf(0, 0);
 * counts[context * SYMBOLS + 3] = 1000;
 * const [set, last, ...logarithms] = explicitTables({ states: 1, counts }, defaultShapes(1));
 * assert.deepEqual([set, last, logarithms], [context, 3, [255, 255, 255, 0, 255]]);
 * ```
 */
export function explicitTables({ states, counts }: Counted, shapes: Shapes): Uint8Array {
  const bytes: number[] = [];
  for (let set = 0; set * SYMBOLS < counts.length; set++) {
    const own = counts.subarray(set * SYMBOLS, (set + 1) * SYMBOLS), all = own.reduce((sum, count) => sum + count, 0);
    const context = set % CONTEXTS;
    if (all < FEWEST || lowBits(context) > 0) continue;
    const bits = (table: Table) => {
      let sum = 0;
      for (let s = 0; s < SYMBOLS; s++) if (own[s] > 0) sum += own[s] * codeBits(table, s);
      return sum;
    };
    const coded = logarithmsOf(own, all);
    const spent = bits(tableOfLogarithms(coded)) + 8 * (BESIDE - 1 + coded.length);
    if (spent < bits(makeTable({ states, quantizer: Math.floor(set / CONTEXTS), context, shapes }))) {
      bytes.push(set, coded.length - 2, ...coded);
    }
  }
  return Uint8Array.from(bytes);
}

/** Shapes and tables that suit counts; shapes are those of the contexts that have no tables of their own. */
export function fitTables(counted: Counted): { readonly shapes: Shapes; readonly explicit: Uint8Array } {
  const shapes = fitShapes(counted), explicit = explicitTables(counted, shapes);
  if (explicit.length === 0) return { shapes, explicit };
  const counts = counted.counts.slice();
  for (const set of readTables(explicit, 2).keys()) counts.fill(0, set * SYMBOLS, (set + 1) * SYMBOLS);
  const refitted = fitShapes({ ...counted, counts });
  return { shapes: refitted, explicit: explicitTables(counted, refitted) };
}

/** Logarithms of chances: of magnitudes up to the largest that occurs, and of all larger ones. */
function logarithmsOf(own: Uint32Array, all: number): number[] {
  let last = 0;
  for (let s = 1; s < ESCAPE; s++) if (own[s] > 0) last = s;
  const logarithm = (count: number) => count === 0 ? 255 : Math.min(255, Math.round(-PARTS * Math.log2(count / all)));
  return [...Array.from(own.subarray(0, last + 1), logarithm), logarithm(own[ESCAPE])];
}

function tableOfLogarithms(logarithms: ArrayLike<number>): Table {
  const chances = new Float64Array(ENTRIES), last = logarithms.length - 2;
  let sum = 0;
  for (let i = 0; i < logarithms.length; i++) sum += exp2(-logarithms[i] / PARTS);
  for (let s = 0; s <= last; s++) {
    const chance = exp2(-logarithms[s] / PARTS) / sum;
    chances[ZERO + s] = chances[ZERO - s] = s === 0 ? chance : chance / 2;
  }
  return tableOfChances(chances, { last, low: 0 });
}

/**
 * Reads tables.
 *
 * @param bytes untrusted
 * @param quantizers that there are
 * @returns by quantizer · CONTEXTS + context
 * @throws {RangeError} when they are not what `explicitTables` writes
 */
export function readTables(bytes: Uint8Array, quantizers: number): Map<number, Table> {
  const tables = new Map<number, Table>();
  for (let at = 0, before = -1; at < bytes.length;) {
    const set = bytes[at], end = at + BESIDE + bytes[at + 1] + 1;
    if (
      !(end <= bytes.length && bytes[at + 1] < ESCAPE && set > before && set < quantizers * CONTEXTS &&
        lowBits(set % CONTEXTS) === 0)
    ) throw new RangeError(`Cannot decode tables: byte ${at} of ${bytes.length} begins none`);
    tables.set(set, tableOfLogarithms(bytes.subarray(at + 2, end)));
    before = set;
    at = end;
  }
  return tables;
}
