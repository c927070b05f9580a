import assert from "node:assert/strict";
import { matrix } from "../device_buffer.ts";
import { denseOffset, grid, rowWindows } from "./dispatch.ts";
import { gpuTest } from "./webgpu_test_support.ts";

Deno.test("rowWindows() covers every row once, within what can be bound", () => {
  const buffer = { type: "f32", length: 5 + 7 * 100 } as const, m = { ...matrix(buffer, 7, 100), offset: 5 };
  for (const bindable of [164, 300, 464, 4096]) {
    const windows = rowWindows({ bindable }, { read: [m] });
    let row = 0;
    for (const { row: first, rows, read: [{ binding, offset }] } of windows) {
      assert.equal(first, row);
      assert.equal((binding.first ?? 0) + offset, 5 + 100 * row);
      assert.equal(binding.count, offset + 100 * rows);
      assert.ok(binding.count <= bindable);
      row += rows;
    }
    assert.equal(row, 7);
  }
  assert.equal(rowWindows({ bindable: 4096 }, { read: [m], most: 3 }).length, 3);
});

Deno.test("denseOffset() refuses gaps and what lies outside", () => {
  const buffer = { type: "f32", length: 12 } as const;
  assert.throws(() => denseOffset({ ...matrix(buffer, 3, 4), cols: 3 }), /stride 4/);
  assert.throws(() => denseOffset({ ...matrix(buffer, 3, 4), offset: 1 }), /buffer of 12/);
});

gpuTest("grid() goes into a second dimension where one does not reach", (context) => {
  const most = context.limits.maxComputeWorkgroupsPerDimension;
  assert.deepEqual(grid(context, 65), [2, 1]);
  assert.deepEqual(grid(context, 64 * most + 1), [most, 2]);
});
