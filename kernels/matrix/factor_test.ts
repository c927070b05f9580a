import assert from "node:assert/strict";
import { correlated } from "../conformance_test_support.ts";
import { deviceCases } from "../device_test_support.ts";
import { factorHessian, releaseFactor } from "./factor.ts";
import { packUpper } from "./triangle.ts";

const SIZES = {
  "576 in groups of 128": { size: 576, group: 128, slow: true },
  "1024 in groups of 64": { size: 1024, group: 64, slow: true },
};

deviceCases(
  "factorHessian() spends at most half of Cholesky, inverse, Cholesky: 2/3·n³",
  SIZES,
  async (device, { size, group }) => {
    const packed = device.upload("f32", packUpper(correlated(size), size));
    device.counters();
    const factor = factorHessian(device, packed, { size, group, damping: 0.5 });
    const counters = device.counters(), flops = Object.values(counters).reduce((sum, { flops }) => sum + flops, 0);
    await device.download([factor.status.buffer]);
    releaseFactor(device, factor);
    // Less than Cholesky alone would mean that something is not counted.
    assert.ok(flops >= size ** 3 / 3 && flops <= 2 * size ** 3 / 3, `${flops / size ** 3}·n³`);
    for (const op of ["gemm", "syrk", "cholesky"]) assert.ok(counters[op].calls > 0, op);
    const dispatches = Object.values(counters).reduce((sum, { dispatches }) => sum + dispatches, 0);
    assert.equal(dispatches > 0, device.kind === "webgpu");
    assert.deepEqual(device.counters(), {}, "counts start again");
  },
);
