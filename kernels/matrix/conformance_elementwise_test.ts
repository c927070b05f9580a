/** The conformance suite's part on what works element by element. */
import assert from "node:assert/strict";
import { allEqual, close, ELEMENT_SIZES, FLOAT, get, randomWindow, zeros } from "../conformance_test_support.ts";
import { matrix } from "../device.ts";
import { deviceCases, deviceTest } from "../device_test_support.ts";
import { normal } from "../binary/row_kernels_test_support.ts";
import {
  addDot,
  clearColumns,
  columnSquares,
  copy,
  diagonal,
  power,
  roundScales,
  subtract,
} from "./elementwise_ops.ts";
import { halfExponent } from "./half_unit.ts";

deviceCases("copy() and subtract() work on windows, transposed too", ELEMENT_SIZES, async (device, { rows, cols }) => {
  const a = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
  const b = randomWindow(device, { rows, cols, gap: 1, seed: 2 });
  const scale = randomWindow(device, { rows: 1, cols, seed: 3 });
  const copied = zeros(device, rows, cols), turned = zeros(device, cols, rows), difference = zeros(device, rows, cols);
  const scaled = zeros(device, cols, rows);
  device.run(copy, copied, a.at);
  device.run(copy, turned, a.at, { transposed: true });
  device.run(subtract, difference, a.at, b.at);
  device.run(subtract, scaled, a.at, b.at, { scale: scale.at, transposed: true });
  const out = await device.download([copied, turned, difference, scaled].map(({ buffer }) => buffer));
  const wanted = out.map(({ length }) => new Float32Array(length));
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const x = get(a, i, j), d = x - get(b, i, j), at = i * cols + j, across = j * rows + i;
      wanted[0][at] = wanted[1][across] = x;
      wanted[2][at] = d;
      close(out[3][across], d * get(scale, 0, j), 4 * FLOAT);
    }
  }
  ["copied", "turned", "difference"].forEach((what, i) => allEqual(out[i], wanted[i], what));
});

deviceCases("power(), columnSquares() and addDot() work on windows", ELEMENT_SIZES, async (device, { rows, cols }) => {
  const a = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
  const b = randomWindow(device, { rows, cols, gap: 1, seed: 2 });
  const squared = zeros(device, rows, cols), sums = zeros(device, 1, cols), dot = zeros(device, 1, 1);
  const inverse = zeros(device, rows, cols);
  device.run(power, squared, a.at, 2);
  device.run(power, inverse, squared, -0.5);
  device.run(columnSquares, sums, a.at);
  device.run(addDot, dot, a.at, b.at, 2);
  device.run(addDot, dot, a.at, a.at, -1);
  const out = await device.download([squared, sums, dot, inverse].map(({ buffer }) => buffer));
  const columns = new Float64Array(cols);
  let product = 0, size = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const x = get(a, i, j), y = get(b, i, j);
      close(out[0][i * cols + j], x * x, 4 * FLOAT);
      close(out[3][i * cols + j], 1 / Math.abs(x), 64 * FLOAT);
      columns[j] += x * x;
      product += 2 * x * y - x * x;
      size += 2 * Math.abs(x * y) + x * x;
    }
  }
  for (let j = 0; j < cols; j++) close(out[1][j], columns[j], 4 * FLOAT);
  close(out[2][0], product, 4 * FLOAT, size);
});

deviceCases("diagonal() and clearColumns() take what they are told", ELEMENT_SIZES, async (device, { rows, cols }) => {
  const size = Math.min(rows, cols), a = randomWindow(device, { rows: size, cols: size, gap: 2, seed: 1 });
  const w = randomWindow(device, { rows, cols, seed: 2 }), live = Float32Array.from({ length: cols }, (_, j) => j % 3);
  const out = zeros(device, 1, size);
  device.run(diagonal, out, a.at);
  device.run(clearColumns, w.at, matrix(device.upload("f32", live.slice()), 1, cols));
  const [entries, cleared] = await device.download([out.buffer, w.at.buffer]);
  allEqual(entries, Float32Array.from({ length: size }, (_, i) => get(a, i, i)), "diagonal");
  allEqual(cleared, w.data.map((x, i) => live[i % cols] === 0 ? 0 : x), "cleared");
});

const SCALE_SIZES = {
  "1×1": { rows: 1, cols: 1 },
  "primes, 53×7": { rows: 53, cols: 7 },
  "workgroup + 1, 65×11": { rows: 65, cols: 11 },
  "larger than a window, 7000×11": { rows: 7000, cols: 11 },
};

deviceCases(
  "roundScales() rounds each row to float16 in its own unit",
  SCALE_SIZES,
  async (device, { rows, cols }) => {
    const next = normal(cols), a = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
    const powers = [0, -40, 40, -14, -15, 14, 15, -80, 100];
    const x = Float32Array.from(
      { length: rows * cols },
      (_, i) => Math.floor(i / cols) % 10 === 9 ? 0 : next() * 2 ** (powers[Math.floor(i / cols) % 10] - i % 7),
    );
    device.run(copy, a.at, matrix(device.upload("f32", x.slice()), rows, cols));
    device.run(roundScales, a.at);
    const [data] = await device.download([a.at.buffer]);
    for (let row = 0; row < rows; row++) {
      const line = x.subarray(row * cols, (row + 1) * cols);
      const unit = 2 ** halfExponent(line.reduce((most, v) => Math.max(most, Math.abs(v)), 0));
      for (let col = 0; col < cols; col++) {
        const rounded = get({ ...a, data }, row, col), wanted = Math.f16round(line[col] / unit) * unit;
        // Which zero it is does not matter.
        assert.ok(rounded === wanted, `${row}, ${col}: ${line[col]} became ${rounded}, not ${wanted}`);
      }
    }
  },
);

deviceTest("copy() refuses another shape and another element type", (device) => {
  const a = zeros(device, 2, 3), bytes = matrix(device.alloc("u8", 6), 2, 3);
  assert.throws(() => device.run(copy, zeros(device, 2, 2), a), /"copy" as its operand must be 2×3: .* 2×2$/);
  assert.throws(() => device.run(copy, bytes, a), /"copy" as its operand must be u8: current value is f32$/);
});
