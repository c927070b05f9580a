/** BiLLM and STBLLM the plain way, in float64: every choice tried, every group binarized value by value, later weights rewritten. */
import { residual } from "../../kernels/binary/row_kernels_test_support.ts";
import { unpackUpper } from "../../kernels/matrix/ops.ts";
import type { LayerJob, LayerSettings } from "../job.ts";
import { energy, feedForward, upperFactor } from "../layer_test_support.ts";

/** A method's settings of a layer. */
export function settingsOf(
  method: string,
  params: Readonly<Record<string, unknown>>,
  change: Partial<LayerSettings> = {},
): LayerSettings {
  const search = { metric: "hessian", type: "none", seed: 0 } as const;
  return { method, params, search, feedback: { mode: "diagonal", damping: 0.01 }, scales: "f32", ...change };
}

/** What comes of a layer. */
export interface Plain {
  /** rows × cols */
  readonly weights: Float64Array;
  /** Against the weights as given, and against those that are left of them after pruning. */
  readonly error: number;
  readonly errorOfPruned: number;
}

interface Shape {
  readonly group: number;
  readonly segments: 2 | 3;
  readonly candidates: number;
  /** Ranks below it are weights of 0 to begin with. */
  readonly pruned?: number;
  /** Whether these are then left out of every group, or are members like others. */
  readonly leftOut?: boolean;
}

/** The loop of the released codes, searching on scores, with diagonal feedback. */
export function quantizePlainly(
  { rows, cols, weight, upper, ranks, settings }: LayerJob & { readonly upper: Float32Array },
  { group, segments, candidates, pruned = 0, leftOut = false }: Shape,
): Plain {
  const h = Float64Array.from(unpackUpper(upper, cols)), u = upperFactor(h, cols, settings.feedback.damping);
  const gone = (at: number) => ranks !== undefined && ranks[at] < pruned;
  const given = Float64Array.from(weight, (w, at) => h[at % cols * (cols + 1)] === 0 ? 0 : w);
  const start = given.map((w, at) => gone(at) ? 0 : w), w = start.slice(), q = new Float64Array(rows * cols);
  for (let first = 0; first < cols; first += group) {
    const width = Math.min(group, cols - first), columns = Array.from({ length: width }, (_, j) => first + j);
    const score = (r: number, c: number) => (w[r * cols + c] / u[c * (cols + 1)]) ** 2;
    const isMember = (r: number, c: number) => !(leftOut && gone(r * cols + c));
    const each = (members: (r: number) => readonly number[], order: 1 | 2, value: (r: number, c: number) => number) =>
      Array.from({ length: rows }, (_, r) => {
        const inside = members(r).filter((c) => isMember(r, c)), values = inside.map((c) => value(r, c));
        return residual(values, order).map((level, i) => ({ at: r * cols + inside[i], level, off: level - values[i] }));
      }).flat();
    const errorOf = (parts: ReturnType<typeof each>) => parts.reduce((sum, { off }) => sum + off * off, 0);
    const total = (c: number) => Array.from({ length: rows }, (_, r) => score(r, c)).reduce((a, b) => a + b);
    const leading = columns.toSorted((a, b) => total(b) - total(a));
    const counts = Array.from({ length: Math.min(49, width - 1) }, (_, i) => i + 1);
    const salient = least(
      counts,
      (k) => errorOf(each(() => leading.slice(0, k), 2, score)) + errorOf(each(() => leading.slice(k), 2, score)),
    );
    const marked = leading.slice(0, salient), rest = columns.filter((c) => !marked.includes(c));
    const parts = (t: number) => segments === 2 ? [[0, t], [t, Infinity]] : [[0, t], [t, 2 * t], [2 * t, Infinity]];
    const between = (r: number, [low, high]: readonly number[]) =>
      rest.filter((c) => score(r, c) >= low && score(r, c) < high);
    const sorted = Array.from({ length: rows * width }, (_, i) => {
      const r = Math.floor(i / width), c = first + i % width;
      return rest.includes(c) && isMember(r, c) ? score(r, c) : 0;
    }).sort((a, b) => a - b);
    const levels = Array.from({ length: candidates }, (_, i) => {
      const place = (sorted.length - 1) * (0.1 + 0.8 * i / (candidates - 1)), low = Math.floor(place);
      return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
    });
    const tried = levels.filter((t) => segments === 2 || 2 * t <= levels[candidates - 1]);
    const cut = least(
      tried.length > 0 ? tried : levels.slice(0, 1),
      (t) => parts(t).reduce((sum, part) => sum + errorOf(each((r) => between(r, part), 1, score)), 0),
    );
    const weightOf = (r: number, c: number) => w[r * cols + c];
    const groups = [
      each(() => marked, 2, weightOf),
      ...parts(cut).map((part) => each((r) => between(r, part), 1, weightOf)),
    ];
    for (const { at, level } of groups.flat()) q[at] = level;
    feedForward(w, q, u, { rows, cols, first, width, exact: false });
  }
  const errorFrom = (from: Float64Array) =>
    energy(from.map((x, i) => x - q[i]), h, rows, cols) / energy(from, h, rows, cols);
  return { weights: q, error: errorFrom(given), errorOfPruned: errorFrom(start) };
}

/** The first of the values of which `of` is least. */
function least(values: readonly number[], of: (value: number) => number): number {
  let best = values[0], found = of(best);
  for (const value of values.slice(1)) {
    const here = of(value);
    if (here < found * (1 - 1e-9)) [best, found] = [value, here];
  }
  return best;
}
