import assert from "node:assert/strict";
import { normal } from "../kernels/binary/row_kernels_test_support.ts";
import { deviceTest } from "../kernels/device_test_support.ts";
import { packUpper } from "../kernels/matrix/ops.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import type { LayerJob } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, settingsWith } from "./layer_test_support.ts";

const ROWS = 6, COLS = 48;

/** XᵀX of random tokens, in float64. */
function momentsOf(next: () => number, tokens: number): Float64Array {
  const h = new Float64Array(COLS * COLS);
  for (let t = 0; t < tokens; t++) {
    const shared = next(), x = Float64Array.from({ length: COLS }, (_, j) => (next() + shared) * (0.3 + j % 4));
    for (let i = 0; i < COLS; i++) for (let j = 0; j < COLS; j++) h[i * COLS + j] += x[i] * x[j] / tokens;
  }
  return h;
}

function jobOf(method: "gptq" | "trellis"): { readonly job: LayerJob; readonly other: Float64Array } {
  const next = normal(21), h = momentsOf(next, 40), other = momentsOf(next, 200);
  const settings = {
    ...settingsWith({ spbo: {}, compensate: { mode: "columnwise" } }),
    ...{ method, params: method === "gptq" ? { bits: 2, act_order: true } : { bits: 3 } },
    search: { metric: "hessian", type: "none", seed: 0 } as const,
  };
  const weight = Float32Array.from({ length: ROWS * COLS }, next), upper = packUpper(Float32Array.from(h), COLS);
  return { job: { name: "layer", rows: ROWS, cols: COLS, weight, upper, keep: 1, of: 1, settings }, other };
}

for (const method of ["gptq", "trellis"] as const) {
  deviceTest(`quantizeLayer() measures the same weights on a Hessian that is held out: ${method}`, async (device) => {
    const { job, other } = jobOf(method);
    const plain = await quantizeLayer(device, copyJob(job));
    const heldOut = packUpper(Float32Array.from(other, (x) => 2 ** 40 * x), COLS);
    const found = await quantizeLayer(device, { ...copyJob(job), heldOut });
    // Nothing but this number comes of it.
    assert.deepEqual([found.layer, found.error, plain.heldOutError], [plain.layer, plain.error, undefined]);
    assert.ok(found.heldOutError !== undefined && found.heldOutError > 1.02 * found.error, `${found.heldOutError}`);
    const same = await quantizeLayer(device, { ...copyJob(job), heldOut: job.upper?.map((x) => x / 64) });
    assert.ok(Math.abs((same.heldOutError ?? NaN) / same.error - 1) < 1e-5);
  });
}

Deno.test("quantizeLayer() refuses a held-out Hessian of another size", async () => {
  const device = openCpuDevice(), { job } = jobOf("gptq");
  await assert.rejects(
    quantizeLayer(device, { ...copyJob(job), heldOut: new Float32Array(4) }),
    /the triangle of its Hessian on windows held out must be 1176: current value is 4/,
  );
  await device.destroy();
});
