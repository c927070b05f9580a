/**
 * One suite for all devices: every operation against a plain float64 reference, or against the row kernel it stands
 * for. Here: memory, failures, accounts, and what works element by element; the other `conformance_…_test.ts` have the
 * rest.
 */
import assert from "node:assert/strict";
import { allClose, allEqual, close, FLOAT, get, randomWindow, zeros } from "./conformance_test_support.ts";
import { openCpuDevice } from "./cpu.ts";
import { matrix } from "./device.ts";
import { deviceCases, deviceTest, deviceTestFiles } from "./device_test_support.ts";
import { normal } from "./binary/row_kernels_test_support.ts";

const SIZES = {
  "1×1": { rows: 1, cols: 1 },
  "primes, 7×5": { rows: 7, cols: 5 },
  "primes, 53×127": { rows: 53, cols: 127 },
  "workgroup + 1, 65×257": { rows: 65, cols: 257 },
  "576 wide": { rows: 5, cols: 576 },
  "1536 wide": { rows: 3, cols: 1536, slow: true },
  "4096 wide": { rows: 2, cols: 4096 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, slow: true },
};

/** What a device has besides operations. */
const MEMORY = ["constructor", "alloc", "upload", "release", "download", "section", "spent", "counters", "destroy"];

Deno.test("every operation of a device is tested by its name on all devices", () => {
  const device = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(openCpuDevice()));
  const operations = Object.keys(device).filter((name) => device[name].value && !MEMORY.includes(name));
  assert.ok(operations.length >= 28, operations.join());
  const titles = deviceTestFiles().flatMap(({ text }) => text.match(/\b\w+\(\)/g) ?? []);
  assert.deepEqual(operations.filter((name) => !titles.includes(`${name}()`)), []);
});

deviceTest("a released buffer is refused", async (device) => {
  const a = zeros(device, 2, 2);
  device.release(a.buffer);
  device.power(a, a, 2);
  await assert.rejects(device.download([]), /after its release/);
});

deviceCases("upload() and download() keep every type's values", SIZES, async (device, { rows, cols }) => {
  const next = normal(cols), length = rows * cols;
  const f32 = Float32Array.from({ length }, () => next()), u8 = Uint8Array.from(f32, (x) => 99 * x);
  const u32 = Uint32Array.from(f32, (x) => 2e9 * x);
  const buffers = [
    device.upload("f32", f32.slice()),
    device.upload("u8", u8.slice()),
    device.upload("u32", u32.slice()),
  ];
  const [a, b, c, d] = await device.download([...buffers, device.alloc("u8", length)]);
  assert.ok(a instanceof Float32Array && b instanceof Uint8Array && c instanceof Uint32Array);
  allEqual(a, f32, "f32");
  allEqual(b, u8, "u8");
  allEqual(c, u32, "u32");
  allEqual(d, new Uint8Array(length), "zeros");
});

deviceCases("copy() and subtract() work on windows, transposed too", SIZES, async (device, { rows, cols }) => {
  const a = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
  const b = randomWindow(device, { rows, cols, gap: 1, seed: 2 });
  const scale = randomWindow(device, { rows: 1, cols, seed: 3 });
  const copied = zeros(device, rows, cols), turned = zeros(device, cols, rows), difference = zeros(device, rows, cols);
  const scaled = zeros(device, cols, rows);
  device.copy(copied, a.at);
  device.copy(turned, a.at, { transposed: true });
  device.subtract(difference, a.at, b.at);
  device.subtract(scaled, a.at, b.at, { scale: scale.at, transposed: true });
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

deviceCases("power(), columnSquares() and addDot() work on windows", SIZES, async (device, { rows, cols }) => {
  const a = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
  const b = randomWindow(device, { rows, cols, gap: 1, seed: 2 });
  const squared = zeros(device, rows, cols), sums = zeros(device, 1, cols), dot = zeros(device, 1, 1);
  const inverse = zeros(device, rows, cols);
  device.power(squared, a.at, 2);
  device.power(inverse, squared, -0.5);
  device.columnSquares(sums, a.at);
  device.addDot(dot, a.at, b.at, 2);
  device.addDot(dot, a.at, a.at, -1);
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

deviceCases("diagonal() and clearColumns() take what they are told", SIZES, async (device, { rows, cols }) => {
  const size = Math.min(rows, cols), a = randomWindow(device, { rows: size, cols: size, gap: 2, seed: 1 });
  const w = randomWindow(device, { rows, cols, seed: 2 }), live = Float32Array.from({ length: cols }, (_, j) => j % 3);
  const out = zeros(device, 1, size);
  device.diagonal(out, a.at);
  device.clearColumns(w.at, matrix(device.upload("f32", live.slice()), 1, cols));
  const [diagonal, cleared] = await device.download([out.buffer, w.at.buffer]);
  allEqual(diagonal, Float32Array.from({ length: size }, (_, i) => get(a, i, i)), "diagonal");
  allEqual(cleared, w.data.map((x, i) => live[i % cols] === 0 ? 0 : x), "cleared");
});

deviceCases("roundHalf() rounds to float16 and stays finite", SIZES, async (device, { rows, cols }) => {
  const edges = [1 / 3, -70000, 1e-9, 65519.9, -65520, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 6.1e-5, -0.1, 1e-40];
  const next = normal(rows),
    x = Float32Array.from({ length: rows * cols }, (_, i) => edges[i] ?? next() * 2 ** (i % 34 - 20));
  const at = matrix(device.upload("f32", x.slice()), rows, cols);
  device.roundHalf(at);
  const [half] = await device.download([at.buffer]);
  const wanted = x.map((v) => Math.max(-65504, Math.min(65504, Math.f16round(v))));
  // Which zero it is does not matter.
  allClose(half, wanted, 0, "rounded");
});

deviceTest("section() credits seconds", async (device) => {
  device.spent();
  device.section("a");
  const m = zeros(device, 500, 500), out = zeros(device, 500, 500);
  device.power(out, m, 2);
  device.section("b");
  await device.download([out.buffer]);
  const spent = device.spent();
  assert.ok(spent.a > 0 && (spent.b ?? 0) < spent.a);
  assert.deepEqual(device.spent(), {});
});
