/** This machine's rate of float32 matrix products: what seconds measured on different machines are compared by. */
import { availableParallelism } from "node:os";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Graph } from "../../models/onnx.ts";

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
  const graph = new Graph("gemm");
  const product = graph.op("MatMul", [graph.input("a", [SIZE, SIZE]), graph.input("b", [SIZE, SIZE])]);
  graph.output("product", product, [SIZE, SIZE]);
  const session = await InferenceSession.create(graph.bytes(), {
    executionProviders: ["cpu"],
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const values = Float32Array.from({ length: SIZE * SIZE }, (_, at) => Math.sin(at));
  const feeds = { a: new Tensor("float32", values, [SIZE, SIZE]), b: new Tensor("float32", values, [SIZE, SIZE]) };
  const fetches = { product: new Tensor("float32", new Float32Array(SIZE * SIZE), [SIZE, SIZE]) };
  for (let run = 0; run < WARM_UP; run++) await session.run(feeds, fetches);
  const rates: number[] = [];
  return {
    rates,
    async sample(count = 5) {
      for (let run = 0; run < count; run++) {
        const began = performance.now();
        await session.run(feeds, fetches);
        rates.push(2 * SIZE ** 3 / (performance.now() - began) / 1e6);
      }
    },
    close: () => session.release(),
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
