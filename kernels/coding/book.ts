/** The tables of a layer: those of the contexts that its rows' and columns' sizes lead to. */
import { contextOf, CONTEXTS, lowBits, type States, trellisOf } from "../trellis/ops.ts";
import type { Shapes } from "./shapes.ts";
import { readTables } from "./explicit.ts";
import { makeTable, type Table } from "./tables.ts";

/** Tables, and where to find them. */
export interface Book {
  readonly tables: readonly Table[];
  /** [quantizers, SUMS]: the table's number at MIDDLE plus the row's and the column's size; there is none where none is met. */
  readonly numbers: Uint16Array;
}

/** Sums of two sizes: −256 to 254. */
export const SUMS = 512;
/** Where the sum 0 is. */
export const MIDDLE = 256;

/** What a book is of. */
export interface Sizes {
  readonly states: States;
  readonly rowSizes: Int8Array;
  readonly columnSizes: Int8Array;
}

/**
 * Makes the tables of a layer.
 *
 * @param options.explicit untrusted: tables that are not made of shapes
 * @throws {RangeError} when they are none
 */
export function makeBook(
  { states, rowSizes, columnSizes }: Sizes,
  { shapes, explicit }: { readonly shapes: Shapes; readonly explicit: Uint8Array },
): Book {
  const { count } = trellisOf(states), rows = new Set(rowSizes), columns = new Set(columnSizes);
  const sums = new Set<number>(), own = readTables(explicit, count);
  for (const row of rows) for (const column of columns) sums.add(row + column);
  const numbers = new Uint16Array(count * SUMS), tables: Table[] = [], known = new Map<number, number>();
  for (let quantizer = 0; quantizer < count; quantizer++) {
    for (const sum of sums) {
      // The sum says the size to an eighth of an octave, twice as well as the context that the codes were counted in.
      const within = Math.max(-CONTEXTS, Math.min(CONTEXTS - 1, sum)), key = quantizer * SUMS + within;
      let number = known.get(key);
      if (number === undefined) {
        known.set(key, number = tables.length);
        const whole = contextOf(within, 0), context = contextOf(0, 0) + within / 2 - 0.25;
        const made = makeTable({ states, quantizer, context, shapes }, lowBits(whole));
        tables.push(own.get(quantizer * CONTEXTS + whole) ?? made);
      }
      numbers[quantizer * SUMS + MIDDLE + sum] = number;
    }
  }
  return { tables, numbers };
}
