/** Column blocks against the recursion as it is written in the paper, in float64. */
import assert from "node:assert/strict";
import { noStretches, roundBlock, sizeIndex, stepParts } from "./block.ts";
import { CONTEXTS, MAX_CODE } from "./contexts.ts";
import { COSTS, roundColumn, roundingScratch } from "./round.ts";
import { logNear, stepOf } from "./steps.ts";
import { pointOf, STATES, trellisOf } from "./states.ts";

const costs = new Int32Array(2 * CONTEXTS * COSTS);

/** Deterministic numbers in −1…1. */
function waves(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.7 + seed) * Math.cos(i * 1.3 + seed * i));
}

function factorOf(width: number): Float32Array {
  const values = waves(width * width, 3);
  return values.map((value, at) => {
    const i = Math.floor(at / width), j = at % width;
    return i > j ? 0 : i === j ? 0.5 + Math.abs(value) : 0.2 * value;
  });
}

for (const states of STATES) {
  Deno.test(`roundBlock() feeds each column's error to those after it [${states} states]`, () => {
    const rows = 24, width = 11, step = 0.1;
    const target = waves(rows * width, 1), factor = factorOf(width), rowSizes = new Int8Array(rows);
    const columnRms = new Float64Array(width).fill(0.5);
    const block = { target: target.slice(), factor, step, columnRms, stretches: noStretches() };
    const made = roundBlock(block, { states, strip: rows, costs, rowSizes });
    const every = stepParts(rows), onGrid = (value: number) => Math.round(logNear(value) / every) * every;
    const seen = new Map<number, number>();
    const left = Float64Array.from(target), { next, quantizers } = trellisOf(states);
    for (let j = 0; j < width; j++) {
      const u = factor[j * width + j], like = sizeIndex(0.5 / (step * u)), drawn = seen.get(like) ?? 1;
      const fine = stepOf(onGrid(step * u * drawn)) / drawn;
      const x = Float64Array.from({ length: rows }, (_, i) => block.target[j * rows + i] / fine);
      const codes = new Int16Array(rows), points = new Float64Array(rows);
      roundColumn(codes, points, { states, strip: rows, costs, rowSizes, x, columnSize: 0 }, roundingScratch(rows));
      assert.deepEqual(made.codes.subarray(j * rows, (j + 1) * rows), codes);
      const scale = stepOf(made.stepLogs[j]);
      let state = 0;
      for (let i = 0; i < rows; i++) {
        const at = j * rows + i, value = Math.fround(pointOf(states, quantizers[state], codes[i]) * scale) + 0;
        assert.equal(made.decoded[at] + 0, value);
        assert.ok(Math.abs(block.target[at] - left[at]) < 1e-5);
        const error = (left[at] - value) / u;
        assert.ok(Math.abs(made.errors[at] - error) < 1e-4);
        for (let l = j + 1; l < width; l++) left[l * rows + i] -= error * factor[j * width + l];
        state = next[2 * state + (codes[i] & 1)];
      }
      // Least squares, as near as the grid allows.
      const meets = x.reduce((sum, value, i) => sum + value * points[i], 0);
      const stretch = meets / points.reduce((sum, point) => sum + point * point, 0);
      assert.equal(made.stepLogs[j], onGrid(fine * stretch));
      seen.set(like, drawn + 0.3 * (stretch - drawn));
    }
  });
}

Deno.test("roundBlock() keeps codes within what is stored, whatever a column's inputs are", () => {
  const rows = 8, target = Float32Array.from({ length: rows }, (_, i) => 10 * (i - 3));
  const block = {
    target,
    factor: Float32Array.of(1e-9),
    step: 1,
    columnRms: Float64Array.of(20),
    stretches: noStretches(),
  };
  const { codes, decoded } = roundBlock(block, { states: 1, strip: rows, costs, rowSizes: new Int8Array(rows) });
  assert.ok(codes.every((code) => Math.abs(code) <= MAX_CODE));
  decoded.forEach((value, i) => assert.ok(Math.abs(value - 10 * (i - 3)) < 0.6, `${value}`));
});

Deno.test("roundBlock() takes columns of zeros", () => {
  const block = {
    target: new Float32Array(8),
    factor: factorOf(2),
    step: 0.1,
    columnRms: new Float64Array(2),
    stretches: noStretches(),
  };
  const made = roundBlock(block, { states: 8, strip: 4, costs, rowSizes: new Int8Array(4) });
  assert.ok([...made.decoded, ...made.errors, ...made.codes].every((value) => value === 0));
  assert.deepEqual([...made.columnSizes], [-128, -128]);
});

Deno.test("steps are the finer the more rows share them", () => {
  assert.deepEqual([1, 64, 192, 576, 1536, 4096, 1 << 20].map(stepParts), [16, 16, 8, 4, 4, 2, 1]);
});

Deno.test("steps and sizes are whole parts of an octave", () => {
  for (let index = -700; index < 700; index++) assert.equal(logNear(stepOf(index)), index);
  assert.deepEqual([1, 2, 0.5, 2 ** 0.0625 * 0.999, 0, 1e30, Infinity].map(sizeIndex), [0, 8, -8, 0, -128, 127, 127]);
});
