/** trellis on single layers, on each device. */
import assert from "node:assert/strict";
import { coded } from "../../checkpoints/packed/coded.ts";
import { openCpuDevice } from "../../kernels/cpu.ts";
import type { Device } from "../../kernels/device.ts";
import { deviceTest } from "../../kernels/device_test_support.ts";
import { unpackUpper } from "../../kernels/matrix/ops.ts";
import type { LayerJob, LayerSettings } from "../job.ts";
import { quantizeLayer } from "../layer.ts";
import { copyJob, energy, randomJob } from "../layer_test_support.ts";
import type { TrellisParams } from "./trellis.ts";

const SHAPE = { rows: 200, cols: 168 };

function settingsOf(
  params: Partial<TrellisParams>,
  mode: "columnwise" | "none" | "exact" = "columnwise",
): LayerSettings {
  return {
    ...{ method: "trellis", params, scales: "f16" },
    search: { metric: "hessian", type: "none", seed: 0 },
    feedback: { mode, damping: 0.01 },
  };
}

const jobOf = (settings: LayerSettings, shape = SHAPE) => randomJob("layer", { ...shape, settings });

async function on(device: Device, job: LayerJob) {
  const { layer, error } = await quantizeLayer(device, copyJob(job));
  const encoded = await coded.pack(layer, {}), weights = await coded.decode(encoded);
  const bytes = Object.values(encoded.tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
  return { layer, error, weights, bits: 8 * bytes / (job.rows * job.cols) };
}

async function compress(job: LayerJob) {
  const device = openCpuDevice();
  try {
    return await on(device, job);
  } finally {
    await device.destroy();
  }
}

for (const states of [1, 4, 8] as const) {
  for (const bits of [1.2, 2.1, 4]) {
    Deno.test(`trellis takes all the bits that it may have and none more [${states} states, ${bits} bits]`, async () => {
      const job = jobOf(settingsOf({ states, bits, lambda: states === 1 ? 0 : 0.45 }));
      const { error, weights, bits: taken } = await compress(job);
      assert.ok(taken <= bits && taken > 0.98 * bits, `${taken} bits`);
      // What is said of the layer is what its packed weights have.
      const { rows, cols } = job,
        h = Float64Array.from(unpackUpper(job.upper, cols)),
        energyOf = (of: Float32Array) => energy(Float64Array.from(of), h, rows, cols);
      const found = energyOf(weights.map((weight, at) => job.weight[at] - weight)) / energyOf(job.weight);
      assert.ok(Math.abs(found / error - 1) < 1e-3, `${found}, not ${error}`);
    });
  }
}

Deno.test("more states leave less, and so does the feedback of errors", async () => {
  const errorOf = async (params: Partial<TrellisParams>, mode: "columnwise" | "none" = "columnwise") =>
    (await compress(jobOf(settingsOf({ bits: 2.1, ...params }, mode)))).error;
  const [one, four, eight] = [await errorOf({ states: 1, lambda: 0 }), await errorOf({ states: 4 }), await errorOf({})];
  assert.ok(eight < four && four < one, `${one}, ${four}, ${eight}`);
  assert.ok(eight < 0.9 * await errorOf({}, "none"));
});

Deno.test("the columns of a block are next to nothing to the result", async () => {
  const errors: number[] = [];
  for (const group_size of [16, 64, 168]) errors.push((await compress(jobOf(settingsOf({ group_size })))).error);
  for (const error of errors) assert.ok(Math.abs(error / errors[0] - 1) < 0.02, `${errors}`);
});

deviceTest("trellis gives the CPU's codes but for ties", async (device) => {
  const job = jobOf(settingsOf({ bits: 2.1 })),
    expected = await compress(job),
    { layer, error } = await on(device, job);
  const theirs = expected.layer.arrays.codes.data;
  let same = 0;
  layer.arrays.codes.data.forEach((code, at) => same += Number(code === theirs[at]));
  // A weight on an edge in float32 moves those behind it in its row.
  assert.ok(same >= 0.9 * theirs.length, `${same} of ${theirs.length} codes`);
  assert.ok(Math.abs(error / expected.error - 1) < 0.01, `${error}, not ${expected.error}`);
});

Deno.test("trellis takes layers of zeros, of few rows and of one column, and inputs that are dead", async () => {
  for (const [rows, cols, most] of [[8, 168, 5], [300, 8, 5], [300, 1, 10]]) {
    const job = jobOf(settingsOf({ bits: most }), { rows, cols }), { error, bits } = await compress(job);
    assert.ok(bits <= most && error < 0.2, `${rows}×${cols}: ${bits} bits, ${error}`);
  }
  const zeros = { ...jobOf(settingsOf({})), weight: new Float32Array(SHAPE.rows * SHAPE.cols) };
  const { weights, error } = await compress(zeros);
  assert.ok(weights.every((weight) => weight === 0) && error === 0);
});

Deno.test("trellis refuses what it cannot do, and says what to change", async () => {
  await assert.rejects(
    compress(jobOf(settingsOf({}, "exact"))),
    /layer "layer".*mode must be columnwise or none: current value is exact/,
  );
  await assert.rejects(
    compress(jobOf(settingsOf({ bits: 0.1 }), { rows: 2, cols: 64 })),
    /"layer" into 0.1 bits.*raise stages.trellis.bits, or stages.coarse-search.bits/,
  );
});
