import assert from "node:assert/strict";
import { layerOf, planes } from "../checkpoints/packed/planes.ts";
import { decodeLayer } from "../kernels/binary/ops.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import type { Device } from "../kernels/device.ts";
import { deviceTest } from "../kernels/device_test_support.ts";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import { packUpper } from "../kernels/matrix/ops.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import type { LayerJob } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, randomJob, type SettingsChange, settingsWith } from "./layer_test_support.ts";

type Job = LayerJob & { readonly upper: Float32Array };

/** The layer with its weights times 2^k and its inputs times 2^−k. */
function scaled(job: Job, k: number): Job {
  const { weight, upper } = copyJob(job);
  return { ...job, weight: weight.map((w) => w * 2 ** k), upper: upper.map((s) => s * 2 ** (-2 * k)) };
}

async function quantize(device: Device, job: LayerJob) {
  const { layer, error } = await quantizeLayer(device, copyJob(job));
  return { layer: layerOf(layer), content: layer, error };
}

const METRICS = ["hessian", "hessian-squared", "magnitude", "wanda", "ria", "si", "random"] as const;

const SETTINGS: Readonly<Record<string, SettingsChange>> = {
  "as printed": {},
  "joint, exact": { spbo: { solver: "joint" }, compensate: { mode: "exact" } },
  "joint, exact, resign": { spbo: { solver: "joint", resign: 2 }, compensate: { mode: "exact" } },
  "alternate, resign, weighted": { spbo: { resign: 1, search_target: "weighted" }, compensate: { mode: "columnwise" } },
  "no solver, scores": { spbo: { solver: "none", search_target: "scores" }, compensate: { mode: "none" } },
  "coarse, doubled": { spbo: { search_grid: "coarse", split_search: "doubled", schedule: "oneshot" } },
  ...Object.fromEntries(METRICS.map((metric) => [metric, { "fine-search": { metric } }])),
};

const POWERS = [-40, -20, -7, 7, 20, 40];

for (const scales of ["f32", "f16"] as const) {
  Deno.test(`quantizeLayer() does not depend on a layer's scale, scales in ${scales}`, async (test) => {
    const device = openCpuDevice();
    for (const [name, change] of Object.entries(SETTINGS)) {
      await test.step(name, () => assertSameAtAllScales(device, scales, change, POWERS));
    }
    await device.destroy();
  });
}

async function assertSameAtAllScales(
  device: Device,
  scales: "f16" | "f32",
  change: SettingsChange,
  powers: readonly number[],
): Promise<void> {
  const settings = settingsWith({ ...change, pack: { scales }, spbo: { group_size: 32, ...change.spbo } });
  const job = randomJob("layer", { rows: 6, cols: 72, settings });
  const plain = await quantize(device, job);
  const largest = plain.layer.scales.reduce((most, s) => Math.max(most, Math.abs(s)), 0);
  for (const k of powers) {
    const { layer, error } = await quantize(device, scaled(job, k));
    // Where float16 makes two levels one, either sign may stand for it.
    const decoded = decodeLayer(layer), wanted = decodeLayer(plain.layer);
    const other = layer.codes.findIndex((code, i) =>
      code !== plain.layer.codes[i] &&
      !(scales === "f16" && Math.abs(decoded[i] * 2 ** -k - wanted[i]) < 2 ** -20 * largest)
    );
    assert.equal(other, -1, `2^${k}: code ${other}`);
    const close = scales === "f16" ? 2 ** -10 : 1e-6;
    const far = layer.scales.findIndex((scale, i) => {
      const wanted = plain.layer.scales[i];
      return !(Math.abs(scale * 2 ** -k - wanted) <= close * Math.max(Math.abs(wanted), 2 ** -10 * largest));
    });
    assert.equal(far, -1, `2^${k}: scale ${far} is ${layer.scales[far] * 2 ** -k}, not ${plain.layer.scales[far]}`);
    assert.ok(Math.abs(error / plain.error - 1) < (scales === "f16" ? 1e-4 : 1e-6), `2^${k}: ${error / plain.error}`);
  }
}

Deno.test("quantizeLayer() does not depend on a layer's scale on WebGPU", { ignore: !hasAdapter }, async (test) => {
  const device = await openWebGpuDevice();
  for (const [name, change] of Object.entries(SETTINGS).slice(0, 3)) {
    await test.step(name, () => assertSameAtAllScales(device, "f16", change, [-40, 7, 40]));
  }
  await device.destroy();
});

Deno.test("quantizeLayer() and planes keep rows and blocks of very different magnitude, and rows of zeros", async () => {
  const device = openCpuDevice();
  for (const solver of ["alternate", "joint", "none"]) {
    const settings = settingsWith({ spbo: { group_size: 16, solver }, compensate: { mode: "exact" } });
    const plain = randomJob("layer", { rows: 20, cols: 32, settings });
    const upper = packUpper(Float32Array.from({ length: 32 * 32 }, (_, i) => Number(i % 33 === 0)), 32);
    const weight = plain.weight.map((w, i) => {
      const row = Math.floor(i / 32);
      return row === 3 ? 0 : w * 2 ** (4 * (10 - row) - (i % 32 < 16 ? 0 : 30));
    });
    const job = { ...plain, weight, upper };
    const { content, error } = await quantize(device, job);
    const exact = await quantize(device, { ...job, settings: { ...settings, scales: "f32" } });
    const wanted = decodeLayer(exact.layer);
    const encoded = await planes.pack(content, { mask: "enumerative", scales: "f16" });
    assert.deepEqual(planes.header.parse(encoded.header).exponent, layerOf(content).exponent);
    const stored = await planes.decode(encoded);
    assert.deepEqual(stored, decodeLayer(layerOf(content)), "what was measured is what is stored");
    for (let row = 0; row < 20; row++) {
      for (const first of [0, 16]) {
        let largest = 0, away = 0;
        for (let at = row * 32 + first; at < row * 32 + first + 16; at++) {
          largest = Math.max(largest, Math.abs(wanted[at]));
          away = Math.max(away, Math.abs(stored[at] - wanted[at]));
        }
        assert.equal(largest > 0, row !== 3);
        assert.ok(away <= 2 ** -9 * largest, `${solver}: row ${row}, columns from ${first}: ${away / largest}`);
      }
    }
    assert.ok(error < 0.5);
  }
  await device.destroy();
});

Deno.test("quantizeLayer() is finite on the inputs of a few tokens, on one repeated token, and on none", async () => {
  const device = openCpuDevice();
  for (const [name, change] of Object.entries(SETTINGS)) {
    for (const tokens of [0, 1, 2, 3, 8]) {
      for (const k of [-40, 0, 40]) {
        const settings = settingsWith({ ...change, spbo: { group_size: 32, ...change.spbo } });
        const job = randomJob("layer", { rows: 6, cols: 72, settings, tokens: Math.max(tokens, 1) });
        const upper = tokens === 0 ? job.upper.fill(0) : job.upper;
        const { layer, error } = await quantize(device, scaled({ ...job, upper }, k));
        assert.ok(
          error >= 0 && error <= 1 && layer.scales.every(Number.isFinite),
          `${name}, ${tokens} tokens: ${error}`,
        );
        if (tokens === 0) assert.equal(error, 0);
      }
    }
  }
  await device.destroy();
});

/** Second moments of one repeated token with an outlying channel, as float32 sums of many round them. */
function roundedRankOne(cols: number): Float32Array {
  const x = Float64Array.from(
    { length: cols },
    (_, j) => j === 5 ? 100 : Math.sin(j * j + 1) * Math.exp(Math.cos(7 * j)),
  );
  const full = Float32Array.from({ length: cols * cols }, (_, i) => {
    const row = Math.floor(i / cols),
      col = i % cols,
      noise = Math.sin(1e3 * Math.min(row, col) + 7e4 * Math.max(row, col));
    return x[row] * x[col] * (1 + 5e-6 * noise);
  });
  return packUpper(full, cols);
}

deviceTest("quantizeLayer() is finite where rounding left S without a positive form", async (device) => {
  for (const solver of ["alternate", "joint"]) {
    for (const mode of ["exact", "diagonal", "none"] as const) {
      const settings = settingsWith({ spbo: { group_size: 64, solver, resign: 1 }, compensate: { mode } });
      const job = { ...randomJob("layer", { rows: 8, cols: 192, settings }), upper: roundedRankOne(192) };
      const { layer, error } = await quantize(device, job);
      const largest = layer.scales.reduce((most, scale) => Math.max(most, Math.abs(scale)), 0);
      assert.ok(
        error >= 0 && error < 0.2 && largest < 1000,
        `${solver}, ${mode}: error ${error}, scales to ${largest}`,
      );
    }
  }
});

Deno.test("quantizeLayer() names the layer, and where the fault is, when its input is not finite", async () => {
  const device = openCpuDevice(), settings = settingsWith({ spbo: { group_size: 32 } });
  const job = () => randomJob("model.q_proj", { rows: 2, cols: 32, settings });
  const broken = job(), overflown = job();
  broken.weight[37] = NaN;
  overflown.upper[0] = Infinity;
  await assert.rejects(
    quantizeLayer(device, broken),
    /^RangeError: Cannot compress layer "model.q_proj" as its weights must be finite: weight 5 of row 1 is NaN; /,
  );
  await assert.rejects(
    quantizeLayer(device, overflown),
    /Cannot compress layer "model.q_proj" as the second moments of its inputs, from stages.calibrate, must be finite/,
  );
  const huge = job();
  const { layer, error } = await quantize(device, { ...huge, weight: huge.weight.map((w) => w * 1e19) });
  assert.ok(error < 1 && layer.scales.every(Number.isFinite), "weights of 1e19 are no fault");
  await device.destroy();
});
