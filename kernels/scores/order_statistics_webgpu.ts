/** Exact order statistics on WebGPU, of values and places that only the GPU knows: three histograms of a key's digits. */
import type { Matrix } from "../device.ts";
import digitsCode from "./order_digits.wgsl" with { type: "text" };
import histogramCode from "./order_histogram.wgsl" with { type: "text" };
import keysCode from "./order_keys.wgsl" with { type: "text" };
import type { GpuBuffer, GpuContext } from "../gpu/op.ts";
import { denseOffset, grid, reads, readsBuffer, rowWindows, writesBuffer } from "../gpu/dispatch.ts";

/**
 * Puts the order of floats before a shader.
 *
 * @param code a shader with one `main`
 */
export function withOrderKeys(code: string): string {
  return `${keysCode}\n${code}`;
}

const HISTOGRAM = { name: "order_histogram", code: withOrderKeys(histogramCode) };
const DIGITS_OF = { name: "order_digits", code: withOrderKeys(digitsCode) };

/** As in the shader. */
const DIGITS = 2048, WANTED_WORDS = 7;

/** Values that take part. */
export interface SeenValues {
  readonly values: Matrix;
  /** Takes |value|, and only of rank ≥ pruned in columns whose entry (1 × cols) is 0. */
  readonly seen?: { readonly salient: Matrix<"u8">; readonly rank: Matrix<"u8">; readonly pruned: number };
}

/** Which places are wanted: the neighbours of percentiles, or the bounds of ranks 1..of − 1. */
export type WantedPlaces = { readonly percentiles: number } | { readonly of: number };

/**
 * Where percentiles stand: 10..90 % in equal steps, or the median alone.
 *
 * @returns (total − 1)·(first + i·step)/parts is the place of percentile i
 */
export function percentilePlaces(
  count: number,
): { readonly first: number; readonly step: number; readonly parts: number } {
  return count === 1 ? { first: 1, step: 0, parts: 2 } : { first: count - 1, step: 8, parts: 10 * (count - 1) };
}

/**
 * Finds the values that stand at wanted places.
 *
 * @returns seven u32 for each place (`Wanted` of order_keys.wgsl), to be released by the caller
 */
export function gpuOrderStatistics(context: GpuContext, { values, seen }: SeenValues, places: WantedPlaces): GpuBuffer {
  const { cols } = values, percentiles = "percentiles" in places;
  const count = percentiles ? 2 * places.percentiles : places.of - 1;
  const wanted = context.scratch("u32", WANTED_WORDS * count, { zeroed: false });
  const tables = [DIGITS, DIGITS * count, DIGITS].map((length) => context.scratch("u32", length));
  const { first, step, parts } = percentilePlaces(percentiles ? places.percentiles : 1);
  const rank = seen?.rank ?? values;
  for (const level of [0, 1, 2]) {
    const counts = context.scratch("u32", level === 0 ? DIGITS : count * (level === 1 ? DIGITS : DIGITS / 2));
    for (const { rows, read: [bound, ranks] } of rowWindows(context, { read: [values, rank] })) {
      context.run(
        HISTOGRAM,
        [
          writesBuffer(counts),
          bound.binding,
          seen ? reads(seen.salient) : bound.binding,
          ranks.binding,
          readsBuffer(tables[0]),
          readsBuffer(tables[1]),
        ],
        [
          rows,
          cols,
          level,
          bound.offset,
          Number(seen !== undefined),
          seen ? denseOffset(seen.salient) : 0,
          ranks.offset,
          seen?.pruned ?? 0,
        ],
        grid(context, rows * cols),
      );
    }
    context.run(
      DIGITS_OF,
      [
        readsBuffer(counts),
        writesBuffer(wanted),
        writesBuffer(tables[level]),
        readsBuffer(tables[(level + 2) % 3]),
      ],
      [count, level, percentiles ? 0 : places.of, first, step, parts],
      grid(context, count),
    );
    context.release(counts);
  }
  for (const table of tables) context.release(table);
  return wanted;
}
