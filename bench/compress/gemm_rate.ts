/** This machine's rate of float32 matrix products: what seconds measured on different machines are compared by. */
import { availableParallelism } from "node:os";
import { openMatMul } from "../measure/matmul.ts";

/** Rows and columns of the matrices, as in the record of official code. */
const SIZE = 1024;

/** Products before the first one that counts: onnxruntime's threads start with them. */
const WARM_UP = 10;

/** Samples of the rate, taken whenever the machine is free for a moment. */
export interface GemmRate {
  /** Times some products. */
  sample(count?: number): Promise<void>;
  /** GFLOP/s of every product so far. */
  readonly rates: readonly number[];
  close(): Promise<void>;
}

/** Opens the product of two 1024 × 1024 matrices in onnxruntime, on all cores. */
export async function openGemmRate(): Promise<GemmRate> {
  const product = await openMatMul({ m: SIZE, n: SIZE, k: SIZE, threads: availableParallelism() });
  for (let run = 0; run < WARM_UP; run++) await product.time();
  const rates: number[] = [];
  return {
    rates,
    async sample(count = 5) {
      for (let run = 0; run < count; run++) rates.push(2 * SIZE ** 3 / await product.time() / 1e6);
    },
    close: () => product.close(),
  };
}

/**
 * The middle value, or the mean of the middle two.
 *
 * @example
 * ```ts
 * import { median } from "./gemm_rate.ts";
 * import assert from "node:assert/strict";
 * assert.equal(median([3, 1, 2]), 2);
 * ```
 * @throws {RangeError} when there are no values
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take the median of no values");
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
