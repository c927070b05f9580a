/** The head as ONNX graphs whose weights are inputs: to logits, to what is made of them, and to what its matrix multiplies. */
import { Graph, type Value } from "../onnx/graph.ts";
import { ORIGINAL } from "./block_graph.ts";
import { gatherInput, norm } from "./graph_parts.ts";
import type { ModelSpec } from "./spec.ts";
import { headInputShapes, headShapes } from "./tensors.ts";

/**
 * The graph from hidden states to logits, or to the negative log-likelihood of given tokens, and what is likeliest.
 *
 * Inputs: `hidden` [tokens, hidden]; the head's tensors under their canonical names; `targets` [tokens, choices] (loss, choice).
 * Outputs: `logits` [tokens, vocab], or `loss` [tokens, choices], with `likeliest` [tokens] (choice).
 */
export function headGraph(spec: ModelSpec, output: "logits" | "loss" | "choice"): Uint8Array {
  const graph = new Graph("head");
  const shapes = headShapes(spec);
  for (const [name, shape] of shapes) graph.input(name, shape);
  const logits = graph.op("Gemm", [headInput(graph, spec), spec.frame.head], { transB: 1 });
  if (output === "logits") graph.output("logits", logits, ["tokens", spec.vocab]);
  else {
    const targets = graph.input("targets", ["tokens", "choices"], "int64");
    // Not ReduceLogSumExp: over 49,152 tokens it is off by 1e-4, this by 3e-6, in a third of the time.
    const chosen = graph.op("GatherElements", [graph.op("LogSoftmax", [logits], { axis: 1 }), targets], { axis: 1 });
    graph.output("loss", graph.op("Neg", [chosen]), ["tokens", "choices"]);
    if (output === "choice") {
      // Of equals the first, as elsewhere.
      graph.output("likeliest", graph.op("ArgMax", [logits], { axis: 1, keepdims: 0 }), ["tokens"], "int64");
    }
  }
  return graph.bytes();
}

/**
 * The graph that compares what two heads say after the same tokens: `hidden` and the head's tensors, and the original model's after
 * `original.`; `targets` [tokens, 1].
 *
 * Outputs, each [tokens, 1]: `loss`, and `original.loss`, the negative log-likelihoods of the targets; `divergence`, KL(original ‖ other)
 * over the vocabulary; `same`, 1 where both find the same token the likeliest, else 0.
 */
export function headComparisonGraph(spec: ModelSpec): Uint8Array {
  const graph = new Graph("heads"), shapes = headShapes(spec);
  const targets = graph.input("targets", ["tokens", 1], "int64");
  const [original, other] = [ORIGINAL, ""].map((stream) => {
    for (const [name, shape] of shapes) graph.input(`${stream}${name}`, shape);
    const head = `${stream}${spec.frame.head}`;
    const logits = graph.op("Gemm", [headInput(graph, spec, stream), head], { transB: 1 });
    const logs = graph.op("LogSoftmax", [logits], { axis: 1 });
    const chosen = graph.op("GatherElements", [logs, targets], { axis: 1 });
    graph.output(`${stream}loss`, graph.op("Neg", [chosen]), ["tokens", 1]);
    return { logs, likeliest: graph.op("ArgMax", [logits], { axis: 1, keepdims: 1 }) };
  });
  const away = graph.op("Mul", [graph.op("Exp", [original.logs]), graph.op("Sub", [original.logs, other.logs])]);
  graph.output("divergence", graph.op("ReduceSum", [away, graph.integers([1])], { keepdims: 1 }), ["tokens", 1]);
  const same = graph.op("Equal", [original.likeliest, other.likeliest]);
  graph.output("same", graph.op("Cast", [same], { to: FLOAT }), ["tokens", 1]);
  return graph.bytes();
}

/** ONNX's number of float32. */
const FLOAT = 1;

/** The name under which what the head's matrix multiplies is gathered. */
export const HEAD_INPUT = "head";

/**
 * The graph from hidden states to the second moments of what the head's matrix multiplies.
 *
 * Inputs: `hidden` [tokens, hidden]; the tensors of `headInputShapes`; running sums. Outputs: sums.
 */
export function headMomentsGraph(spec: ModelSpec): Uint8Array {
  const graph = new Graph("head inputs");
  for (const [name, shape] of headInputShapes(spec)) graph.input(name, shape);
  const x = headInput(graph, spec);
  gatherInput(graph, { input: HEAD_INPUT, x, original: undefined, width: spec.embedding }, { gather: "full" });
  return graph.bytes();
}

/** What the head's matrix multiplies, from `hidden`. @param stream what names begin with */
function headInput(graph: Graph, spec: ModelSpec, stream = ""): Value {
  const { finalNorm, projections } = spec.frame;
  const hidden = graph.input(`${stream}hidden`, ["tokens", spec.hidden]);
  const x = finalNorm === null ? hidden : norm(graph, spec, hidden, `${stream}${finalNorm}`);
  return projections ? graph.op("Gemm", [x, `${stream}${projections.out}`], { transB: 1 }) : x;
}
