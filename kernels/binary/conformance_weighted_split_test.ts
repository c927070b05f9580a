/** ARB-X's search on every device: candidates, what each of them leaves and the choice, against float64 references. */
import assert from "node:assert/strict";
import { allClose, allEqual, FLOAT } from "../conformance_test_support.ts";
import { matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { GROUP_SHIFT } from "./quantized_layer.ts";
import { residual, uniform, weights } from "./row_kernels_test_support.ts";
import { percentiles } from "./segments.ts";
import { chooseSplit, splitCandidates, splitResiduals } from "./weighted_split_ops.ts";

const SIZES = {
  "1×1": { rows: 1, cols: 1 },
  "primes, 13×53": { rows: 13, cols: 53 },
  "workgroup + 1, 65×129": { rows: 65, cols: 129 },
  "576 wide": { rows: 3, cols: 576 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, slow: true },
};

/** Elements of the histogram of one place. */
const DIGITS = 2048;

/** Scores or, with signs, weights; every tenth column is salient where there is more than one. */
function splitCase({ rows, cols }: { readonly rows: number; readonly cols: number }, signed: boolean) {
  const next = uniform(cols), values = weights("heavy", rows, cols, rows).map((v) => signed ? v : v * v);
  if (rows > 2) values.fill(0, cols, 2 * cols);
  const salient = Uint8Array.from({ length: cols }, () => Number(cols > 1 && next() < 0.1));
  return { values, salient, rest: weights("normal", rows, cols, 3) };
}

deviceCases(
  "splitCandidates() are percentiles, salient columns counted as zeros",
  SIZES,
  async (device, size, tested) => {
    const { rows, cols } = size, { values, salient } = splitCase(size, true);
    for (const count of [1, 9, Math.min(81, Math.floor(tested.window / (2 * DIGITS)))]) {
      const out = matrix(device.alloc("f32", count), 1, count);
      device.run(splitCandidates, out, {
        values: matrix(device.upload("f32", values.slice()), rows, cols),
        salient: matrix(device.upload("u8", salient.slice()), 1, cols),
      });
      const [found] = await device.download([out.buffer]);
      const seen = values.map((v, at) => salient[at % cols] ? 0 : Math.abs(v));
      allClose(found, percentiles(seen, count), 2 * FLOAT, `${count} candidates`);
    }
  },
);

deviceCases("splitResiduals() leaves what binarizing both sides does", SIZES, async (device, size) => {
  const { rows, cols } = size;
  for (const signed of [false, true]) {
    const { values, salient, rest } = splitCase(size, signed), candidates = Float32Array.of(0, 0.3, 1, 1e9), count = 3;
    const out = matrix(device.alloc("f32", count * rows * cols), count * rows, cols);
    device.run(splitResiduals, out, {
      values: matrix(device.upload("f32", values.slice()), rows, cols),
      salient: matrix(device.upload("u8", salient.slice()), 1, cols),
      rest: matrix(device.upload("f32", rest.slice()), rows, cols),
      candidates: matrix(device.upload("f32", candidates.slice()), 1, candidates.length),
      first: 1,
    });
    const [found] = await device.download([out.buffer]), wanted = new Float64Array(count * rows * cols);
    for (let line = 0; line < count * rows; line++) {
      const row = line % rows, cut = candidates[1 + Math.floor(line / rows)], at = row * cols;
      for (let c = 0; c < cols; c++) wanted[line * cols + c] = rest[at + c];
      for (const above of [false, true]) {
        const part = Array.from(salient.keys()).filter((c) => !salient[c] && Math.abs(values[at + c]) >= cut === above);
        const x = part.map((c) => values[at + c]), levels = residual(x, 1);
        part.forEach((c, i) => wanted[line * cols + c] = x[i] - levels[i]);
      }
    }
    allClose(found, wanted, 2 * FLOAT, signed ? "of weights" : "of scores");
  }
});

deviceCases("chooseSplit() cuts by the first candidate of least error", SIZES, async (device, size) => {
  const { rows, cols } = size, { values, salient } = splitCase(size, true);
  const candidates = Float32Array.of(0.1, 0.5, 0.7, 1), errors = Float32Array.of(4, 2, 3, 2);
  for (const firstGroup of [1, 2]) {
    const out = matrix(device.upload("u8", new Uint8Array(rows * cols).fill(9)), rows, cols);
    device.run(chooseSplit, out, {
      values: matrix(device.upload("f32", values.slice()), rows, cols),
      salient: matrix(device.upload("u8", salient.slice()), 1, cols),
      candidates: matrix(device.upload("f32", candidates.slice()), 1, 4),
      errors: matrix(device.upload("f32", errors.slice()), 1, 4),
      firstGroup,
    });
    const [found] = await device.download([out.buffer]);
    const wanted = values.map((v, at) => salient[at % cols] ? 0 : firstGroup + Number(Math.abs(v) >= 0.5));
    allEqual(found.map((code) => code >> GROUP_SHIFT), wanted, "groups");
    assert.ok(found.every((code) => code % (1 << GROUP_SHIFT) === 0));
  }
});
