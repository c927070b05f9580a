/**
 * One transformer block as an ONNX graph whose weights are inputs: one session serves all blocks.
 *
 * Maths: Touvron et al. 2302.13971 (LLaMA), Su et al. 2104.09864 (rotary), Ainslie et al. 2305.13245 (grouped queries),
 * Zhang et al. 2205.01068 (OPT), Dehghani et al. 2302.05442 (norms of queries and keys); layout and rotary order are
 * Hugging Face's. Which of it a model has its spec says; no family is known here.
 */
import { Graph, type Value } from "../onnx/graph.ts";
import { type Gather, gatherInput, norm, residualName, rmsNorm } from "./graph_parts.ts";
import type { ModelSpec } from "./spec.ts";
import { blockPrefix, blockShapes, linearInputs } from "./tensors.ts";

/** A variant of a block's graph. */
export interface BlockVariant {
  readonly gather: Gather;
  /** Whether the block's output is computed; without it the last linear is left out. */
  readonly output: boolean;
  /** Whether past keys and values come in and go out, for generation. */
  readonly cache: boolean;
  /**
   * Whether attention is onnxruntime's fused operator, which its cpu provider is best at, or products and a softmax,
   * which every provider has. The fused one is wrong on Dawn over SwiftShader (off by a sixth), and CUDA's knows half
   * precision only.
   */
  readonly fused: boolean;
  /** Whether a `bias` of attention's scores says who sees whom, instead of the order of tokens. Default: no; not with a cache. */
  readonly biased?: boolean;
  /** The inputs of which something is gathered; default: all. Without output nothing is computed beyond the last of them. */
  readonly inputs?: readonly string[];
  /**
   * Whether a second stream of hidden states, the original model's, goes through the block beside the first, for the cross moments of
   * its inputs with those of the first (`gather: "full"`), and whether its output is computed. Default: no. With `residual` also how far
   * the residual stream is from the original model's where linears are added to it, times their inputs.
   */
  readonly original?: { readonly output: boolean; readonly residual?: boolean };
}

/** What the names of the second stream's hidden states, weights and output begin with. */
export const ORIGINAL = "original.";

/** Inputs of linears whose outputs are added to the residual stream. */
export const ADDED: readonly string[] = ["output", "down"];

/** Inputs of which a variant gathers something, in the order data flows. */
export function gatheredInputs(spec: ModelSpec, { gather, inputs }: Pick<BlockVariant, "gather" | "inputs">): string[] {
  if (gather === "none") return [];
  return [...linearInputs(spec).keys()].filter((input) => inputs === undefined || inputs.includes(input));
}

/**
 * The graph of a block.
 *
 * Inputs: `hidden` [windows, length, hidden]; the block's tensors, named without the block's prefix; `last` [windows]
 * (index of the last key) and `total` (number of keys), or where attention is not fused `queries` [length, 1] and `keys`
 * [1, keys], the positions of both; biased: `bias` [windows, 1, length, length], then without the positions of both; rotary: `positions` [windows, length], `cos` and `sin` [positions, headDim / 2]; cache: `past.key`, `past.value` [windows, kvHeads, past, headDim]; full: running sums.
 * With a second stream: `original.hidden` and the block's tensors after `original.`, and running sums of cross moments, and of differences
 * of the residual streams.
 * Outputs: `output` like `hidden`, `original.output`; cache: `present.key`, `present.value`; diagonal: `diagonal.<input>`; full: sums.
 *
 * @returns the serialised model
 */
export function blockGraph(spec: ModelSpec, variant: BlockVariant): Uint8Array {
  const graph = new Graph("block"), declare = declareOnce(graph);
  const gathered = gatheredInputs(spec, variant), last = gathered.at(-1);
  const originals = new Map<string, Seen>();
  if (variant.original) {
    const { output } = variant.original, see = (input: string, seen: Seen) => void originals.set(input, seen);
    addStream(graph, spec, { declare, variant, name: ORIGINAL, last: output ? undefined : last, see });
  }
  const see = (input: string, { x, added }: Seen) => {
    if (!gathered.includes(input)) return;
    const original = originals.get(input), width = linearInputs(spec).get(input) ?? 0;
    gatherInput(graph, { input, x, original: original?.x, width }, variant);
    if (!variant.original?.residual || added === undefined || original?.added === undefined) return;
    const sum = graph.input(residualName(input), [spec.hidden, width]);
    const away = graph.op("Sub", [original.added, added]);
    graph.output(`${sum}.out`, graph.op("Gemm", [away, x, sum], { transA: 1 }), [spec.hidden, width]);
  };
  addStream(graph, spec, { declare, variant, name: "", last: variant.output ? undefined : last, see });
  return graph.bytes();
}

/** An input of linears, [tokens, width], and the residual stream that what they put out is added to, where it is. */
interface Seen {
  readonly x: Value;
  readonly added?: Value;
}

/** Declares an input of the graph, unless a stream before has. */
type Declare = (...input: Parameters<Graph["input"]>) => Value;

function declareOnce(graph: Graph): Declare {
  const known = new Set<string>();
  return (name, ...rest) => {
    if (known.has(name)) return name;
    known.add(name);
    return graph.input(name, ...rest);
  };
}

/** One stream of hidden states through the block. */
interface Stream {
  readonly declare: Declare;
  readonly variant: BlockVariant;
  /** What its names begin with. */
  readonly name: string;
  /** The input of linears at which it ends, without output. */
  readonly last: string | undefined;
  /** Shown every input of linears on the way. */
  readonly see: (input: string, seen: Seen) => void;
}

function addStream(graph: Graph, spec: ModelSpec, { declare, variant, name: stream, last, see }: Stream): void {
  const { hidden, heads, kvHeads, headDim, eps } = spec;
  const { linears, norms, headNorms, preNorm } = spec.block;
  const prefix = blockPrefix(spec, 0);
  const shapes = new Map([...blockShapes(spec, 0)].map(([name, shape]) => [name.slice(prefix.length), shape]));
  for (const [name, shape] of shapes) graph.input(`${stream}${name}`, shape);
  const states = graph.input(`${stream}hidden`, ["windows", "length", hidden]);
  const flat = graph.op("Reshape", [states, graph.integers([-1, hidden])]);
  const size = graph.op("Concat", [graph.op("Shape", [states], { end: 2 }), graph.integers([-1])], { axis: 0 });
  const linear = (name: string, x: Value) => {
    const bias = shapes.has(`${name}.bias`) ? [`${stream}${name}.bias`] : [];
    return graph.op("Gemm", [x, `${stream}${name}.weight`, ...bias], { transB: 1 });
  };
  const project = (name: string, x: Value, headNorm: string | undefined) => {
    const y = linear(name, x);
    if (headNorm === undefined) return graph.op("Reshape", [y, size]);
    const rows = graph.op("Reshape", [y, graph.integers([-1, headDim])]);
    return graph.op("Reshape", [rmsNorm(graph, rows, `${stream}${headNorm}.weight`, eps), size]);
  };
  if (variant.cache) {
    for (const name of ["past.key", "past.value"]) graph.input(name, ["windows", kvHeads, "past", headDim]);
  }

  const before = (x: Value, name: string) => preNorm ? norm(graph, spec, x, `${stream}${name}`) : x;
  const after = (x: Value, name: string) => preNorm ? x : norm(graph, spec, x, `${stream}${name}`);
  const first = before(flat, norms.attention);
  see("attention", { x: first });
  if (last === "attention") return;
  const q = project(linears.query, first, headNorms?.query);
  const k = project(linears.key, first, headNorms?.key);
  const v = project(linears.value, first, undefined);
  const mixed = attention(graph, spec, { q, k, v, variant, declare });
  const rows = graph.op("Reshape", [mixed, graph.integers([-1, heads * headDim])]);
  see("output", { x: rows, added: flat });
  if (last === "output") return;
  const middle = after(graph.op("Add", [flat, linear(linears.output, rows)]), norms.attention);
  const x = before(middle, norms.mlp);
  see("mlp", { x });
  if (last === "mlp") return;
  const { gate, up, down } = linears;
  const activated = activation(graph, spec, linear(gate ?? up, x));
  const inner = gate === null ? activated : graph.op("Mul", [activated, linear(up, x)]);
  see("down", { x: inner, added: middle });
  if (last === "down") return;
  const end = after(graph.op("Add", [middle, linear(down, inner)]), norms.mlp);
  graph.output(`${stream}output`, graph.op("Reshape", [end, size]), ["windows", "length", hidden]);
}

/** Causal attention of q [windows, length, heads·headDim] over k and v, rotated first where the model says so. */
function attention(
  graph: Graph,
  spec: ModelSpec,
  { q, k, v, variant, declare }: Omit<Mixing, "past" | "bias"> & { readonly variant: BlockVariant },
): Value {
  const { heads, kvHeads, headDim } = spec;
  if (spec.frame.positions === null) {
    const tables = [
      declare("cos", ["positions", headDim / 2]),
      declare("sin", ["positions", headDim / 2]),
      declare("positions", ["windows", "length"], "int64"),
    ];
    q = graph.op("RotaryEmbedding", [q, ...tables], { num_heads: heads });
    k = graph.op("RotaryEmbedding", [k, ...tables], { num_heads: kvHeads });
  }
  const past = variant.cache ? ["past.key", "past.value"] : ["", ""];
  const mix = variant.fused ? fusedAttention : plainAttention;
  const bias = variant.biased ? declare("bias", ["windows", 1, "length", "length"]) : "";
  const { mixed, key, value } = mix(graph, spec, { q, k, v, past, bias, declare });
  if (variant.cache) {
    graph.output("present.key", key, ["windows", kvHeads, "keys", headDim]);
    graph.output("present.value", value, ["windows", kvHeads, "keys", headDim]);
  }
  return mixed;
}

/** What attention mixes: q, k and v as linears gave them, and the names of past keys and values and of a bias, empty without. */
interface Mixing {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly past: readonly Value[];
  readonly bias: Value;
  readonly declare: Declare;
}

/** What came of it: [windows, length, heads·headDim]; all keys and values [windows, kvHeads, keys, headDim]. */
interface Mixed {
  readonly mixed: Value;
  readonly key: Value;
  readonly value: Value;
}

function fusedAttention(
  graph: Graph,
  { heads, kvHeads, headDim }: ModelSpec,
  { q, k, v, past, bias, declare }: Mixing,
): Mixed {
  const last = declare("last", ["windows"], "int32");
  const total = declare("total", [], "int32");
  const grouped = { kv_num_heads: kvHeads };
  // The fused operator leaves out what is masked; it wants head sizes that are multiples of 8.
  const [mixed, key, value] = headDim % 8 === 0
    ? graph.ops(
      "com.microsoft:GroupQueryAttention",
      [q, k, v, ...past, last, total, ...bias === "" ? [] : ["", "", "", bias]],
      3,
      {
        num_heads: heads,
        ...grouped,
      },
    )
    : graph.ops("Attention", [q, k, v, bias, ...past], 3, { is_causal: 1, q_num_heads: heads, ...grouped });
  return { mixed, key, value };
}

/** Query heads that share keys become rows of one product, so that no key is copied. */
function plainAttention(
  graph: Graph,
  { heads, kvHeads, headDim }: ModelSpec,
  { q, k, v, past, bias, declare }: Mixing,
): Mixed {
  // In shapes, 0 keeps a dimension.
  const split = (x: Value, count: number) =>
    graph.op("Transpose", [graph.op("Reshape", [x, graph.integers([0, 0, count, headDim])])], { perm: [0, 2, 1, 3] });
  const continued = (x: Value, before: Value) => before === "" ? x : graph.op("Concat", [before, x], { axis: 2 });
  const key = continued(split(k, kvHeads), past[0]);
  const value = continued(split(v, kvHeads), past[1]);
  const query = graph.op("Mul", [split(q, heads), graph.scalar(1 / Math.sqrt(headDim))]);
  const grouped = graph.op("Reshape", [query, graph.integers([0, kvHeads, -1, headDim])]);
  const products = graph.op("MatMul", [grouped, graph.op("Transpose", [key], { perm: [0, 1, 3, 2] })]);
  const scores = graph.op("Reshape", [products, graph.integers([0, heads, -1, 0])]);
  // Keys that come after the query by n positions are masked by −n·1e30; all others by 0.
  const causal = () => {
    const ahead = graph.op("Sub", [declare("queries", ["length", 1]), declare("keys", [1, "keys"])]);
    return graph.op("Mul", [graph.op("Min", [ahead, graph.scalar(0)]), graph.scalar(1e30)]);
  };
  const weights = graph.op("Softmax", [graph.op("Add", [scores, bias === "" ? causal() : bias])], { axis: -1 });
  const shared = graph.op("Reshape", [weights, graph.integers([0, kvHeads, -1, 0])]);
  const sums = graph.op("Reshape", [graph.op("MatMul", [shared, value]), graph.integers([0, heads, -1, headDim])]);
  const mixed = graph.op("Transpose", [sums], { perm: [0, 2, 1, 3] });
  return { mixed: graph.op("Reshape", [mixed, graph.integers([0, 0, heads * headDim])]), key, value };
}

/** SiLU is QuickGelu without its factor: one operator instead of two. */
function activation(graph: Graph, { block }: ModelSpec, x: Value): Value {
  switch (block.activation) {
    case "silu":
      return graph.op("com.microsoft:QuickGelu", [x], { alpha: { float: 1 } });
    case "relu":
      return graph.op("Relu", [x]);
    default:
      return block.activation satisfies never;
  }
}
