/** What the operations are measured on: weights and Hessians of the spread that layers have, the same in every run. */
import {
  alternateRounds,
  binarizeRows,
  decodeBlock,
  pruneCodes,
  resignSweep,
  salientSearch,
  scalesPerBlock,
  segmentSearch,
} from "../../kernels/binary/ops.ts";
import { choleskyUpper, invertUpper } from "../../kernels/matrix/ops.ts";
import { importanceOf, rankNM } from "../../kernels/scores/ops.ts";

/** How a column block is binarized here, as the quickstart's recipe does: 4 of 8 weights, three segments, salient columns. */
export const BLOCK = {
  of: 8,
  pruned: 4,
  segments: 3,
  salient: true,
  splitPoints: 2,
  search: "free",
  candidates: 40,
  most: 49,
  iterations: 15,
} as const;

/** Correlation of neighbouring inputs. */
const CORRELATION = 0.7;

/** length normal numbers, a few of them far out as in layers. */
export function randomWeights(length: number, seed = 1): Float32Array {
  let state = seed;
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (((z ^ (z >>> 15)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from({ length }, () => {
    const x = Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
    return 0.02 * (next() < 0.01 ? 4 : 1) * x;
  });
}

/**
 * size × size, symmetric and positive definite: inputs of different strength, each correlated with all others, more with
 * those beside it. (Without a part that they all share the factor would hold subnormal numbers, which CPUs are slow at.)
 */
export function hessian(size: number): Float32Array {
  const strength = Float64Array.from({ length: size }, (_, j) => 0.5 + j * 7 % 5);
  const decay = Float64Array.from({ length: size }, (_, distance) => 0.9 * CORRELATION ** distance + 0.1);
  const h = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) h[i * size + j] = strength[i] * strength[j] * decay[Math.abs(i - j)];
  }
  return h;
}

/** One column block after each of its operations; matrices are rows × cols unless said otherwise. */
export interface BlockData {
  readonly rows: number;
  readonly cols: number;
  readonly w: Float32Array;
  /** cols × cols: S. */
  readonly gram: Float32Array;
  /** cols × cols: U with S⁻¹ = UᵀU. */
  readonly factor: Float32Array;
  /** cols */
  readonly diagonalU: Float32Array;
  readonly score: Float32Array;
  readonly rank: Uint8Array;
  /** cols */
  readonly salient: Uint8Array;
  /** Groups and signs before pruning. */
  readonly grouped: Uint8Array;
  /** Groups and signs of the kept weights. */
  readonly codes: Uint8Array;
  /** rows × scales of a row. */
  readonly scales: Float32Array;
  /** w·S. */
  readonly target: Float32Array;
  /** (w − ŵ)·S. */
  readonly residual: Float32Array;
  /** `codes` after one sweep of `resign`. */
  readonly signed: Uint8Array;
}

/** Binarizes a block of random weights on the CPU. */
export function blockData(rows: number, cols: number): BlockData {
  const w = randomWeights(rows * cols, rows), gram = hessian(cols), shape = { rows, cols, ...BLOCK };
  const factor = new Float32Array(cols * cols), r = gram.slice();
  choleskyUpper(r, cols);
  invertUpper(factor, r, { size: cols });
  const diagonalU = Float32Array.from({ length: cols }, (_, j) => factor[j * (cols + 1)]);
  const score = new Float32Array(w.length), rank = new Uint8Array(w.length), salient = new Uint8Array(cols);
  importanceOf(score, w, { rows, cols, metric: "hessian", diagonalU });
  rankNM(rank, score, { rows, cols, of: BLOCK.of, type: "semi-structured" });
  const seen = { ...shape, rank, pruned: 0 };
  salientSearch(salient, { ...seen, score, values: w });
  const grouped = new Uint8Array(w.length), scales = new Float32Array(rows * scalesPerBlock(BLOCK));
  segmentSearch(grouped, { ...seen, w, salient });
  binarizeRows(grouped, scales, { ...seen, w, salientPruned: 0 });
  alternateRounds(scales, { ...shape, w, gram, codes: grouped, rank, schedule: "stepwise" });
  const codes = grouped.slice();
  pruneCodes(codes, rank, BLOCK.pruned);
  const decoded = new Float32Array(w.length);
  decodeBlock(decoded, { ...shape, codes, scales });
  const target = multiply(w, gram, cols), residual = multiply(w.map((x, i) => x - decoded[i]), gram, cols);
  const signed = codes.slice();
  resignSweep(signed, { ...shape, residual, gram, scales });
  return {
    rows,
    cols,
    w,
    gram,
    factor,
    diagonalU,
    score,
    rank,
    salient,
    grouped,
    codes,
    scales,
    target,
    residual,
    signed,
  };
}

/** A matrix of `size` columns by a square one. */
function multiply(a: Float32Array, b: Float32Array, size: number): Float32Array {
  const out = new Float32Array(a.length), line = new Float64Array(size);
  for (let start = 0; start < a.length; start += size) {
    line.fill(0);
    for (let k = 0; k < size; k++) {
      const x = a[start + k];
      for (let j = 0; j < size; j++) line[j] += x * b[k * size + j];
    }
    out.set(line, start);
  }
  return out;
}
