/** Refined binarization the plain way, in float64, and blocks to try it on. */
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import { uniform, weights } from "../binary/row_kernels_test_support.ts";
import { firstScale, meansPerRow, productsPerRow, type RefinedShape } from "./layout.ts";

/** A block, whose salient columns are those that `groups` says. */
export interface RefinedCase extends RefinedShape {
  readonly rows: number;
  readonly cols: number;
}

/** Weights and groups: every fifth column is salient where there are doubled groups; some weights equal, some columns and rows 0. */
export function refinedCase({ rows, cols, doubled, single }: RefinedCase) {
  const w = weights("heavy", rows, cols, rows + 3 * cols), next = uniform(cols + doubled);
  for (let at = 0; at < w.length; at++) {
    if (cols > 8 && at % cols === 5 || rows > 4 && Math.floor(at / cols) === 3) w[at] = 0;
    if (cols > 20 && at % cols === 7) w[at] = 0.25;
  }
  const codes = Uint8Array.from(w, (v, at) => {
    const salient = doubled > 0 && (single === 0 || at % cols % 5 === 0), large = Number(Math.abs(v) > 0.5 * next());
    const group = salient ? Math.min(large, doubled - 1) : doubled + Math.min(large, single - 1);
    return group << GROUP_SHIFT;
  });
  return { w, codes };
}

/** Signs and scales of one row or of one block, as plain numbers by weight. */
export interface PlainResult {
  readonly codes: Uint8Array;
  readonly scales: Float64Array;
  readonly columnScales: Float64Array;
}

const plus = (x: number): number => x >= 0 ? 1 : -1;
const mean = (x: readonly number[]) => x.reduce((a, b) => a + b, 0) / Math.max(x.length, 1);

/** ARB with means: every quantity of a round from its definition. */
export function plainMeans(w: Float32Array, groups: Uint8Array, options: RefinedCase & { iterations: number }) {
  const { rows, cols, doubled, single, iterations } = options, codes = groups.slice();
  const scales = new Float64Array(rows * meansPerRow(options));
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < doubled + single; g++) {
      const at = Array.from({ length: cols }, (_, c) => r * cols + c).filter((i) => groups[i] >> GROUP_SHIFT === g);
      if (at.length === 0) continue;
      const x = at.map((i) => w[i]), base = r * meansPerRow(options) + firstScale(g, options, "means");
      let mu = mean(x), one = mean(x.map((v) => Math.abs(v - mu))), two = 0;
      let b = x.map((v) => plus(v - mu)), c = x.map(() => -1);
      if (g < doubled) {
        const rest = x.map((v, i) => v - mu - one * b[i]), shift = mean(rest);
        two = mean(rest.map((v) => Math.abs(v - shift)));
        c = rest.map((v) => plus(v - shift));
        mu += shift;
      }
      const second = (i: number) => g < doubled ? two * c[i] : 0;
      for (let k = 0; k < iterations; k++) {
        mu += mean(x.map((v, i) => v - mu - one * b[i] - second(i)));
        one = mean(x.map((v, i) => b[i] * (v - mu - second(i))));
        if (g < doubled) two = mean(x.map((v, i) => c[i] * (v - mu - one * b[i])));
        if (g >= doubled) b = x.map((v) => plus(v - mu));
        else [b, c] = nearestSigns(x.map((v) => v - mu), x.map(() => one), x.map(() => two));
      }
      scales.set(g < doubled ? [mu, one, two] : [mu, one], base);
      at.forEach((i, k) => codes[i] = codeOf(g, b[k], c[k]));
    }
  }
  return { codes, scales };
}

/** ARB-RC: whole matrices, masked. */
export function plainProducts(w: Float32Array, groups: Uint8Array, options: RefinedCase & { iterations: number }) {
  const { rows, cols, doubled, single, iterations } = options, each = productsPerRow(options), codes = groups.slice();
  const scales = new Float64Array(rows * each), columnScales = new Float64Array(cols * each);
  for (let g = 0; g < doubled + single; g++) {
    const at = Array.from(w.keys()).filter((i) => groups[i] >> GROUP_SHIFT === g);
    const orders = g < doubled ? 2 : 1, row = (i: number) => Math.floor(i / cols), column = (i: number) => i % cols;
    const r = [new Float64Array(rows), new Float64Array(rows)], c = [new Float64Array(cols), new Float64Array(cols)];
    const b = [at.map(() => 0), at.map(() => 0)];
    // A rest in the last bits of a weight is none.
    const meet = (i: number, level: number) => Math.abs(w[i] - level) > 2 ** -36 * Math.abs(w[i]) ? w[i] - level : 0;
    const level = (o: number, k: number) => r[o][row(at[k])] * c[o][column(at[k])] * b[o][k];
    const fill = (
      out: Float64Array,
      place: (i: number) => number,
      top: (k: number) => number,
      low: (k: number) => number,
    ) => {
      const tops = new Float64Array(out.length), lows = new Float64Array(out.length);
      at.forEach((i, k) => {
        tops[place(i)] += top(k);
        lows[place(i)] += low(k);
      });
      out.forEach((_, i) => out[i] = lows[i] > 0 ? tops[i] / lows[i] : 0);
    };
    for (let o = 0; o < orders; o++) {
      const rest = at.map((i, k) => o === 1 ? meet(i, level(0, k)) : w[i]), own = (k: number) => r[o][row(at[k])];
      b[o] = rest.map(plus);
      fill(r[o], row, (k) => Math.abs(rest[k]), () => 1);
      fill(c[o], column, (k) => own(k) > 0 ? Math.abs(rest[k]) / own(k) : 0, (k) => Number(own(k) > 0));
    }
    for (let round = 0; round < iterations; round++) {
      for (let o = 0; o < orders; o++) {
        const rest = at.map((i, k) => orders === 2 ? meet(i, level(1 - o, k)) : w[i]);
        const [theirs, mine] = [(k: number) => c[o][column(at[k])], (k: number) => r[o][row(at[k])]];
        fill(r[o], row, (k) => theirs(k) * b[o][k] * rest[k], (k) => theirs(k) ** 2);
        fill(c[o], column, (k) => mine(k) * b[o][k] * rest[k], (k) => mine(k) ** 2);
      }
      if (orders === 1) continue;
      const levels = [0, 1].map((o) => at.map((i) => r[o][row(i)] * c[o][column(i)]));
      [b[0], b[1]] = nearestSigns(at.map((i) => w[i]), levels[0], levels[1]);
    }
    for (let o = 0; o < orders; o++) {
      const place = firstScale(g, options, "products") + o;
      r[o].forEach((x, i) => scales[i * each + place] = x);
      c[o].forEach((x, j) => columnScales[j * each + place] = x);
    }
    at.forEach((i, k) => codes[i] = codeOf(g, b[0][k], orders === 2 ? b[1][k] : -1));
  }
  return { codes, scales, columnScales };
}

/** What codes stand for, in float64. */
export function plainLevels(
  codes: Uint8Array,
  scales: ArrayLike<number>,
  options: RefinedCase,
  columns?: ArrayLike<number>,
) {
  const { cols, doubled } = options, each = columns ? productsPerRow(options) : meansPerRow(options);
  return Float64Array.from(codes, (code, at) => {
    const group = code >> GROUP_SHIFT, place = firstScale(group, options, columns ? "products" : "means");
    const own = Math.floor(at / cols) * each + place, column = at % cols * each + place;
    const scale = (o: number) => columns ? scales[own + o] * columns[column + o] : scales[own + 1 + o];
    const signed = (o: number, bit: number) => (code & bit) !== 0 ? scale(o) : -scale(o);
    return (columns ? 0 : scales[own]) + signed(0, SIGN) + (group < doubled ? signed(1, SECOND_SIGN) : 0);
  });
}

function nearestSigns(x: readonly number[], one: readonly number[], two: readonly number[]): [number[], number[]] {
  const pairs = [[-1, -1], [-1, 1], [1, -1], [1, 1]];
  const found = x.map((v, i) => {
    const away = pairs.map(([p, q]) => Math.abs(v - p * one[i] - q * two[i]));
    return pairs[away.indexOf(Math.min(...away))];
  });
  return [found.map(([p]) => p), found.map(([, q]) => q)];
}

function codeOf(group: number, first: number, second: number): number {
  return group << GROUP_SHIFT | KEPT | (first > 0 ? SIGN : 0) | (second > 0 ? SECOND_SIGN : 0);
}
