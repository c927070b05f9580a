import assert from "node:assert/strict";
import { percentiles } from "../kernels/binary/segments.ts";
import { GROUP_SHIFT } from "../kernels/binary/ops.ts";
import { form, gram, residual, weights } from "../kernels/binary/row_kernels_test_support.ts";
import { matrix } from "../kernels/device.ts";
import { deviceCases } from "../kernels/device_test_support.ts";
import { plainLevels, plainMeans } from "../kernels/refinement/refinement_test_support.ts";
import { Scope } from "./scope.ts";
import { WeightedSplit } from "./weighted_split.ts";

const SIZES = {
  "one row": { rows: 1, cols: 32, candidates: 9 },
  "primes, 7×37": { rows: 7, cols: 37, candidates: 60 },
  "workgroup + 1, 65×40": { rows: 65, cols: 40, candidates: 20 },
};

deviceCases("WeightedSplit cuts where the whole residual has the least Σ r·S·rᵀ", SIZES, async (device, size) => {
  const { rows, cols, candidates } = size, scope = new Scope(device);
  const values = weights("heavy", rows, cols, 4).map((v, at) => v * v * (1 + at % cols % 3));
  const s = gram(cols, 7), salient = Uint8Array.from({ length: cols }, (_, c) => Number(c % 9 === 4));
  // What the official search computes, for every candidate by itself.
  const shape = { rows, cols, doubled: 1, single: 2 };
  const groups = (cut: number, first = 1) =>
    Uint8Array.from(values, (v, at) => (salient[at % cols] ? 0 : v >= cut ? first + 1 : first) << GROUP_SHIFT);
  const refined = plainMeans(values, groups(0), { ...shape, iterations: 15 });
  const twice = plainLevels(refined.codes, refined.scales, shape);
  const cuts = [...percentiles(values.map((v, at) => salient[at % cols] ? 0 : v), candidates)];
  const errorsOf = (s: Float32Array) =>
    cuts.map((cut) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) {
        const at = Array.from({ length: cols }, (_, c) => r * cols + c);
        const e = Float64Array.from(at, (i) => values[i] - twice[i]);
        for (const above of [false, true]) {
          const part = at.filter((i) => !salient[i % cols] && values[i] >= cut === above);
          residual(part.map((i) => values[i]), 1).forEach((level, k) => e[part[k] % cols] = values[part[k]] - level);
        }
        sum += form(e, s, e);
      }
      return sum;
    });
  const up = (data: Float32Array, rows: number) => matrix(scope.upload("f32", data.slice()), rows, data.length / rows);
  const search = { values: up(values, rows), salient: matrix(scope.upload("u8", salient.slice()), 1, cols) };
  const split = new WeightedSplit(device, scope, { rows, width: cols, params: { candidates, iterations: 15 } });
  const ofX = scope.matrix("u8", rows, cols), plain = scope.matrix("u8", rows, cols);
  split.search(plain, { ...search, firstGroup: 2 });
  split.search(ofX, { ...search, firstGroup: 1, gram: up(s, cols) });
  const found = await device.download([ofX.buffer, plain.buffer]);
  const one = Float32Array.from(s, (_, at) => Number(at % (cols + 1) === 0));
  for (const [i, errors] of [errorsOf(s), errorsOf(one)].entries()) {
    const chosen = cuts.findIndex((cut) => groups(cut, 1 + i).every((code, at) => code === found[i][at]));
    assert.ok(chosen >= 0, "it is one of the candidates");
    assert.ok(errors[chosen] <= (1 + 1e-5) * Math.min(...errors), `${errors[chosen]}, not ${Math.min(...errors)}`);
  }
  scope.close();
});
