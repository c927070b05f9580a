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
    const { loss, likeliest } = distribution(
      graph,
      spec,
      logits,
      graph.input("targets", ["tokens", "choices"], "int64"),
    );
    graph.output("loss", loss, ["tokens", "choices"]);
    if (output === "choice") graph.output("likeliest", likeliest, ["tokens", 1], "int64");
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
    const found = distribution(graph, spec, logits, targets);
    graph.output(`${stream}loss`, found.loss, ["tokens", 1]);
    return found;
  });
  // Σp·ln(p/q), p and q being weights ÷ their totals.
  const away = graph.op("Mul", [original.weights, graph.op("Sub", [original.below, other.below])]);
  const mean = graph.op("Div", [sumOverVocabulary(graph, spec, away), original.total]);
  const divergence = graph.op("Add", [mean, graph.op("Sub", [other.log, original.log])]);
  graph.output("divergence", divergence, ["tokens", 1]);
  const same = graph.op("Equal", [original.likeliest, other.likeliest]);
  graph.output("same", graph.op("Cast", [same], { to: FLOAT }), ["tokens", 1]);
  return graph.bytes();
}

/**
 * What logits say: `below`, how far each is below the largest; `weights`, their exponentials, and these's `total` with its logarithm `log`;
 * `loss` of the targets, ln Σexp − logit; `likeliest` [tokens, 1], of equals the first. All graphs have it from here, so that a model
 * measured beside another has the loss that it has by itself, to the last bit.
 */
function distribution(graph: Graph, spec: ModelSpec, logits: Value, targets: Value) {
  const likeliest = graph.op("ArgMax", [logits], { axis: 1, keepdims: 1 });
  const below = graph.op("Sub", [logits, graph.op("GatherElements", [logits, likeliest], { axis: 1 })]);
  const weights = graph.op("Exp", [below]), total = sumOverVocabulary(graph, spec, weights);
  const log = graph.op("Log", [total]), chosen = graph.op("GatherElements", [below, targets], { axis: 1 });
  return { below, weights, total, log, loss: graph.op("Sub", [log, chosen]), likeliest };
}

/**
 * Sums [tokens, vocab] over the vocabulary, part by part. Summed in one go, as LogSoftmax does, the many small shares of 49,152 tokens are
 * lost beside the few large ones: sums are off by 1e-5 where these are by 1e-7, and divergences by as much, which is all of a small one.
 */
function sumOverVocabulary(graph: Graph, { vocab }: ModelSpec, values: Value): Value {
  const part = largestPart(vocab), axes = (axis: number) => graph.integers([axis]);
  const parts = graph.op("Reshape", [values, graph.integers([-1, vocab / part, part])]);
  const sums = graph.op("ReduceSum", [parts, axes(2)], { keepdims: 0 });
  return graph.op("ReduceSum", [sums, axes(1)], { keepdims: 1 });
}

/** The largest divisor up to the root: vocabularies are rarely prime. */
function largestPart(vocab: number): number {
  let part = Math.floor(Math.sqrt(vocab));
  while (vocab % part !== 0) part--;
  return part;
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
