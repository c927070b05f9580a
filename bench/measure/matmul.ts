/** onnxruntime's own product of two matrices on the CPU: what other products are measured by. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Graph } from "../../onnx/graph.ts";

/** A product that can be made again and again, of an m × k and a k × n matrix. */
export interface MatMul {
  /** Makes it once. @returns milliseconds */
  time(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens a float32 MatMul, both matrices as inputs, and an output that is there already.
 *
 * @param options.threads cores that share a product
 * @param options.spinning whether they keep busy for a while after one, which others that run next would feel
 */
export async function openMatMul(
  { m, n, k, threads, spinning = true }: {
    readonly m: number;
    readonly n: number;
    readonly k: number;
    readonly threads: number;
    readonly spinning?: boolean;
  },
): Promise<MatMul> {
  const graph = new Graph("gemm");
  graph.output("product", graph.op("MatMul", [graph.input("a", [m, k]), graph.input("b", [k, n])]), [m, n]);
  const session = await InferenceSession.create(graph.bytes(), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: spinning ? "1" : "0" } } },
  });
  const values = (length: number) => Float32Array.from({ length }, (_, at) => Math.sin(at));
  const feeds = { a: new Tensor("float32", values(m * k), [m, k]), b: new Tensor("float32", values(k * n), [k, n]) };
  const fetches = { product: new Tensor("float32", new Float32Array(m * n), [m, n]) };
  return {
    async time() {
      const began = performance.now();
      await session.run(feeds, fetches);
      return performance.now() - began;
    },
    close: () => session.release(),
  };
}
