/** What the graphs of blocks and heads share: norms, and running sums of what is gathered about inputs. */
import type { Graph, Value } from "../onnx/graph.ts";
import type { ModelSpec } from "./spec.ts";

/** What is gathered about the inputs of the linears: nothing, Σx² per input, or the whole XᵀX. */
export type Gather = "none" | "diagonal" | "full";

/** A strip of XᵀX: rows `start` to `end`, columns `start` to the last. */
export interface Panel {
  readonly start: number;
  readonly end: number;
}

/**
 * Strips that cover the upper triangle of a size × size matrix. More strips mean fewer products computed twice, and
 * more copies of X: from 1,024 inputs up a third to two fifths of the work is saved.
 */
export function panels(size: number): Panel[] {
  const count = Math.max(1, Math.min(8, Math.round(size / 512)));
  const width = Math.ceil(size / count);
  return Array.from({ length: Math.ceil(size / width) }, (_, i) => ({
    start: i * width,
    end: Math.min(size, (i + 1) * width),
  }));
}

/** Name of a running sum that enters the graph, and (with `.out`) leaves it. */
export function sumName(input: string, panel: number): string {
  return `sum.${input}.${panel}`;
}

/** Name of a running sum X_oᵀX, as `sumName`. */
export function crossName(input: string): string {
  return `cross.${input}`;
}

/** Name of a running sum (R_o − R)ᵀX, as `sumName`, R being the residual stream. */
export function residualName(input: string): string {
  return `residual.${input}`;
}

/** Adds what is gathered about one input x [tokens, width] to the graph. */
export function gatherInput(
  graph: Graph,
  { input, x, original, width }: {
    readonly input: string;
    readonly x: Value;
    /** The same input in the second stream, where there is one. */
    readonly original: Value | undefined;
    readonly width: number;
  },
  { gather }: { readonly gather: Gather },
): void {
  if (gather === "diagonal") {
    graph.output(`diagonal.${input}`, graph.op("ReduceSumSquare", [x, graph.integers([0])], { keepdims: 0 }), [width]);
    return;
  }
  const strips = panels(width);
  for (const [index, { start, end }] of strips.entries()) {
    const columns = (from: number, to: number) =>
      from === 0 && to === width
        ? x
        : graph.op("Slice", [x, graph.integers([from]), graph.integers([to]), graph.integers([1])]);
    const shape = [end - start, width - start];
    const sum = graph.input(sumName(input, index), shape);
    const next = graph.op("Gemm", [columns(start, end), columns(start, width), sum], { transA: 1 });
    graph.output(`${sum}.out`, next, shape);
  }
  if (original === undefined) return;
  const sum = graph.input(crossName(input), [width, width]);
  graph.output(`${sum}.out`, graph.op("Gemm", [original, x, sum], { transA: 1 }), [width, width]);
}

/** The norm that the model has. */
export function norm(graph: Graph, { norm, eps }: ModelSpec, x: Value, name: string): Value {
  return norm === "rms" ? rmsNorm(graph, x, `${name}.weight`, eps) : layerNorm(graph, x, name, eps);
}

/** RMS norm, which norms of heads are whatever the others are. */
export function rmsNorm(graph: Graph, x: Value, weight: Value, eps: number): Value {
  return graph.op("RMSNormalization", [x, weight], { axis: -1, epsilon: { float: eps } });
}

function layerNorm(graph: Graph, x: Value, name: string, eps: number): Value {
  return graph.op("LayerNormalization", [x, `${name}.weight`, `${name}.bias`], { axis: -1, epsilon: { float: eps } });
}
