/**
 * One suite for all devices: every operation against a plain float64 reference, or against the row kernel it stands
 * for. Here: memory, failures, accounts; the rooms' `conformance_…_test.ts` have the operations.
 */
import assert from "node:assert/strict";
import { allEqual, ELEMENT_SIZES, zeros } from "./conformance_test_support.ts";
import { deviceCases, deviceTest, deviceTestFiles } from "./device_test_support.ts";
import { power } from "./matrix/ops.ts";
import { normal } from "./binary/row_kernels_test_support.ts";
import { roomOps } from "./room_ops_test_support.ts";

Deno.test("every operation of a room is tested by its name on all devices", async () => {
  const ops = await roomOps();
  assert.ok(ops.length >= 28, ops.map(({ name }) => name).join());
  assert.deepEqual(ops.filter(({ name, exported }) => name !== exported), []);
  assert.equal(new Set(ops.map(({ name }) => name)).size, ops.length);
  const titles = deviceTestFiles().flatMap(({ text }) => text.match(/\b\w+\(\)/g) ?? []);
  assert.deepEqual(ops.filter(({ name }) => !titles.includes(`${name}()`)), []);
});

deviceTest("a released buffer is refused", async (device) => {
  const a = zeros(device, 2, 2);
  device.release(a.buffer);
  device.run(power, a, a, 2);
  await assert.rejects(device.download([]), /after its release/);
});

deviceCases("upload() and download() keep every type's values", ELEMENT_SIZES, async (device, { rows, cols }) => {
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

deviceTest("section() credits seconds", async (device) => {
  device.spent();
  device.section("a");
  const m = zeros(device, 500, 500), out = zeros(device, 500, 500);
  device.run(power, out, m, 2);
  device.section("b");
  await device.download([out.buffer]);
  const spent = device.spent();
  assert.ok(spent.a > 0 && (spent.b ?? 0) < spent.a);
  assert.deepEqual(device.spent(), {});
});
