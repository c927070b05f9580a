import assert from "node:assert/strict";
import { alternateRounds, scheduleSteps } from "./alternate.ts";
import { binarizeRows, pruneCodes } from "./binarize.ts";
import { decodeBlock } from "./decode.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { jointSolution } from "./joint.ts";
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "./quantized_layer.ts";
import { resignSweep } from "./resign.ts";
import { importanceOf, rankNM } from "../scores/ops.ts";
import {
  difference,
  form,
  gram,
  groupCodes,
  groupVectors,
  KINDS,
  multiply,
  rowErrors,
  weights,
} from "./row_kernels_test_support.ts";

const rows = 8, of = 8;
const shapes = [
  { cols: 32, segments: 3, salient: true, pruned: 4 },
  { cols: 40, segments: 2, salient: false, pruned: 2 },
  { cols: 16, segments: 1, salient: true, pruned: 0 },
  { cols: 24, segments: 4, salient: true, pruned: 7 },
];

/** A column block after the searches and the start. */
function start(kind: typeof KINDS[number], shape: typeof shapes[number], seed = 40) {
  const { cols, segments, salient } = shape;
  const w = weights(kind, rows, cols, seed), s = gram(cols, seed + 1), rank = new Uint8Array(rows * cols);
  const score = new Float32Array(rows * cols);
  importanceOf(score, w, { rows, cols, metric: "magnitude" });
  rankNM(rank, score, { rows, cols, of, type: "semi-structured" });
  const codes = groupCodes(w, cols, salient ? 5 : 0, segments);
  const stride = (salient ? 3 : 0) + 2 * segments, scales = new Float32Array(rows * stride);
  binarizeRows(codes, scales, { w, rank, rows, cols, segments, salient, pruned: 0 });
  return { ...shape, rows, w, gram: s, rank, codes, scales, stride };
}

type Block = ReturnType<typeof start>;

function decoded(block: Block): Float32Array {
  const out = new Float32Array(block.w.length);
  decodeBlock(out, block);
  return out;
}

/** Prototype's rounds, with dense vectors and products. */
function reference(block: Block, schedule: "stepwise" | "oneshot", iterations: number): Float64Array {
  const { cols, segments, salient, pruned, w, gram: s, rank, codes, stride } = block;
  const scales = Float64Array.from(block.scales);
  const steps = schedule === "oneshot" || pruned === 0 ? [pruned] : Array.from({ length: pruned }, (_, k) => k + 1);
  for (let r = 0; r < rows; r++) {
    for (let g = salient ? 0 : 1; g <= segments; g++) {
      const base = r * stride + (g === 0 ? 0 : (salient ? 3 : 0) + 2 * (g - 1));
      for (const k of steps) {
        const now = codes.slice();
        pruneCodes(now, rank, k);
        const { m, b, c } = groupVectors(now, r, cols, g), x = m.map((v, j) => v * w[r * cols + j]);
        const basis = g === 0 ? [m, b, c] : [m, b];
        for (let t = 0; t < iterations; t++) {
          basis.forEach((u, p) => {
            let top = form(u, s, x);
            basis.forEach((v, o) => top -= o === p ? 0 : scales[base + o] * form(u, s, v));
            scales[base + p] = top / (form(u, s, u) + 1e-10);
          });
        }
      }
    }
  }
  return scales;
}

for (const kind of KINDS) {
  for (const shape of shapes) {
    const name = `${kind} weights, ${shape.cols} columns, ${shape.segments} segments, ${shape.pruned} of 8 pruned`;
    for (const schedule of ["stepwise", "oneshot"] as const) {
      Deno.test(`alternateRounds() ${schedule} on ${name} are Eqs. 6-8 with dense products`, () => {
        const block = start(kind, shape), wanted = reference(block, schedule, 4);
        alternateRounds(block.scales, { ...block, schedule, iterations: 4 });
        assert.ok(block.scales.every(Number.isFinite));
        assert.ok(difference(block.scales, wanted) < 1e-6);
      });
    }

    Deno.test(`alternateRounds() on ${name} never end a step with a larger error than they began it`, () => {
      const block = start(kind, shape), steps = scheduleSteps({ ...block, schedule: "stepwise" });
      const errors = new Float64Array(2 * steps);
      alternateRounds(block.scales, { ...block, schedule: "stepwise", iterations: 15, errors });
      for (let k = 0; k < steps; k++) assert.ok(errors[2 * k + 1] <= errors[2 * k] * (1 + 1e-9) + 1e-9);
    });

    Deno.test(`jointSolution() on ${name} never ends above the rounds, and re-signing never raises the error`, () => {
      const block = start(kind, shape);
      alternateRounds(block.scales, { ...block, schedule: "stepwise", iterations: 15 });
      pruneCodes(block.codes, block.rank, block.pruned);
      const { w, cols } = block, energy = rowErrors(w, new Float32Array(w.length), block.gram, cols);
      const below = (now: number[], before: number[], slack: number) =>
        now.forEach((e, r) => assert.ok(e <= before[r] * (1 + 1e-5) + slack * energy[r], `${e} after ${before[r]}`));
      const alternate = rowErrors(w, decoded(block), block.gram, cols);
      const target = multiply(w, block.gram, cols);
      jointSolution(block.scales, { ...block, target });
      assert.ok(block.scales.every(Number.isFinite));
      const joint = rowErrors(w, decoded(block), block.gram, cols);
      // The ridge of 1e-6 and scales kept as float32 are what is allowed.
      below(joint, alternate, 1e-6);
      const before = block.codes.slice(), rest = w.map((v, i) => v - decoded(block)[i]);
      resignSweep(block.codes, { ...block, residual: multiply(rest, block.gram, cols) });
      assert.ok(block.codes.every((c, i) => (c & ~(SIGN | SECOND_SIGN)) === (before[i] & ~(SIGN | SECOND_SIGN))));
      assert.ok(block.codes.every((c, i) => (c & KEPT) !== 0 || c === before[i]));
      below(rowErrors(w, decoded(block), block.gram, cols), joint, 1e-6);
    });
  }
}

Deno.test("jointSolution() meets the normal equations", () => {
  const block = start("normal", shapes[0]);
  pruneCodes(block.codes, block.rank, block.pruned);
  const { w, cols, segments, codes, gram: s } = block;
  jointSolution(block.scales, { ...block, target: multiply(w, s, cols), ridge: 1e-12 });
  const q = decoded(block);
  for (let r = 0; r < rows; r++) {
    const e = Float64Array.from({ length: cols }, (_, c) => w[r * cols + c] - q[r * cols + c]);
    const size = Math.sqrt(form(w.subarray(r * cols, (r + 1) * cols), s, w.subarray(r * cols, (r + 1) * cols)));
    for (let g = 0; g <= segments; g++) {
      const { m, b, c } = groupVectors(codes, r, cols, g);
      for (const u of g === 0 ? [m, b, c] : [m, b]) {
        assert.ok(Math.abs(form(u, s, e)) <= 1e-5 * size * Math.sqrt(form(u, s, u)));
      }
    }
  }
});

Deno.test("resignSweep() chooses as prototype's column loop in float64", () => {
  for (const shape of shapes) {
    const block = start("normal", shape, 50);
    pruneCodes(block.codes, block.rank, block.pruned);
    const { cols, w, gram: s, codes } = block, q = decoded(block), wanted = codes.slice();
    const rest = multiply(w.map((v, i) => v - q[i]), s, cols);
    for (let r = 0; r < rows; r++) {
      const pull = Float64Array.from(rest.subarray(r * cols, (r + 1) * cols));
      for (let j = 0; j < cols; j++) {
        const at = r * cols + j, code = codes[at];
        if ((code & KEPT) === 0) continue;
        const group = code & ~(SIGN | SECOND_SIGN);
        const options = code >> GROUP_SHIFT === 0
          ? [SIGN | SECOND_SIGN, SIGN, SECOND_SIGN, 0].map((b) => group | b)
          : [group | SIGN, group];
        const level = (c: number) => {
          const one = new Float32Array(1);
          const scales = block.scales.subarray(r * block.stride, (r + 1) * block.stride);
          decodeBlock(one, { ...block, codes: Uint8Array.of(c), scales, rows: 1, cols: 1 });
          return one[0];
        };
        const costs = options.map((c) => {
          const d = level(c) - level(code);
          return d * d * s[j * cols + j] - 2 * d * pull[j];
        });
        const best = options[costs.indexOf(Math.min(...costs))], d = level(best) - level(code);
        wanted[at] = best;
        for (let k = 0; k < cols; k++) pull[k] -= d * s[j * cols + k];
      }
    }
    resignSweep(codes, { ...block, residual: rest });
    assert.deepEqual(codes, wanted);
  }
});

Deno.test("columnwiseSweep() rounds each column after feeding the earlier errors forward", () => {
  for (const shape of shapes) {
    const block = start("heavy", shape, 60);
    pruneCodes(block.codes, block.rank, block.pruned);
    const { cols, w } = block, before = block.codes.slice(), errors = new Float32Array(w.length);
    const factor = weights("normal", cols, cols, 61).map((v, at) => {
      const i = Math.floor(at / cols), j = at % cols;
      return i === j ? 1 + Math.abs(v) : i < j ? 0.1 * v : NaN;
    });
    columnwiseSweep(block.codes, errors, { ...block, factor });
    const q = decoded(block);
    for (let r = 0; r < rows; r++) {
      for (let j = 0; j < cols; j++) {
        const at = r * cols + j;
        // What the column had become, from the errors themselves: w − Σ_{i<j} err_i·U_ij.
        let x = w[at];
        for (let i = 0; i < j; i++) x -= errors[r * cols + i] * factor[i * cols + j];
        assert.ok(Math.abs(errors[at] * factor[j * cols + j] - (x - q[at])) <= 1e-5 * (1 + Math.abs(x)));
        assert.equal(block.codes[at] & ~(SIGN | SECOND_SIGN), before[at] & ~(SIGN | SECOND_SIGN));
        if ((before[at] & KEPT) === 0) assert.equal(q[at], 0);
        else assertNearest(block, r, at, x, q[at]);
      }
    }
  }
});

/** No other level of the weight's group is nearer to x. */
function assertNearest(block: Block, row: number, at: number, x: number, q: number): void {
  const group = block.codes[at] & ~(SIGN | SECOND_SIGN);
  const signs = group === KEPT ? [0, SIGN, SECOND_SIGN, SIGN | SECOND_SIGN] : [0, SIGN];
  const out = new Float32Array(signs.length);
  decodeBlock(out, {
    ...block,
    codes: Uint8Array.from(signs, (b) => group | b),
    scales: block.scales.subarray(row * block.stride, (row + 1) * block.stride),
    rows: 1,
    cols: signs.length,
  });
  for (const level of out) assert.ok(Math.abs(x - q) <= Math.abs(x - level) + 1e-5 * (1 + Math.abs(x)));
}
