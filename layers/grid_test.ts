/** rtn and gptq on single layers, on each device. */
import assert from "node:assert/strict";
import { grid, type GridLayer, layerOf } from "../checkpoints/packed/grid.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import type { Device } from "../kernels/device.ts";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import { unpackUpper } from "../kernels/matrix/ops.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { roundPlainly } from "./grid_test_support.ts";
import type { LayerJob, LayerSettings } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, energy, randomJob } from "./layer_test_support.ts";

type Mode = LayerSettings["feedback"]["mode"];

function settingsOf(
  method: "rtn" | "gptq",
  params: Readonly<Record<string, unknown>>,
  mode: Mode = "none",
): LayerSettings {
  return {
    ...{ method, params, scales: "f16" },
    search: { metric: "hessian", type: "none", seed: 0 },
    feedback: { mode, damping: 0.01 },
  };
}

interface Rounded {
  readonly layer: GridLayer;
  readonly error: number;
  /** rows × cols, as the packed layer decodes. */
  readonly weights: Float32Array;
}

async function roundOn(device: Device, job: LayerJob): Promise<Rounded> {
  const { layer: content, error } = await quantizeLayer(device, copyJob(job));
  const layer = layerOf(content),
    weights = await grid.decode(await grid.pack(content, { scales: job.settings.scales }));
  return { layer, error, weights };
}

async function round(job: LayerJob): Promise<Rounded> {
  const device = openCpuDevice();
  try {
    return await roundOn(device, job);
  } finally {
    await device.destroy();
  }
}

const jobOf = (
  settings: LayerSettings,
  shape: { readonly rows: number; readonly cols: number } = { rows: 12, cols: 296 },
) => randomJob("layer", { ...shape, settings });

const cases = {
  "gptq, 3 bits, groups of 40": { bits: 3, group_size: 40 },
  "gptq, 2 bits, groups of 128": { bits: 2 },
  "gptq, 1 bit, groups wider than a block": { bits: 1, group_size: 200 },
  "gptq, 3 bits, one grid for a row": { bits: 3, group_size: "row" },
  "gptq, 4 bits, groups wider than the layer": { group_size: 512 },
  "gptq, 3 bits, act_order": { bits: 3, group_size: 64, act_order: true },
  "gptq, 2 bits, act_order, one grid for a row": { bits: 2, group_size: "row", act_order: true },
  "gptq, 8 bits": { bits: 8, group_size: 64 },
} as const;

for (const [name, params] of Object.entries(cases)) {
  Deno.test(`quantizeLayer() does what GPTQ's plain float64 form does: ${name}`, async () => {
    const { bits = 4, group_size: size = 128, act_order: ordered = false } = params as Partial<
      Record<"bits", number> & Record<"group_size", number | "row"> & Record<"act_order", boolean>
    >;
    const job = jobOf(settingsOf("gptq", params, "columnwise"));
    const groupSize = size === "row" ? job.cols : Math.min(size, job.cols);
    const { layer, error } = await round(job), plain = roundPlainly(job, { bits, groupSize, ordered, feeds: true });
    assert.deepEqual([layer.bits, layer.groupSize, layer.order], [bits, groupSize, ordered ? plain.order : undefined]);
    let same = 0;
    layer.codes.forEach((code, at) => same += Number(code === plain.codes[at]));
    // One weight on a decision's edge may fall to the other side in float32, and all behind it in its row with it.
    assert.ok(same >= 0.97 * layer.codes.length, `${same} of ${layer.codes.length} codes`);
    assert.ok(Math.abs(error / plain.error - 1) < 1e-2, `${error}, not ${plain.error}`);
    const first = (codes: Uint8Array) => codes.filter((_, at) => at % job.cols < Math.min(groupSize, 128));
    assert.deepEqual(first(layer.codes), first(plain.codes), "the first block is the same bit by bit");
  });
}

Deno.test("rtn takes the nearest level of each group's grid, whatever the inputs are", async () => {
  for (const params of [{ bits: 2 }, { bits: 3, group_size: 40 }, { group_size: "row" }, { bits: 1 }] as const) {
    const job = jobOf(settingsOf("rtn", params)), { layer } = await round(job);
    const plain = roundPlainly(job, { bits: layer.bits, groupSize: layer.groupSize, ordered: false, feeds: false });
    assert.deepEqual([layer.codes, layer.scales, layer.zeros], [plain.codes, plain.scales, plain.zeros]);
  }
});

Deno.test("rtn with grid sign is the mean of |w| with each weight's sign", async () => {
  const job = jobOf(settingsOf("rtn", { bits: 1, grid: "sign", group_size: 64 })), { weights } = await round(job);
  const dead = (at: number) => at % job.cols === 2;
  for (let start = 0; start < weights.length; start += job.cols) {
    for (let col = 0; col < job.cols; col += 64) {
      const width = Math.min(64, job.cols - col), group = Array.from({ length: width }, (_, j) => start + col + j);
      const mean = group.reduce((sum, at) => sum + (dead(at) ? 0 : Math.abs(job.weight[at])), 0) / width;
      for (const at of group) {
        const scale = Math.f16round(mean);
        assert.equal(weights[at], dead(at) || job.weight[at] >= 0 ? scale : -scale);
      }
    }
  }
});

Deno.test("quantizeLayer() reports the error of the weights that its grids decode to, in the layer's order of columns", async () => {
  for (const mode of ["none", "diagonal", "exact", "columnwise"] as const) {
    for (const act_order of [false, true]) {
      const job = jobOf(settingsOf("gptq", { bits: 3, group_size: 32, act_order }, mode), { rows: 9, cols: 72 });
      const { weights, error } = await round(job), h = Float64Array.from(unpackUpper(job.upper, 72));
      const left = Float64Array.from(job.weight, (x, i) => x - weights[i]);
      const exact = energy(left, h, 9, 72) / energy(Float64Array.from(job.weight), h, 9, 72);
      assert.ok(Math.abs(error / exact - 1) < 1e-4, `${mode}: ${error}, not ${exact}`);
    }
  }
});

Deno.test("feeding errors on, column by column best, and starting with strong inputs give smaller errors than rounding alone", async () => {
  const errorOf = async (settings: LayerSettings) => (await round(jobOf(settings, { rows: 24, cols: 256 }))).error;
  const params = { bits: 2, group_size: 64 };
  const rtn = await errorOf(settingsOf("rtn", params)),
    diagonal = await errorOf(settingsOf("gptq", params, "diagonal"));
  const exact = await errorOf(settingsOf("gptq", params, "exact"));
  const columnwise = await errorOf(settingsOf("gptq", params, "columnwise"));
  assert.ok(
    diagonal < rtn && exact < rtn && columnwise < Math.min(diagonal, exact),
    `${[rtn, diagonal, exact, columnwise]}`,
  );
  assert.equal(await errorOf(settingsOf("gptq", params)), rtn, "without feedback it is rtn");
  assert.ok(await errorOf(settingsOf("gptq", { ...params, act_order: true }, "columnwise")) < columnwise);
});

Deno.test("grids stay finite on degenerate layers, and rows of zeros are zeros", async () => {
  const device = openCpuDevice();
  for (const [method, mode] of [["rtn", "none"], ["gptq", "exact"], ["gptq", "columnwise"]] as const) {
    for (const params of [{ bits: 1, group_size: 32 }, { bits: 3, group_size: "row" }]) {
      const settings = settingsOf(method, params, mode),
        job = randomJob("layer", { rows: 4, cols: 72, settings, tokens: 20 });
      const jobs: readonly LayerJob[] = [
        { ...job, weight: job.weight.map((x, i) => i < 144 ? 0 : x) },
        { ...job, weight: new Float32Array(4 * 72).fill(0.25) },
        { ...job, weight: new Float32Array(4 * 72) },
        { ...job, weight: job.weight.map((x) => x * 2 ** -60) },
        { ...job, upper: new Float32Array(job.upper.length) },
        { ...job, upper: undefined },
        randomJob("one run", { rows: 1, cols: 8, settings }),
      ];
      for (const each of jobs) {
        const { weights, error } = await roundOn(device, each);
        assert.ok(weights.every(Number.isFinite) && Number.isFinite(error) && error >= 0, `error ${error}`);
        for (let start = 0; start < weights.length; start += each.cols) {
          const row = [start, start + each.cols] as const;
          if (each.weight.subarray(...row).every((x) => x === 0)) {
            assert.ok(weights.subarray(...row).every((x) => x === 0));
          }
        }
      }
    }
  }
  await device.destroy();
});

Deno.test("a layer's unit changes no code: scales are stored in it", async () => {
  const job = jobOf(settingsOf("gptq", { bits: 3, group_size: 64 }, "columnwise")), unit = 2 ** -40;
  const small = { ...job, weight: job.weight.map((x) => x * unit) };
  const [a, b] = [await round(job), await round(small)];
  assert.deepEqual(b.layer.codes, a.layer.codes);
  assert.deepEqual(b.weights, a.weights.map((x) => x * unit));
});

Deno.test("rtn and gptq refuse to prune, by the layer's name", async () => {
  const pruning = { search: { metric: "hessian", type: "semi-structured", seed: 0 } } as const;
  const job = jobOf({ ...settingsOf("gptq", { act_order: true }, "columnwise"), ...pruning });
  await assert.rejects(round(job), /Cannot compress layer "layer" as gptq prunes nothing/);
  const ranks = new Uint8Array(job.weight.length);
  await assert.rejects(round({ ...job, ranks }), /"layer" as masks go with the layer's own order of columns/);
});

Deno.test({
  name: "quantizeLayer() gives the CPU's codes on grids [webgpu]",
  ignore: !hasAdapter && !Deno.env.get("CI"),
  fn: async () => {
    const cpu = openCpuDevice(), gpu = await openWebGpuDevice();
    const all = [
      settingsOf("rtn", { bits: 2, group_size: 64 }),
      settingsOf("rtn", { bits: 1, grid: "sign" }),
      settingsOf("gptq", { bits: 3, group_size: 64 }, "columnwise"),
      settingsOf("gptq", { bits: 2, group_size: "row", act_order: true }, "columnwise"),
      settingsOf("gptq", { bits: 4 }, "exact"),
    ];
    for (const settings of all) {
      const job = jobOf(settings, { rows: 70, cols: 296 });
      const wanted = await roundOn(cpu, job), found = await roundOn(gpu, job);
      const differing = wanted.layer.codes.filter((code, i) => code !== found.layer.codes[i]).length;
      // A code on a decision's edge takes those behind it with it.
      assert.ok(differing <= 0.02 * job.weight.length, `${differing} of ${job.weight.length} codes differ`);
      assert.ok(Math.abs(found.error / wanted.error - 1) < 5e-3, `${found.error}, not ${wanted.error}`);
    }
    await cpu.destroy();
    await gpu.destroy();
  },
});
