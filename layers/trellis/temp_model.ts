// TEMPORARY until kernels/coding is there.
import {
  contextOf,
  CONTEXTS,
  COSTS,
  ESCAPE,
  lowBits,
  sizeOf,
  type States,
  SYMBOLS,
  trellisOf,
} from "../../kernels/trellis/ops.ts";
export interface LayerCodes {
  rows: number;
  cols: number;
  states: States;
  strip: number;
  codes: Int16Array;
  rowSizes: Int8Array;
  columnSizes: Int8Array;
}
export interface Histogram {
  counts: Float64Array;
  raw: number;
  quantizers: number;
}
/** codes here: cols × rows (transposed!) */
export function histogramT({ rows, cols, states, strip, codes, rowSizes, columnSizes }: LayerCodes): Histogram {
  const t = trellisOf(states), counts = new Float64Array(2 * CONTEXTS * SYMBOLS);
  let raw = 0;
  for (let j = 0; j < cols; j++) {
    let s = 0;
    for (let i = 0; i < rows; i++) {
      if (i % strip === 0) s = 0;
      const k = Math.abs(codes[j * rows + i]),
        c = contextOf(rowSizes[i], columnSizes[j]),
        low = lowBits(c),
        q = t.quantizers[s];
      const m = Math.min(k >> low, ESCAPE);
      counts[(q * CONTEXTS + c) * SYMBOLS + m]++;
      raw += low + (k > 0 ? 1 : 0);
      if (m === ESCAPE) raw += 4 + Math.floor(Math.log2((k >> low) - ESCAPE + 1));
      s = t.next[2 * s + (k & 1)];
    }
  }
  return { counts, raw, quantizers: t.count };
}
export function entropyBits({ counts, raw }: Histogram): { codes: number; tables: number } {
  let bits = raw, used = 0;
  for (let at = 0; at < counts.length; at += SYMBOLS) {
    let n = 0;
    for (let m = 0; m < SYMBOLS; m++) n += counts[at + m];
    for (let m = 0; m < SYMBOLS; m++) {
      const c = counts[at + m];
      if (c > 0) {
        bits -= c * Math.log2(c / n);
        used++;
      }
    }
  }
  return { codes: bits, tables: 12 * used };
}
function erf(x: number) {
  const t = 1 / (1 + .3275911 * Math.abs(x));
  const y = 1 -
    (((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - .284496736) * t + .254829592) * t * Math.exp(-x * x);
  return x < 0 ? -y : y;
}
const models = new Map<number, Float64Array>();
function modelProbabilities(states: States): Float64Array {
  let p = models.get(states);
  if (p) return p;
  p = new Float64Array(2 * CONTEXTS * COSTS);
  for (let q = 0; q < 2; q++) {
    for (let b = 0; b < CONTEXTS; b++) {
      const sg = sizeOf(b), cdf = (x: number) => .5 * (1 + erf(x / sg / Math.SQRT2));
      let tot = 0;
      const at = (q * CONTEXTS + b) * COSTS;
      for (let k = 0; k < COSTS; k++) {
        let lo: number, hi: number;
        if (states === 1) {
          lo = k - .5;
          hi = k + .5;
        } else {
          const r = q === 0 ? 2 * k : Math.max(0, 2 * k - 1);
          lo = r - 1;
          hi = r + 1;
          if (q === 1) {
            if (k === 0) {
              lo = -.5;
              hi = .5;
            } else if (k === 1) lo = .5;
          }
        }
        const v = Math.max(cdf(hi) - cdf(lo), 1e-7 * Math.exp(-k / Math.max(sg, 1)));
        p[at + k] = k === 0 ? v : 2 * v;
        tot += p[at + k];
      }
      for (let k = 0; k < COSTS; k++) p[at + k] /= tot;
    }
  }
  models.set(states, p);
  return p;
}
/** bits [2][CONTEXTS][COSTS] incl sign */
export function costTable(states: States, h?: Histogram): Float32Array {
  const p = modelProbabilities(states), out = new Float32Array(p.length);
  for (let t = 0; t < 2 * CONTEXTS; t++) {
    const low = lowBits(t % CONTEXTS);
    let n = 0;
    if (h) { for (let m = 0; m < SYMBOLS; m++) n += h.counts[t * SYMBOLS + m]; }
    for (let k = 0; k < COSTS; k++) {
      let pr = p[t * COSTS + k];
      if (n > 200 && low === 0 && h) {
        const c = k < ESCAPE ? h.counts[t * SYMBOLS + k] : 0;
        pr = (c + 20 * pr) / (n + 20);
      }
      out[t * COSTS + k] = -Math.log2(pr) + (k > 0 ? 1 : 0);
    }
  }
  return out;
}
