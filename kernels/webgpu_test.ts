/** What only the WebGPU device has: windows, a budget, failures of the GPU. Its operations are in the conformance suite. */
import assert from "node:assert/strict";
import { openCpuDevice } from "./cpu.ts";
import { type Device, type Matrix, matrix, part } from "./device.ts";
import { gram, normal } from "./binary/row_kernels_test_support.ts";
import {
  addDot,
  clearColumns,
  columnSquares,
  copy,
  damp,
  diagonal,
  gemm,
  packUpper,
  power,
  subtract,
  unpack,
} from "./matrix/ops.ts";
import { openWebGpuDevice } from "./webgpu.ts";
import { openGpuContext } from "./gpu/context.ts";
import { gpuTest } from "./gpu/webgpu_test_support.ts";

gpuTest("operations cut what no binding holds", async () => {
  const devices = [openCpuDevice(), await openWebGpuDevice({ maxBindingSize: 4096 })];
  const [wanted, found] = await Promise.all(devices.map(largeOperations));
  wanted.forEach((array, i) => {
    const most = array.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    array.forEach((x, at) => assert.ok(Math.abs(found[i][at] - x) <= 1e-6 * most, `array ${i} at ${at}`));
  });
  for (const device of devices) await device.destroy();
});

/** Matrices of several thousand elements, in windows of 1024. */
async function largeOperations(device: Device): Promise<readonly Float32Array[]> {
  const rows = 61, cols = 67, size = 83, next = normal(7);
  const random = (r: number, c: number): Matrix =>
    part(matrix(device.upload("f32", Float32Array.from({ length: (r + 1) * (c + 3) }, () => next())), r + 1, c + 3), {
      row: 1,
      col: 2,
      cols: c,
    });
  const zeros = (r: number, c: number) => matrix(device.alloc("f32", r * c), r, c);
  const a = random(rows, cols), b = random(rows, cols), scale = random(1, cols);
  const copied = zeros(rows, cols), turned = zeros(cols, rows), scaled = zeros(cols, rows), sums = zeros(1, cols);
  const dot = zeros(1, 1), product = zeros(rows, rows), squares = zeros(rows, cols), diagonals = zeros(1, rows);
  device.run(copy, copied, a);
  device.run(copy, turned, a, { transposed: true });
  device.run(subtract, scaled, a, b, { scale, transposed: true });
  device.run(columnSquares, sums, a);
  device.run(addDot, dot, a, b, 3);
  device.run(gemm, product, a, b, { transposeB: true });
  device.run(gemm, product, turned, b, { transposeA: true, transposeB: true, alpha: 0.5, beta: 2 });
  device.run(power, squares, a, 2);
  const live = Float32Array.from({ length: cols }, (_, c) => c % 3);
  device.run(clearColumns, squares, matrix(device.upload("f32", live), 1, cols));
  device.run(diagonal, diagonals, part(product, { cols: rows }));
  const packed = device.upload("f32", packUpper(gram(size, size), size));
  const entries = zeros(1, size), added = zeros(1, size), full = zeros(size, size);
  device.run(damp, entries, added, packed, { size, damping: 0.1 });
  device.run(unpack, full, packed, { size, row: 0, col: 0, added });
  const all = [copied, turned, scaled, sums, dot, product, squares, diagonals, entries, added, full];
  return await device.download(all.map(({ buffer }) => buffer));
}

gpuTest("operations whose operand lies in the buffer of the result take a copy", async () => {
  const device = await openWebGpuDevice();
  const both = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4, 0, 0, 0, 0)), 4, 2);
  const a = part(both, { rows: 2 }), out = part(both, { row: 2 });
  device.run(gemm, out, a, a);
  device.run(subtract, a, a, out);
  device.run(power, a, a, 2);
  const [data] = await device.download([both.buffer]);
  assert.deepEqual([...data], [36, 64, 144, 324, 7, 10, 15, 22]);
  await device.destroy();
});

gpuTest("a budget bounds memory, and released memory is reused, as zeros", async () => {
  const context = await openGpuContext({ memoryBudget: 3 << 20 });
  for (let i = 0; i < 10; i++) context.release(context.upload("f32", new Float32Array(1 << 18).fill(1)));
  assert.equal(context.memory, 1 << 20);
  assert.deepEqual((await context.download([context.scratch("f32", 1 << 18)]))[0], new Float32Array(1 << 18));
  // What is free in another size makes room.
  const kept = context.upload("f32", new Float32Array(1 << 19));
  context.release(context.upload("f32", new Float32Array(1 << 17)));
  const last = context.upload("u8", new Uint8Array(1 << 18).fill(200));
  assert.throws(() => context.upload("f32", new Float32Array(1)), /budget is 3145728: current use is 3145728/);
  assert.deepEqual((await context.download([last]))[0], new Uint8Array(1 << 18).fill(200));
  context.release(kept);
  context.destroy();
});

gpuTest("uploads do not overtake what is encoded", async (context) => {
  const add = {
    name: "add",
    code: `
      @group(0) @binding(0) var<storage, read_write> sum: array<f32>;
      @group(0) @binding(1) var<storage, read> x: array<f32>;
      @compute @workgroup_size(1) fn main() { sum[0] += x[0]; }`,
  };
  const sum = context.scratch("f32", 1);
  for (let i = 1; i <= 300; i++) {
    const x = context.upload("f32", Float32Array.of(i));
    context.run(add, [{ buffer: sum, access: "read_write" }, { buffer: x, access: "read" }], [], [1]);
    context.release(x);
  }
  assert.equal((await context.download([sum]))[0][0], 45150);
});

gpuTest("failures name the kernel", async (context) => {
  const buffer = context.scratch("f32", 4), read = { buffer, access: "read" } as const;
  const write = { buffer, access: "read_write" } as const;
  const op = { name: "twisted", code: "@compute @workgroup_size(1) fn main() { let x: u32 = 1.0; }" };
  assert.throws(() => context.run(op, [read, write], [], [1]), /"twisted" as one buffer is bound both/);
  assert.throws(() => context.run(op, [write], [], [70000]), /"twisted" in 70000 workgroups/);
  assert.throws(() => context.run(op, [{ ...read, first: 3 }], [], [1]), /"twisted" on 1 elements from 3/);
  context.run(op, [write], [], [1]);
  await assert.rejects(context.download([]), /Cannot compile the WebGPU kernel "twisted": /);
  assert.deepEqual((await context.download([buffer]))[0], new Float32Array(4));
});
