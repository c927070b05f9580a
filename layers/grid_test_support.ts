/** Layers rounded to grids the plain way, in float64: GPTQ as its paper writes it, every later weight of the layer rewritten at once. */
import { unpackUpper } from "../kernels/matrix/ops.ts";
import type { LayerJob } from "./job.ts";
import { energy, upperFactor } from "./layer_test_support.ts";

/** How a layer is rounded. */
export interface PlainGrid {
  readonly bits: number;
  /** Columns that share a grid; cols = one grid of the original weights. */
  readonly groupSize: number;
  readonly ordered: boolean;
  /** false: errors are not fed on (rtn). */
  readonly feeds: boolean;
}

/** What it comes to; columns are in the order in which they were rounded. */
export interface PlainResult {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
  readonly order: Uint32Array;
  readonly error: number;
}

/** Rounds a layer. */
export function roundPlainly(
  job: LayerJob & { readonly upper: Float32Array },
  { bits, groupSize, ordered, feeds }: PlainGrid,
): PlainResult {
  const { rows, cols } = job, most = 2 ** bits - 1, own = Float64Array.from(unpackUpper(job.upper, cols));
  const order = Uint32Array.from({ length: cols }, (_, j) => j);
  if (ordered) order.sort((a, b) => own[b * (cols + 1)] - own[a * (cols + 1)] || a - b);
  const h = own.map((_, at) => own[order[Math.floor(at / cols)] * cols + order[at % cols]]);
  const w = Float64Array.from(job.weight, (_, at) => {
    const col = order[at % cols];
    return own[col * (cols + 1)] === 0 ? 0 : job.weight[at - at % cols + col];
  });
  const u = upperFactor(h, cols, job.settings.feedback.damping), groups = Math.ceil(cols / groupSize);
  const original = w.slice(), left = new Float64Array(w.length), codes = new Uint8Array(w.length);
  const scales = new Float32Array(rows * groups), zeros = new Uint8Array(rows * groups);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < cols; j++) {
      const group = row * groups + Math.floor(j / groupSize), at = row * cols + j;
      if (j % groupSize === 0) {
        const seen = w.subarray(at, row * cols + Math.min(j + groupSize, cols));
        const low = Math.min(0, ...seen), high = Math.max(0, ...seen), scale = (high - low) / most;
        scales[group] = job.settings.scales === "f16" ? Math.f16round(scale) : scale;
        zeros[group] = scales[group] > 0 ? Math.min(most, Math.floor(-low / scales[group] + 0.5)) : 0;
      }
      const scale = scales[group], place = scale > 0 ? Math.floor(w[at] / scale + 0.5) + zeros[group] : zeros[group];
      codes[at] = Math.min(most, Math.max(0, place));
      const level = Math.fround((codes[at] - zeros[group]) * scale), error = (w[at] - level) / u[j * (cols + 1)];
      left[at] = original[at] - level;
      if (feeds) { for (let k = j + 1; k < cols; k++) w[row * cols + k] -= error * u[j * cols + k]; }
    }
  }
  return { codes, scales, zeros, order, error: energy(left, h, rows, cols) / energy(original, h, rows, cols) };
}
