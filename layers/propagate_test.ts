import assert from "node:assert/strict";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { normal } from "../kernels/binary/row_kernels_test_support.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import { deviceTest } from "../kernels/device_test_support.ts";
import { packUpper } from "../kernels/matrix/ops.ts";
import { openDeviceLayers } from "./device_pool.ts";
import type { LayerJob } from "./job.ts";
import { quantizeLayer, searchMasks } from "./layer.ts";
import { copyJob, settingsWith } from "./layer_test_support.ts";
import { openLayer } from "./open.ts";
import { jobMemory, openLayerPool } from "./pool.ts";
import { Scope } from "./scope.ts";
import { shareDevice } from "./shared_device.ts";
import { hessianExponent } from "./units.ts";

interface Inputs {
  readonly job: LayerJob & { readonly upper: Float32Array };
  readonly cross: Float32Array;
  /** H and C in float64. */
  readonly h: Float64Array;
  readonly c: Float64Array;
}

/** A layer whose inputs differ from the original model's; its third input is dead now, and was not. */
function inputsOf(rows: number, cols: number, change = {}): Inputs {
  const next = normal(5), tokens = 3 * cols;
  const h = new Float64Array(cols * cols), c = new Float64Array(cols * cols);
  const x = new Float64Array(cols), xo = new Float64Array(cols);
  for (let t = 0; t < tokens; t++) {
    const shared = next();
    for (let j = 0; j < cols; j++) {
      xo[j] = (next() + shared) * (0.3 + j % 4);
      x[j] = j === 2 ? 0 : 0.9 * xo[j] + 0.2 * next() + 0.1 * shared;
    }
    for (let i = 0; i < cols; i++) {
      for (let j = 0; j < cols; j++) {
        h[i * cols + j] += x[i] * x[j] / tokens;
        c[i * cols + j] += xo[i] * x[j] / tokens;
      }
    }
  }
  const weight = Float32Array.from({ length: rows * cols }, () => next());
  const settings = settingsWith({
    spbo: { group_size: 32, solver: "joint" },
    compensate: { mode: "exact" },
    ...change,
  });
  const upper = packUpper(Float32Array.from(h), cols);
  return {
    job: { name: "layer", rows, cols, weight, upper, keep: 4, of: 8, settings },
    cross: Float32Array.from(c),
    h,
    c,
  };
}

/** W* of the recipe's words, in float64; dead columns are zero. */
function plainTarget(
  { job: { rows, cols, weight, upper }, h, c }: Inputs,
  share: number,
  damping: number,
): Float64Array {
  // The unit decides what a dead input counts as in the mean.
  const unit = 2 ** -hessianExponent(upper, cols), inverse = h.map((x) => x * unit), added = c.map((x) => x * unit);
  let mean = 0;
  for (let j = 0; j < cols; j++) mean += (inverse[j * (cols + 1)] || 1) / cols;
  for (let j = 0; j < cols; j++) {
    const delta = damping * mean + (h[j * (cols + 1)] === 0 ? 1 : 0);
    inverse[j * (cols + 1)] += delta;
    added[j * (cols + 1)] += delta;
  }
  for (let p = 0; p < cols; p++) {
    const pivot = 1 / inverse[p * (cols + 1)];
    inverse[p * (cols + 1)] = 1;
    for (let j = 0; j < cols; j++) inverse[p * cols + j] *= pivot;
    for (let i = 0; i < cols; i++) {
      if (i === p) continue;
      const factor = inverse[i * cols + p];
      inverse[i * cols + p] = 0;
      for (let j = 0; j < cols; j++) inverse[i * cols + j] -= factor * inverse[p * cols + j];
    }
  }
  const times = (a: ArrayLike<number>, b: Float64Array) =>
    Float64Array.from({ length: rows * cols }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < cols; k++) sum += a[at - at % cols + k] * b[k * cols + at % cols];
      return sum;
    });
  const moved = times(times(weight, added), inverse);
  return moved.map((w, at) => h[at % cols * (cols + 1)] === 0 ? 0 : (1 - share) * weight[at] + share * w);
}

const withTarget = ({ job, cross }: Inputs, share: number, damping: number): LayerJob => ({
  ...copyJob(job),
  propagation: { cross: cross.slice(), share, damping },
});

deviceTest(
  "openLayer() makes W* = (1 − p)W + pW(C + δI)(H + δI)⁻¹, with a damping of its own or compensate's",
  async (device) => {
    for (const [rows, cols] of [[5, 72], [3, 300]]) {
      const inputs = inputsOf(rows, cols);
      for (const [share, damping] of [[0.5, 0.01], [1, 0.01], [0.5, 1], [0, 0.01]]) {
        const scope = new Scope(device);
        const { weight, factor } = openLayer(device, scope, withTarget(inputs, share, damping), 32);
        const [found, [status]] = await device.download([weight.buffer, factor?.status.buffer ?? assert.fail()]);
        const wanted = plainTarget(inputs, share, damping);
        const far = found.reduce((most, w, at) => Math.max(most, Math.abs(w - wanted[at])), 0);
        // Measured: 6e-6 at the smaller damping; weights are about 1.
        assert.ok(far < 3e-5, `${rows}×${cols}, p ${share}, δ ${damping}: off by ${far}`);
        assert.equal(status, 0);
        scope.close();
      }
    }
  },
);

Deno.test("quantizeLayer() with the inputs of the original model moves nothing, bit for bit", async () => {
  const device = openCpuDevice(), inputs = inputsOf(4, 64), { cols, upper } = inputs.job;
  const h = Float32Array.from(inputs.h);
  for (let i = 0; i < cols; i++) for (let j = 0; j < i; j++) h[i * cols + j] = h[j * cols + i];
  const plain = await quantizeLayer(device, copyJob(inputs.job));
  const same = await quantizeLayer(device, withTarget({ ...inputs, cross: h }, 1, 0.1));
  assert.deepEqual(same.layer, plain.layer);
  assert.equal(same.error, plain.error);
  assert.equal(upper.length, cols * (cols + 1) / 2);
  await device.destroy();
});

Deno.test("quantizeLayer() towards original outputs does not depend on a layer's scale", async () => {
  const device = openCpuDevice(), inputs = inputsOf(6, 72, { pack: { scales: "f32" } });
  const at = (k: number): LayerJob => ({
    ...inputs.job,
    weight: inputs.job.weight.map((w) => w * 2 ** k),
    upper: inputs.job.upper.map((x) => x * 2 ** (-2 * k)),
    propagation: { cross: inputs.cross.map((x) => x * 2 ** (-2 * k)), share: 0.5, damping: 0.05 },
  });
  const plain = await quantizeLayer(device, at(0));
  for (const k of [-40, -7, 7, 40]) {
    const { layer, error } = await quantizeLayer(device, at(k));
    assert.deepEqual(layerOf(layer).codes, layerOf(plain.layer).codes, `2^${k}`);
    assert.ok(Math.abs(error / plain.error - 1) < 1e-6);
  }
  await device.destroy();
});

Deno.test("a pool and a shared device meet original outputs as a layer alone does, and hand shared moments over safely", async () => {
  const inputs = inputsOf(6, 64), device = openCpuDevice();
  const alone = await quantizeLayer(device, withTarget(inputs, 0.5, 0.02));
  const ranked = await searchMasks(device, withTarget(inputs, 0.5, 0.02));
  await device.destroy();
  const jobs = () => {
    const upper = inputs.job.upper.slice(), cross = inputs.cross.slice();
    return ["q", "k", "v"].map((name): LayerJob => ({
      ...copyJob(inputs.job),
      ...{ name, upper, propagation: { cross, share: 0.5, damping: 0.02 } },
    }));
  };
  const shared = shareDevice(() => Promise.resolve(openCpuDevice()));
  for (const pool of [openLayerPool({ workers: 2 }), openDeviceLayers(shared)]) {
    for (const { layer, error } of await pool.quantize(jobs())) {
      assert.deepEqual(layer, alone.layer);
      assert.equal(error, alone.error);
    }
    for (const { ranks } of await pool.searchMasks(jobs())) assert.deepEqual(ranks, ranked.ranks);
    pool.close();
  }
  shared.close();
  const [job] = jobs();
  assert.ok(jobMemory(job) - jobMemory(inputs.job) >= 4 * 64 * 64);
});

Deno.test("quantizeLayer() refuses cross moments that do not fit, and says which damping to raise", async () => {
  const device = openCpuDevice(), inputs = inputsOf(2, 16), job = withTarget(inputs, 0.5, 0.01);
  await assert.rejects(
    quantizeLayer(device, { ...job, propagation: { cross: new Float32Array(5), share: 1, damping: 0 } }),
    /its cross moments must be 256: current value is 5/,
  );
  const broken = withTarget(inputs, 0.5, 0);
  const upper = packUpper(Float32Array.from({ length: 256 }, (_, i) => i % 17 === 0 ? -1 : 0), 16);
  await assert.rejects(quantizeLayer(device, { ...broken, upper }), /and stages.calibrate.propagation_damping, 0/);
  await device.destroy();
});
