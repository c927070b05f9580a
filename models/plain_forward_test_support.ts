/** A transformer block in plain float64 loops, written from the papers: what the graphs are tested against. */
import type { ModelSpec } from "./spec.ts";
import { blockPrefix, blockShapes, embeddingShapes, headShapes } from "./tensors.ts";

/** Row-major matrix in float64. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

type Weights = Readonly<Record<string, Float32Array>>;

/** Random weights of a model: small values, norms about one. */
export function randomWeights(spec: ModelSpec, seed: number): Record<string, Float32Array> {
  let state = seed;
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5;
  const weights: Record<string, Float32Array> = {};
  const blocks = Array.from({ length: spec.blocks }, (_, block) => [...blockShapes(spec, block)]).flat();
  for (const [name, shape] of [...embeddingShapes(spec), ...blocks, ...headShapes(spec)]) {
    const size = shape.reduce((a, b) => a * b, 1);
    const norm = name.endsWith("norm.weight");
    weights[name] = Float32Array.from({ length: size }, () => random() + (norm ? 1 : 0));
  }
  return weights;
}

/** The first hidden states of one window. */
export function plainEmbed(spec: ModelSpec, weights: Weights, ids: readonly number[]): Matrix {
  const { frame } = spec;
  const tokens = weights[frame.tokens];
  const project = frame.projections && weights[frame.projections.into];
  const rows = ids.map((id) => {
    const row = Float64Array.from(tokens.subarray(id * spec.embedding, (id + 1) * spec.embedding));
    return project ? timesTransposed(matrix([row]), project).data : row;
  });
  if (frame.positions) {
    // OPT's positions start at row 2 of their table.
    const positions = weights[frame.positions.table];
    rows.forEach((row, at) => row.forEach((_, i) => row[i] += positions[(at + 2) * spec.hidden + i]));
  }
  return matrix(rows);
}

/** One block on one window; `inputs` are the distinct inputs of its linears, `added` the residual streams that those lead into. */
export function plainBlock(
  spec: ModelSpec,
  weights: Weights,
  { block, hidden }: { readonly block: number; readonly hidden: Matrix },
): {
  readonly output: Matrix;
  readonly inputs: Readonly<Record<string, Matrix>>;
  readonly added: Readonly<Record<string, Matrix>>;
} {
  const get = (name: string) => weights[`${blockPrefix(spec, block)}${name}`];
  const linear = (name: string, x: Matrix) => timesTransposed(x, get(`${name}.weight`), get(`${name}.bias`));
  const norm = (name: string, x: Matrix) =>
    normalise(spec, x, { weight: get(`${name}.weight`), bias: get(`${name}.bias`) });
  const llama = spec.norm === "rms";
  const [firstNorm, secondNorm] = llama
    ? ["input_layernorm", "post_attention_layernorm"]
    : ["self_attn_layer_norm", "final_layer_norm"];
  const before = (name: string, x: Matrix) => spec.block.preNorm ? norm(name, x) : x;
  const after = (name: string, x: Matrix) => spec.block.preNorm ? x : norm(name, x);

  const attention = before(firstNorm, hidden);
  const [q, k] = ["q", "k"].map((name) => {
    const x = normaliseHeads(spec, linear(`self_attn.${name}_proj`, attention), get(`self_attn.${name}_norm.weight`));
    return llama ? rotate(spec, x) : x;
  });
  const output = attend(spec, q, { k, v: linear("self_attn.v_proj", attention) });
  const attended = linear(`self_attn.${llama ? "o_proj" : "out_proj"}`, output);
  const middle = after(firstNorm, add(hidden, attended));
  const mlp = before(secondNorm, middle);
  const up = linear(llama ? "mlp.up_proj" : "fc1", mlp);
  const gate = llama ? linear("mlp.gate_proj", mlp) : up;
  const down: Matrix = {
    ...up,
    data: up.data.map((x, i) => llama ? (x * gate.data[i]) / (1 + Math.exp(-gate.data[i])) : Math.max(0, x)),
  };
  const end = add(middle, linear(llama ? "mlp.down_proj" : "fc2", down));
  const inputs = { attention, output, mlp, down }, added = { output: hidden, down: middle };
  return { output: after(secondNorm, end), inputs, added };
}

/** Logits of one window. */
export function plainLogits(spec: ModelSpec, weights: Weights, hidden: Matrix): Matrix {
  const name = spec.norm === "rms" ? "model.norm" : "model.decoder.final_layer_norm";
  const norm = { weight: weights[`${name}.weight`], bias: weights[`${name}.bias`] };
  const x = spec.block.preNorm ? normalise(spec, hidden, norm) : hidden;
  const project = weights["model.decoder.project_out.weight"];
  return timesTransposed(project ? timesTransposed(x, project) : x, weights[spec.frame.head]);
}

/** Mean negative log-likelihood of each next token of one window. */
export function plainLoss(logits: Matrix, ids: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at + 1 < ids.length; at++) {
    const row = logits.data.subarray(at * logits.cols, (at + 1) * logits.cols);
    sum += Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0)) - row[ids[at + 1]];
  }
  return sum / (ids.length - 1);
}

function attend(spec: ModelSpec, q: Matrix, { k, v }: { readonly k: Matrix; readonly v: Matrix }): Matrix {
  const { heads, kvHeads, headDim } = spec;
  const output = new Float64Array(q.data.length);
  for (let head = 0; head < heads; head++) {
    const shared = Math.floor((head * kvHeads) / heads) * headDim;
    for (let row = 0; row < q.rows; row++) {
      const scores = Array.from({ length: row + 1 }, (_, key) => {
        let sum = 0;
        for (let i = 0; i < headDim; i++) {
          sum += q.data[row * q.cols + head * headDim + i] * k.data[key * k.cols + shared + i];
        }
        return Math.exp(sum / Math.sqrt(headDim));
      });
      const total = scores.reduce((a, b) => a + b, 0);
      for (let i = 0; i < headDim; i++) {
        const mixed = scores.reduce((sum, score, key) => sum + score * v.data[key * v.cols + shared + i], 0);
        output[row * q.cols + head * headDim + i] = mixed / total;
      }
    }
  }
  return { ...q, data: output };
}

/** Rotates pairs (i, i + headDim / 2) of every head by position times frequency. */
function rotate(spec: ModelSpec, x: Matrix): Matrix {
  const { headDim } = spec;
  const half = headDim / 2;
  const data = x.data.slice();
  for (let row = 0; row < x.rows; row++) {
    for (let head = 0; head < x.cols; head += headDim) {
      for (let i = 0; i < half; i++) {
        const angle = row * frequency(spec, i, x.rows);
        const [a, b] = [row * x.cols + head + i, row * x.cols + head + i + half];
        data[a] = x.data[a] * Math.cos(angle) - x.data[b] * Math.sin(angle);
        data[b] = x.data[b] * Math.cos(angle) + x.data[a] * Math.sin(angle);
      }
    }
  }
  return { ...x, data };
}

function frequency({ headDim, ropeTheta, ropeScaling: s }: ModelSpec, i: number, length: number): number {
  const plain = ropeTheta ** (-2 * i / headDim);
  if (s.type === "default") return plain;
  if (s.type === "linear") return plain / s.factor;
  if (s.type === "dynamic") {
    if (length <= s.originalMaxPositions) return plain;
    const base = ropeTheta * ((s.factor * length) / s.originalMaxPositions - s.factor + 1) ** (headDim / (headDim - 2));
    return base ** (-2 * i / headDim);
  }
  const wave = 2 * Math.PI / plain;
  if (wave < s.originalMaxPositions / s.highFrequencyFactor) return plain;
  if (wave > s.originalMaxPositions / s.lowFrequencyFactor) return plain / s.factor;
  const t = (s.originalMaxPositions / wave - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  return plain * (t + (1 - t) / s.factor);
}

function normalise(
  spec: ModelSpec,
  x: Matrix,
  { weight, bias }: { readonly weight: Float32Array; readonly bias: Float32Array | undefined },
): Matrix {
  const data = new Float64Array(x.data.length);
  for (let row = 0; row < x.rows; row++) {
    const values = x.data.subarray(row * x.cols, (row + 1) * x.cols);
    const mean = spec.norm === "rms" ? 0 : values.reduce((a, b) => a + b, 0) / x.cols;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.cols;
    values.forEach((value, i) => {
      data[row * x.cols + i] = ((value - mean) / Math.sqrt(variance + spec.eps)) * weight[i] + (bias?.[i] ?? 0);
    });
  }
  return { ...x, data };
}

/** Every head of x normalised on its own, where there is a weight for it. */
function normaliseHeads(spec: ModelSpec, x: Matrix, weight: Float32Array | undefined): Matrix {
  if (weight === undefined) return x;
  const { headDim } = spec;
  const heads = { rows: x.data.length / headDim, cols: headDim, data: x.data };
  return { ...x, data: normalise(spec, heads, { weight, bias: undefined }).data };
}

/** x·wᵀ + bias, with w of size [outputs, x.cols]. */
function timesTransposed(x: Matrix, w: Float32Array, bias?: Float32Array): Matrix {
  const cols = w.length / x.cols;
  const data = new Float64Array(x.rows * cols);
  for (let row = 0; row < x.rows; row++) {
    for (let col = 0; col < cols; col++) {
      let sum = bias?.[col] ?? 0;
      for (let i = 0; i < x.cols; i++) sum += x.data[row * x.cols + i] * w[col * x.cols + i];
      data[row * cols + col] = sum;
    }
  }
  return { rows: x.rows, cols, data };
}

function add(a: Matrix, b: Matrix): Matrix {
  return { ...a, data: a.data.map((value, i) => value + b.data[i]) };
}

function matrix(rows: readonly Float64Array[]): Matrix {
  return { rows: rows.length, cols: rows[0].length, data: Float64Array.from(rows.flatMap((row) => [...row])) };
}
