import assert from "node:assert/strict";
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { residual, uniform, weights } from "./row_kernels_test_support.ts";
import { type ThresholdOptions, thresholdSearch, type ThresholdSettings } from "./thresholds.ts";

const BILLM: ThresholdSettings = {
  within: "rest",
  order: 1,
  doubled: false,
  candidates: 81,
  percentiles: "block",
  first: 1,
};

const SETTINGS: Readonly<Record<string, ThresholdSettings>> = {
  "BiLLM": BILLM,
  "STBLLM": { ...BILLM, doubled: true, candidates: 160 },
  "column groups": { ...BILLM, within: "salient", order: 2, percentiles: "positive", first: 2 },
  "order 2, positive": { ...BILLM, order: 2, percentiles: "positive", candidates: 21 },
};

/** Scores of random weights, with pruned ones of 0 where `zeros` says so. */
function scores(rows: number, cols: number, { pruned = 0, zeros = false, seed = 3 } = {}): Omit<
  ThresholdOptions,
  keyof ThresholdSettings
> {
  const next = uniform(seed), w = weights("heavy", rows, cols, seed);
  const rank = Uint8Array.from(w, () => Math.floor(8 * next()));
  const values = w.map((v, at) => zeros && rank[at] < 4 ? 0 : v * v * (1 + at % cols));
  return { values, rank, pruned, rows, cols, salient: Uint8Array.from({ length: cols }, () => Number(next() < 0.2)) };
}

/** The search as a reader of the official code would write it: every candidate, every segment, value by value. */
function plainly(options: ThresholdOptions): number[] {
  const { values, salient, rank, pruned, rows, cols, within, order, doubled, candidates, percentiles } = options;
  const part = Array.from(
    values,
    (_, at) => (salient[at % cols] === 1) === (within === "salient") && rank[at] >= pruned,
  );
  const sorted = Array.from(values, (v, at) => part[at] ? v : 0)
    .filter((v, at) => percentiles === "block" || (part[at] && v > 0)).sort((a, b) => a - b);
  const levels = Array.from({ length: candidates }, (_, i) => {
    const at = (sorted.length - 1) * (0.1 + 0.8 * i / (candidates - 1)), low = Math.floor(at);
    const next = sorted[Math.min(low + 1, sorted.length - 1)];
    return Math.fround(sorted[low] + (next - sorted[low]) * (at - low));
  });
  let least = Infinity, chosen: number[] = [];
  for (const level of levels) {
    const cuts = doubled ? [level, 2 * level] : [level];
    if (doubled && 2 * level > levels[candidates - 1]) continue;
    let error = 0;
    for (let r = 0; r < rows; r++) {
      for (let segment = 0; segment <= cuts.length; segment++) {
        const [from, to] = [cuts[segment - 1] ?? -Infinity, cuts[segment] ?? Infinity];
        const members = Array.from({ length: cols }, (_, c) => r * cols + c)
          .filter((at) => part[at] && values[at] >= from && values[at] < to).map((at) => values[at]);
        residual(members, order).forEach((level, i) => error += (members[i] - level) ** 2);
      }
    }
    if (error < least * (1 - 1e-12)) [least, chosen] = [error, cuts];
  }
  return chosen;
}

function groupsOf(cuts: readonly number[], { values, salient, cols, within, first }: ThresholdOptions): number[] {
  return Array.from(values, (v, at) => {
    if ((salient[at % cols] === 1) !== (within === "salient")) return within === "rest" ? 0 : 31;
    return first + cuts.filter((cut) => v >= cut).length;
  });
}

for (const [name, settings] of Object.entries(SETTINGS)) {
  Deno.test(`thresholdSearch() cuts where every candidate tried plainly has the least error: ${name}`, () => {
    for (
      const [rows, cols, change] of [
        [1, 1, {}],
        [3, 9, {}],
        [17, 64, { seed: 5 }],
        [12, 128, { pruned: 3 }],
        [12, 40, { zeros: true, pruned: 4 }],
        [12, 40, { zeros: true }],
      ] as const
    ) {
      const options = { ...scores(rows, cols, change), ...settings };
      const codes = new Uint8Array(rows * cols).fill(31 << GROUP_SHIFT);
      thresholdSearch(codes, options);
      assert.deepEqual([...codes.map((c) => c >> GROUP_SHIFT)], groupsOf(plainly(options), options), `${rows}×${cols}`);
    }
  });
}

Deno.test("thresholdSearch() never looks at the signs of scores", () => {
  const base = { ...scores(5, 32), ...BILLM }, other = { ...base, values: base.values.map((v, i) => i % 3 ? v : -v) };
  const [a, b] = [base, other].map((options) => {
    const codes = new Uint8Array(5 * 32);
    thresholdSearch(codes, options);
    return codes;
  });
  assert.deepEqual(a, b);
});
