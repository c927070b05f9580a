/**
 * Stepwise pruning with binarization optimisation (PBS²P, Eqs. 6–8): S-weighted rounds over mean and scales of each
 * group, while the least important weights leave step by step.
 *
 * A round is scalar work per row once the quadratic forms of the group's mask m, signs b and weights x under S are
 * known. These are summed pair by pair over the group's members only, the latest kept first: at the moment when the
 * weights of a step are all in, the running forms are that step's. So all steps together cost one pass over the pairs
 * of a group, without cancellation.
 */
import type { Matrix } from "../device.ts";
import {
  type BlockShape,
  GROUP_SHIFT,
  KEPT,
  scalesPerBlock,
  SECOND_SIGN,
  type SeenOptions,
  SIGN,
} from "./quantized_layer.ts";

/** Input of `alternateRounds`. */
export interface AlternateOptions {
  /** rows × cols */
  readonly w: Float32Array;
  /** cols × cols: S, symmetric; its scale does not matter. */
  readonly gram: Float32Array;
  /** rows × cols: groups and signs (`binarizeRows`); not changed, see `pruneCodes`. */
  readonly codes: Uint8Array;
  /** rows × cols, from `rankNM` */
  readonly rank: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
  /** How many of each M are pruned in the end, M − N. */
  readonly pruned: number;
  /** `stepwise`: rounds after each of the prunings 1..M−N; `oneshot`: only after the last. */
  readonly schedule: "stepwise" | "oneshot";
  /** Rounds in each step (paper: T = 15). */
  readonly iterations: number;
  /** Filled, if given, with Σ_rows Σ_groups ‖x − x̂‖²_S before and after each step: 2 × steps values. */
  readonly errors?: Float64Array;
}

/** Operands of `alternate`; see `AlternateOptions`. */
export interface AlternateOperands extends BlockShape, SeenOptions {
  readonly w: Matrix;
  readonly gram: Matrix;
  readonly codes: Matrix<"u8">;
  readonly schedule: "stepwise" | "oneshot";
  readonly iterations: number;
}

// Forms under S of mask m, signs b, second signs c and masked weights x.
const MM = 0, MX = 1, XX = 2, MB = 3, BX = 4, BB = 5, MC = 6, CX = 7, BC = 8, CC = 9, FORMS = 10;
const EPSILON = 1e-10;
const SLACK = 1e-9;

/** Number of steps of a schedule.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(scheduleSteps({ schedule: "stepwise", pruned: 4 }), 4);
 * assert.equal(scheduleSteps({ schedule: "oneshot", pruned: 4 }), 1);
 * ```
 */
export function scheduleSteps(options: Pick<AlternateOptions, "schedule" | "pruned">): number {
  return options.schedule === "oneshot" ? 1 : Math.max(options.pruned, 1);
}

/**
 * Optimises the scales of one column block, each row and group by itself, with the signs fixed.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { binarizeRows } from "./binarize.ts";
 * import { GROUP_SHIFT } from "./quantized_layer.ts";
 * const shape = { rows: 1, cols: 2, segments: 1, salient: false }, gram = Float32Array.of(1, 0, 0, 4);
 * const w = Float32Array.of(1, 2), rank = new Uint8Array(2), codes = new Uint8Array(2).fill(1 << GROUP_SHIFT);
 * const scales = new Float32Array(2);
 * binarizeRows(codes, scales, { ...shape, w, rank, pruned: 0 });
 *
 * alternateRounds(scales, { ...shape, w, gram, codes, rank, pruned: 0, schedule: "stepwise", iterations: 15 });
 * assert.deepEqual([...scales].map((x) => x.toFixed(3)), ["1.500", "0.500"]);
 * ```
 * @param scales rows × scales of a row: the start on entry, the optimised ones on return
 */
export function alternateRounds(scales: Float32Array, options: AlternateOptions): void {
  const { w, codes, rank, rows, cols, segments, salient, pruned, iterations, errors } = options;
  const stride = scalesPerBlock(options), steps = scheduleSteps(options);
  const gram = Float64Array.from(options.gram);
  const first = pruned - steps + 1;
  const lists = (segments + 1) * steps;
  const ends = new Int32Array(lists + 1), next = new Int32Array(lists);
  const index = new Int32Array(cols),
    x = new Float64Array(cols),
    b = new Float64Array(cols),
    c = new Float64Array(cols);
  const forms = new Float64Array(steps * FORMS), theta = new Float64Array(3);
  errors?.fill(0);
  for (let r = 0; r < rows; r++) {
    const row = r * cols;
    ends.fill(0);
    for (let at = row; at < row + cols; at++) {
      if ((codes[at] & KEPT) === 0 || rank[at] < first) continue;
      ends[(codes[at] >> GROUP_SHIFT) * steps + Math.max(pruned - rank[at], 0) + 1]++;
    }
    for (let i = 0; i < lists; i++) {
      next[i] = ends[i];
      ends[i + 1] += ends[i];
    }
    for (let at = row; at < row + cols; at++) {
      const code = codes[at];
      if ((code & KEPT) === 0 || rank[at] < first) continue;
      const i = next[(code >> GROUP_SHIFT) * steps + Math.max(pruned - rank[at], 0)]++;
      index[i] = at - row;
      x[i] = w[at];
      b[i] = (code & SIGN) !== 0 ? 1 : -1;
      c[i] = (code & SECOND_SIGN) !== 0 ? 1 : -1;
    }
    for (let g = salient ? 0 : 1; g <= segments; g++) {
      accumulate(forms, { gram, cols, index, x, b, c, ends, list: g * steps, steps, second: g === 0 });
      const base = r * stride + (g === 0 ? 0 : (salient ? 3 : 0) + 2 * (g - 1));
      const orders = g === 0 ? 2 : 1;
      for (let i = 0; i <= orders; i++) theta[i] = scales[base + i];
      if (orders === 1) theta[2] = 0;
      for (let step = 0; step < steps; step++) {
        const form = (steps - 1 - step) * FORMS;
        if (errors !== undefined) errors[2 * step] += objective(forms, form, theta);
        if (orders === 1) rounds(forms, form, theta, iterations);
        else roundsSecond(forms, form, theta, iterations);
        if (errors !== undefined) errors[2 * step + 1] += objective(forms, form, theta);
      }
      for (let i = 0; i <= orders; i++) scales[base + i] = theta[i];
    }
  }
}

/**
 * Members of one row's groups, list by list: of a group first those that stay to the end, then those that leave last,
 * …
 */
interface Members {
  readonly gram: Float64Array;
  readonly cols: number;
  readonly index: Int32Array;
  readonly x: Float64Array;
  readonly b: Float64Array;
  readonly c: Float64Array;
  readonly ends: Int32Array;
  readonly list: number;
  readonly steps: number;
  readonly second: boolean;
}

/** Fills forms[level × FORMS…] with the forms of all members up to that level. */
function accumulate(forms: Float64Array, members: Members): void {
  const { gram, cols, index, x, b, c, ends, list, steps, second } = members;
  const start = ends[list];
  let mm = 0, mx = 0, xx = 0, mb = 0, bx = 0, bb = 0, mc = 0, cx = 0, bc = 0, cc = 0;
  for (let level = 0, i = start; level < steps; level++) {
    for (const end = ends[list + level + 1]; i < end; i++) {
      const line = index[i] * cols;
      let dm = 0, db = 0, dx = 0, dc = 0;
      for (let j = start; j < i; j++) {
        const s = gram[line + index[j]];
        dm += s;
        db += s * b[j];
        dx += s * x[j];
      }
      const s = gram[line + index[i]], xi = x[i], bi = b[i];
      mm += 2 * dm + s;
      mx += dm * xi + dx + s * xi;
      xx += (2 * dx + s * xi) * xi;
      mb += dm * bi + db + s * bi;
      bx += db * xi + (dx + s * xi) * bi;
      bb += 2 * db * bi + s;
      if (!second) continue;
      for (let j = start; j < i; j++) dc += gram[line + index[j]] * c[j];
      const ci = c[i];
      mc += dm * ci + dc + s * ci;
      cx += dc * xi + (dx + s * xi) * ci;
      bc += dc * bi + (db + s * bi) * ci;
      cc += 2 * dc * ci + s;
    }
    const at = level * FORMS;
    forms[at + MM] = mm;
    forms[at + MX] = mx;
    forms[at + XX] = xx;
    forms[at + MB] = mb;
    forms[at + BX] = bx;
    forms[at + BB] = bb;
    forms[at + MC] = mc;
    forms[at + CX] = cx;
    forms[at + BC] = bc;
    forms[at + CC] = cc;
  }
}

/**
 * What is added to the forms of m, b and c with themselves: EPSILON, unless S is singular and so rounded that the forms with it are not
 * positive, and rounds would lead away from the minimum; then a share of the largest, 1e-6, 1e-5, ….
 */
function ridgeOf(forms: Float64Array, at: number, second: boolean): number {
  const largest = Math.max(forms[at + MM], forms[at + BB], second ? forms[at + CC] : 0);
  let ridge = EPSILON;
  for (let share = 1e-6; !isPositive(forms, at, second, ridge) && share <= 1; share *= 10) {
    ridge = share * largest + EPSILON;
  }
  return ridge;
}

/** Whether the forms of m and b, and c, are those of a positive matrix, but for rounding. */
function isPositive(forms: Float64Array, at: number, second: boolean, ridge: number): boolean {
  const byM = 1 / (forms[at + MM] + ridge), byB = 1 / (forms[at + BB] + ridge), mb = forms[at + MB];
  const first = byM > 0 && byB > 0 && mb * byM * (mb * byB) <= 1 + SLACK;
  if (!second || !first) return first;
  const byC = 1 / (forms[at + CC] + ridge), mc = forms[at + MC], bc = forms[at + BC];
  const [p, q, r] = [mb * byM * (mb * byB), mc * byM * (mc * byC), bc * byB * (bc * byC)];
  return byC > 0 && q <= 1 + SLACK && r <= 1 + SLACK &&
    p + q + r - 2 * (mb * byM) * (bc * byB) * (mc * byC) <= 1 + SLACK;
}

/** μ, then α, `iterations` times (order 1). */
function rounds(forms: Float64Array, at: number, theta: Float64Array, iterations: number): void {
  const mx = forms[at + MX], mb = forms[at + MB], bx = forms[at + BX];
  const ridge = ridgeOf(forms, at, false);
  const byM = 1 / (forms[at + MM] + ridge), byB = 1 / (forms[at + BB] + ridge);
  let mean = theta[0], one = theta[1];
  for (let t = 0; t < iterations; t++) {
    mean = (mx - one * mb) * byM;
    one = (bx - mean * mb) * byB;
  }
  theta[0] = mean;
  theta[1] = one;
}

/** μ, then α, then α2, `iterations` times (order 2). */
function roundsSecond(forms: Float64Array, at: number, theta: Float64Array, iterations: number): void {
  const mx = forms[at + MX], mb = forms[at + MB], bx = forms[at + BX];
  const mc = forms[at + MC], cx = forms[at + CX], bc = forms[at + BC];
  const ridge = ridgeOf(forms, at, true);
  const byM = 1 / (forms[at + MM] + ridge), byB = 1 / (forms[at + BB] + ridge), byC = 1 / (forms[at + CC] + ridge);
  let mean = theta[0], one = theta[1], two = theta[2];
  for (let t = 0; t < iterations; t++) {
    mean = (mx - one * mb - two * mc) * byM;
    one = (bx - mean * mb - two * bc) * byB;
    two = (cx - mean * mc - one * bc) * byC;
  }
  theta[0] = mean;
  theta[1] = one;
  theta[2] = two;
}

/** ‖x − μm − α1·b − α2·c‖²_S. */
function objective(forms: Float64Array, at: number, theta: Float64Array): number {
  const mean = theta[0], one = theta[1], two = theta[2];
  return forms[at + XX] - 2 * (mean * forms[at + MX] + one * forms[at + BX] + two * forms[at + CX]) +
    mean * mean * forms[at + MM] + one * one * forms[at + BB] + two * two * forms[at + CC] +
    2 * (mean * one * forms[at + MB] + mean * two * forms[at + MC] + one * two * forms[at + BC]);
}
