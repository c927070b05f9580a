/**
 * A layer compressed the plain way, in float64: U from an inverted Hessian, and every later weight rewritten after
 * each block (as in GPTQ and BiLLM).
 */
import {
  alternateRounds,
  binarizeRows,
  decodeBlock,
  GROUP_SHIFT,
  jointSolution,
  KEPT,
  pruneCodes,
  resignSweep,
  salientSearch,
  scalesPerBlock,
  segmentSearch,
} from "../kernels/binary/ops.ts";
import { importanceOf, rankNM } from "../kernels/scores/ops.ts";
import { normal } from "../kernels/binary/row_kernels_test_support.ts";
import { packUpper, unpackUpper } from "../kernels/matrix/ops.ts";
import type { LayerJob, LayerSettings } from "./job.ts";
import { spbo } from "./methods/mod.ts";

/** What differs from the stages' defaults, as recipes write it. */
export interface SettingsChange {
  readonly spbo?: Readonly<Record<string, unknown>>;
  readonly "fine-search"?: Partial<LayerSettings["search"]>;
  readonly compensate?: Partial<LayerSettings["feedback"]>;
  readonly pack?: Pick<LayerSettings, "scales">;
}

/** Settings of a layer at the stages' defaults, with some values changed. */
export function settingsWith(change: SettingsChange): LayerSettings {
  return {
    method: spbo.name,
    params: spbo.params.parse(change.spbo ?? {}),
    search: { metric: "hessian", type: "semi-structured", seed: 0, ...change["fine-search"] },
    feedback: { mode: "diagonal", damping: 0.01, ...change.compensate },
    scales: change.pack?.scales ?? "f16",
  };
}

/** A layer with correlated inputs of different strength; its third input is dead where there are more than 8. */
export function randomJob(
  name: string,
  { rows, cols, settings, keep = 4, seed = 1, tokens = 3 * cols }: {
    readonly rows: number;
    readonly cols: number;
    readonly settings: LayerSettings;
    readonly keep?: number;
    readonly seed?: number;
    readonly tokens?: number;
  },
): LayerJob & { readonly upper: Float32Array } {
  const next = normal(seed);
  const weight = Float32Array.from({ length: rows * cols }, () => next() * Math.exp(0.5 * next()));
  const h = new Float64Array(cols * cols), x = new Float64Array(cols);
  for (let t = 0; t < tokens; t++) {
    const shared = next(), slow = next();
    for (let j = 0; j < cols; j++) x[j] = (next() + shared + slow * Math.sin(j / 9)) * (0.3 + j % 4);
    if (cols > 8) x[2] = 0;
    for (let i = 0; i < cols; i++) for (let j = i; j < cols; j++) h[i * cols + j] += x[i] * x[j] / tokens;
  }
  return { name, rows, cols, weight, upper: packUpper(Float32Array.from(h), cols), keep, of: 8, settings };
}

/** The same job with arrays of its own. */
export function copyJob<J extends LayerJob>(job: J): J {
  return { ...job, weight: job.weight.slice(), upper: job.upper?.slice(), ranks: job.ranks?.slice() };
}

/** Codes and scales as `quantizeLayer` gives them, and the error in float64. */
export function quantizePlainly(
  job: LayerJob & { readonly upper: Float32Array },
): { codes: Uint8Array; scales: Float32Array; error: number } {
  const { rows, cols, keep, of, settings } = job, { mode, damping } = settings.feedback;
  const params = spbo.params.parse(settings.params), group = params.group_size;
  const { metric, type } = settings.search;
  const h = Float64Array.from(unpackUpper(job.upper, cols)), u = upperFactor(h, cols, damping);
  const w = Float64Array.from(job.weight);
  for (let j = 0; j < cols; j++) {
    if (h[j * (cols + 1)] === 0) { for (let r = 0; r < rows; r++) w[r * cols + j] = 0; }
  }
  const original = w.slice(), q = new Float64Array(rows * cols);
  const shape = { segments: params.split_points + 1, salient: params.salient }, stride = scalesPerBlock(shape);
  const codes = new Uint8Array(rows * cols), scales = new Float32Array(rows * stride * Math.ceil(cols / group));
  const pruned = of - keep, seenFrom = params.split_on === "kept" ? pruned : 0;
  for (let first = 0, b = 0; first < cols; first += group, b++) {
    const width = Math.min(group, cols - first), size = { rows, cols: width, ...shape };
    const cut = (from: Float64Array) =>
      Float32Array.from({ length: rows * width }, (_, i) => from[Math.floor(i / width) * cols + first + i % width]);
    const target = cut(w);
    const gram = Float32Array.from(
      { length: width * width },
      (_, i) => h[(first + Math.floor(i / width)) * cols + first + i % width],
    );
    const diagonalU = Float32Array.from({ length: width }, (_, j) => u[(first + j) * (cols + 1)]);
    const inverseDiagonal = Float32Array.from({ length: width }, (_, j) => {
      let sum = 0;
      for (let i = 0; i <= first + j; i++) sum += u[i * cols + first + j] ** 2;
      return sum;
    });
    const inputNorm = Float32Array.from({ length: width }, (_, j) => Math.sqrt(h[(first + j) * (cols + 1)]));
    const score = new Float32Array(rows * width), order = new Float32Array(rows * width);
    importanceOf(score, target, { rows, cols: width, metric, diagonalU, inverseDiagonal, inputNorm });
    importanceOf(order, target, { rows, cols: width, metric: "hessian", diagonalU });
    const rank = new Uint8Array(rows * width);
    rankNM(rank, score, { rows, cols: width, of, type });
    const seen = { rank, pruned: seenFrom }, block = new Uint8Array(rows * width), salient = new Uint8Array(width);
    const judge = (at: "salient" | "segments") => {
      const how = typeof params.search_target === "string" ? params.search_target : params.search_target[at];
      return {
        values: how === "scores" ? order : target,
        columnWeight: how === "weighted" ? diagonalU.map((x) => 1 / (x * x)) : undefined,
      };
    };
    const coarse = params.search_grid === "coarse";
    if (params.salient) {
      salientSearch(salient, { ...size, ...seen, ...judge("salient"), score: order, most: params.salient_max, coarse });
    }
    segmentSearch(block, {
      ...size,
      ...seen,
      ...judge("segments"),
      w: target,
      salient,
      splitPoints: params.split_points as 0 | 1 | 2 | 3,
      search: params.split_search,
      candidates: params.candidates,
      coarse,
    });
    const s = new Float32Array(rows * stride);
    const plain = params.solver === "none";
    binarizeRows(block, s, {
      ...size,
      w: target,
      rank,
      pruned: plain ? pruned : seenFrom,
      salientPruned: plain ? pruned : 0,
    });
    const rounds = { ...size, rank, pruned, w: target, gram, codes: block, iterations: params.iterations };
    if (params.solver === "alternate") alternateRounds(s, { ...rounds, schedule: params.schedule });
    pruneCodes(block, rank, pruned);
    const product = (x: ArrayLike<number>) => multiply(x, gram, rows, width);
    const solve = () => {
      if (params.solver === "joint") jointSolution(s, { ...size, target: product(target), gram, codes: block });
      else alternateRounds(s, { ...rounds, schedule: "oneshot" });
    };
    if (params.solver === "joint") solve();
    const decoded = new Float32Array(rows * width);
    const decode = () => decodeBlock(decoded, { ...size, codes: block, scales: s });
    for (let sweep = 0; sweep < params.resign; sweep++) {
      decode();
      resignSweep(block, { ...size, residual: product(target.map((x, i) => x - decoded[i])), gram, scales: s });
      solve();
    }
    if (settings.scales === "f16") s.forEach((x, i) => s[i] = Math.f16round(x));
    if (mode === "columnwise") columnByColumn(w, u, block, s, { ...size, first, all: cols });
    decode();
    for (let r = 0; r < rows; r++) {
      for (let j = 0; j < width; j++) {
        q[r * cols + first + j] = decoded[r * width + j];
        codes[r * cols + first + j] = block[r * width + j];
      }
      scales.set(s.subarray(r * stride, (r + 1) * stride), (r * Math.ceil(cols / group) + b) * stride);
    }
    if (mode === "diagonal" || mode === "exact") {
      feedForward(w, q, u, { rows, cols, first, width, exact: mode === "exact" });
    }
  }
  const error = original.map((x, i) => x - q[i]);
  return { codes, scales, error: energy(error, h, rows, cols) / energy(original, h, rows, cols) };
}

interface Feed {
  readonly rows: number;
  readonly cols: number;
  readonly first: number;
  readonly width: number;
  readonly exact: boolean;
}

/** W_rest −= D·U_b,rest with D = E·diag(U_bb)⁻¹ or E·U_bb⁻¹. */
export function feedForward(
  w: Float64Array,
  q: Float64Array,
  u: Float64Array,
  { rows, cols, first, width, exact }: Feed,
): void {
  const d = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < width; j++) {
      let e = w[r * cols + first + j] - q[r * cols + first + j];
      if (exact) { for (let k = 0; k < j; k++) e -= d[k] * u[(first + k) * cols + first + j]; }
      d[j] = e / u[(first + j) * (cols + 1)];
    }
    for (let j = 0; j < width; j++) {
      for (let c = first + width; c < cols; c++) w[r * cols + c] -= d[j] * u[(first + j) * cols + c];
    }
  }
}

/** GPTQ: each column of the block to its nearest level, its error at once into all later columns of the layer. */
function columnByColumn(
  w: Float64Array,
  u: Float64Array,
  codes: Uint8Array,
  scales: Float32Array,
  { rows, cols, segments, salient, first, all }: {
    readonly rows: number;
    readonly cols: number;
    readonly segments: number;
    readonly salient: boolean;
    readonly first: number;
    readonly all: number;
  },
): void {
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) {
      const at = r * all + first + j, code = codes[r * cols + j];
      let level = 0;
      if ((code & KEPT) !== 0) {
        let least = Infinity;
        for (let signs = 0; signs < (code >> GROUP_SHIFT === 0 ? 4 : 2); signs++) {
          const candidate = code >> GROUP_SHIFT << GROUP_SHIFT | KEPT | signs << 1;
          const line = new Uint8Array(rows * cols);
          line[r * cols] = candidate;
          const value = new Float32Array(rows * cols);
          decodeBlock(value, { codes: line, scales, rows, cols, segments, salient });
          const distance = Math.abs(w[at] - value[r * cols]);
          if (distance >= least) continue;
          least = distance;
          level = value[r * cols];
          codes[r * cols + j] = candidate;
        }
      }
      const error = (w[at] - level) / u[(first + j) * (all + 1)];
      for (let c = first + j + 1; c < all; c++) w[r * all + c] -= error * u[(first + j) * all + c];
    }
  }
}

/** U upper with H⁻¹ = UᵀU of the damped H. */
export function upperFactor(h: Float64Array, size: number, damping: number): Float64Array {
  const a = h.slice();
  let mean = 0;
  for (let j = 0; j < size; j++) {
    if (a[j * (size + 1)] === 0) a[j * (size + 1)] = 1;
    mean += a[j * (size + 1)] / size;
  }
  for (let j = 0; j < size; j++) a[j * (size + 1)] += damping * mean;
  for (let p = 0; p < size; p++) {
    const pivot = 1 / a[p * (size + 1)];
    a[p * (size + 1)] = 1;
    for (let j = 0; j < size; j++) a[p * size + j] *= pivot;
    for (let i = 0; i < size; i++) {
      if (i === p) continue;
      const factor = a[i * size + p];
      a[i * size + p] = 0;
      for (let j = 0; j < size; j++) a[i * size + j] -= factor * a[p * size + j];
    }
  }
  const u = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      let sum = a[i * size + j];
      for (let k = 0; k < i; k++) sum -= u[k * size + i] * u[k * size + j];
      u[i * size + j] = i === j ? Math.sqrt(sum) : sum / u[i * (size + 1)];
    }
  }
  return u;
}

function multiply(x: ArrayLike<number>, s: Float32Array, rows: number, cols: number): Float32Array {
  return Float32Array.from({ length: rows * cols }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < cols; k++) sum += x[at - at % cols + k] * s[k * cols + at % cols];
    return sum;
  });
}

/** tr(E·H·Eᵀ) */
export function energy(e: Float64Array, h: Float64Array, rows: number, cols: number): number {
  let sum = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < cols; i++) {
      for (let j = 0; j < cols; j++) sum += e[r * cols + i] * h[i * cols + j] * e[r * cols + j];
    }
  }
  return sum;
}
