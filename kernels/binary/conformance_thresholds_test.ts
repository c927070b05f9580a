/** The search for thresholds of every device against the row kernel: given equal scores, cuts are equal away from ties. */
import assert from "node:assert/strict";
import { RUN_SIZES } from "../conformance_test_support.ts";
import { matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { uniform, weights } from "./row_kernels_test_support.ts";
import { thresholdGains, type ThresholdOptions, thresholdSearch } from "./thresholds.ts";
import { searchThresholds } from "./thresholds_op.ts";

/** Elements of the histogram of one place. */
const DIGITS = 2048;

const SETTINGS = [
  { within: "rest", order: 1, doubled: false, candidates: 81, percentiles: "block", first: 1 },
  { within: "rest", order: 1, doubled: true, candidates: 160, percentiles: "block", first: 1 },
  { within: "salient", order: 2, doubled: false, candidates: 81, percentiles: "positive", first: 3 },
] as const;

deviceCases(
  "searchThresholds() cuts at the same places away from ties",
  RUN_SIZES,
  async (device, { rows, cols, of }, tested) => {
    const next = uniform(7), w = weights("heavy", rows, cols, 9), pruned = Math.floor(of / 2);
    const rank = Uint8Array.from(w, () => Math.floor(of * next()));
    const values = w.map((v, at) => rank[at] === pruned ? 0 : v * v * (1 + at % cols % 5));
    const salient = Uint8Array.from({ length: cols }, () => Number(next() < 0.2));
    for (const each of SETTINGS) {
      // Two places a candidate, whose histograms are one binding.
      const settings = { ...each, candidates: Math.min(each.candidates, Math.floor(tested.window / (2 * DIGITS))) };
      for (const some of [0, pruned]) {
        const options: ThresholdOptions = { ...settings, values, salient, rank, pruned: some, rows, cols };
        const wanted = new Uint8Array(values.length).fill(31 << GROUP_SHIFT);
        const out = matrix(device.upload("u8", wanted.slice()), rows, cols);
        thresholdSearch(wanted, options);
        device.run(searchThresholds, out, {
          ...settings,
          values: matrix(device.upload("f32", values.slice()), rows, cols),
          salient: matrix(device.upload("u8", salient.slice()), 1, cols),
          rank: matrix(device.upload("u8", rank.slice()), rows, cols),
          pruned: some,
        });
        const [found] = await device.download([out.buffer]);
        if (found.every((code, at) => code === wanted[at])) continue;
        const [a, b] = [gainOf(options, found), gainOf(options, wanted)];
        assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${settings.within}: a gain of ${a} instead of ${b}`);
      }
    }
  },
);

/** What the groups of scores that take part take away from the squared error. */
function gainOf(options: ThresholdOptions, codes: Uint8Array): number {
  const { values, rank, pruned, first } = options;
  let total = 0;
  for (const group of [first, first + 1, first + 2]) {
    const members = values.map((v, at) => codes[at] >> GROUP_SHIFT === group ? v : NaN);
    const part = Uint8Array.from(members, (v, at) => Number(!Number.isNaN(v) && rank[at] >= pruned));
    const all = { ...options, values, rank: part, pruned: 1, doubled: false };
    // A cut above all scores leaves one segment, the group.
    total += thresholdGains(all, Float32Array.of(Infinity))[0];
  }
  return total;
}
