import assert from "node:assert/strict";
import { openCpuDevice } from "../kernels/cpu.ts";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { decodeLayer, KEPT, type QuantizedLayer } from "../kernels/binary/ops.ts";
import type { Device, DeviceBuffer } from "../kernels/device.ts";
import { packUpper, unpackUpper } from "../kernels/matrix/ops.ts";
import type { LayerJob, LayerSettings } from "./job.ts";
import { quantizeLayer, searchMasks } from "./layer.ts";
import {
  copyJob,
  energy,
  quantizePlainly,
  randomJob,
  type SettingsChange,
  settingsWith,
} from "./layer_test_support.ts";

interface Quantized {
  readonly layer: QuantizedLayer;
  readonly error: number;
}

async function quantize(job: LayerJob): Promise<Quantized> {
  const device = openCpuDevice();
  try {
    return await quantizeOn(device, job);
  } finally {
    await device.destroy();
  }
}

async function quantizeOn(device: Device, job: LayerJob): Promise<Quantized> {
  const { layer, error } = await quantizeLayer(device, copyJob(job));
  return { layer: layerOf(layer), error };
}

const changes: Readonly<Record<string, SettingsChange>> = {
  "as printed": {},
  "split_on all, f32": { spbo: { split_on: "all" }, pack: { scales: "f32" } },
  "exact, joint": { compensate: { mode: "exact" }, spbo: { solver: "joint" } },
  "columnwise": { compensate: { mode: "columnwise" } },
  "columnwise, joint, resign": { compensate: { mode: "columnwise" }, spbo: { solver: "joint", resign: 1 } },
  "none": { compensate: { mode: "none" } },
  "prune, then binarize": { spbo: { solver: "none", search_target: "scores" } },
  "oneshot, resign": { spbo: { schedule: "oneshot", resign: 2 }, compensate: { mode: "exact" } },
  "no salient, one threshold": { spbo: { salient: false, split_points: 1 }, compensate: { damping: 0.1 } },
  "weighted, doubled": { spbo: { search_target: "weighted", split_search: "doubled" } },
  "unstructured": { "fine-search": { type: "unstructured" } },
  "structured, three thresholds": { "fine-search": { type: "structured" }, spbo: { split_points: 3 } },
  "hessian-squared": { "fine-search": { metric: "hessian-squared" } },
  "wanda, one group": { "fine-search": { metric: "wanda" }, spbo: { group_size: 256, split_points: 0 } },
};

for (const [name, change] of Object.entries(changes)) {
  Deno.test(`quantizeLayer() does what the plain float64 form does: ${name}`, async () => {
    const settings = settingsWith({ ...change, spbo: { group_size: 40, ...change.spbo } });
    const job = randomJob("layer", { rows: 12, cols: 104, settings, keep: 5 });
    const { layer, error } = await quantize(job);
    const plain = quantizePlainly(job);
    // One weight on a decision's edge may fall to the other side in float32 and move later blocks a little.
    let same = 0;
    layer.codes.forEach((code, at) => same += Number(code === plain.codes[at]));
    assert.ok(same >= 0.98 * layer.codes.length, `${same} of ${layer.codes.length} codes`);
    assert.ok(Math.abs(error / plain.error - 1) < 2e-3, `${error}, not ${plain.error}`);
    const first = layer.codes.filter((_, at) => at % 104 < 40);
    assert.deepEqual(first, plain.codes.filter((_, at) => at % 104 < 40), "the first block is the same bit by bit");
  });
}

Deno.test("quantizeLayer() reports the error of what its codes decode to", async () => {
  const job = randomJob("layer", { rows: 9, cols: 72, settings: settingsWith({ spbo: { group_size: 32 } }) });
  const { layer, error } = await quantize(job);
  const h = Float64Array.from(unpackUpper(job.upper, 72)), decoded = decodeLayer(layer);
  const difference = Float64Array.from(job.weight, (x, i) => x - decoded[i]);
  const exact = energy(difference, h, 9, 72) / energy(Float64Array.from(job.weight), h, 9, 72);
  assert.ok(Math.abs(error / exact - 1) < 1e-5, `${error}, not ${exact}`);
  assert.deepEqual(layer.scales, layer.scales.map(Math.f16round), "scales are what float16 stores");
});

Deno.test("quantizeLayer() keeps exactly N of every M inputs, for every solver and compensation", async () => {
  for (const solver of ["alternate", "joint", "none"] as const) {
    for (const mode of ["diagonal", "exact", "columnwise", "none"] as const) {
      const settings = settingsWith({
        spbo: { solver, group_size: 24, iterations: 3, resign: 1 },
        compensate: { mode },
      });
      for (const keep of [1, 6, 8]) {
        const { layer } = await quantize(randomJob("layer", { rows: 5, cols: 40, settings, keep }));
        for (let at = 0; at < layer.codes.length; at += 8) {
          const kept = layer.codes.subarray(at, at + 8).reduce((sum, code) => sum + (code & KEPT), 0);
          assert.equal(kept, keep, `${solver}, ${mode}, at ${at}`);
        }
      }
    }
  }
});

Deno.test("quantizeLayer() keeps everything for type none", async () => {
  const settings = settingsWith({ "fine-search": { type: "none" }, spbo: { group_size: 24 } });
  const { layer } = await quantize(randomJob("layer", { rows: 5, cols: 36, settings, keep: 4 }));
  assert.ok(layer.codes.every((code) => (code & KEPT) !== 0));
  assert.equal(layer.keep, 8);
});

Deno.test("quantizeLayer(): better compensation and solver give smaller errors on correlated inputs", async () => {
  const errorOf = async (mode: LayerSettings["feedback"]["mode"], solver: string) => {
    const settings = settingsWith({ spbo: { group_size: 16, solver, split_on: "all" }, compensate: { mode } });
    return (await quantize(randomJob("layer", { rows: 24, cols: 128, settings }))).error;
  };
  const none = await errorOf("none", "alternate"), diagonal = await errorOf("diagonal", "alternate");
  assert.ok(diagonal < none, `diagonal ${diagonal}, none ${none}`);
  const exact = await errorOf("exact", "alternate"), joint = await errorOf("exact", "joint");
  assert.ok(exact < none && joint < exact, `exact ${exact}, joint ${joint}`);
  assert.ok(await errorOf("none", "none") > none);
});

Deno.test("quantizeLayer() stays finite on degenerate layers", async () => {
  const jobs: LayerJob[] = [];
  for (const solver of ["alternate", "joint", "none"] as const) {
    for (const mode of ["diagonal", "exact", "columnwise"] as const) {
      const settings = settingsWith({ spbo: { solver, group_size: 64, resign: 1 }, compensate: { mode } });
      const job = randomJob("layer", { rows: 4, cols: 72, settings, tokens: 20 });
      jobs.push(job, { ...job, weight: job.weight.map((x, i) => i < 144 ? 0 : x) });
      jobs.push({ ...job, weight: new Float32Array(4 * 72).fill(0.25) }, { ...job, weight: new Float32Array(4 * 72) });
      jobs.push({ ...job, upper: new Float32Array(job.upper.length) }, { ...job, upper: undefined });
      jobs.push(randomJob("one run", { rows: 1, cols: 8, settings }));
    }
  }
  const device = openCpuDevice();
  for (const job of jobs) {
    const { layer, error } = await quantizeOn(device, job);
    assert.ok(layer.scales.every(Number.isFinite) && Number.isFinite(error) && error >= 0, `error ${error}`);
  }
  await device.destroy();
});

Deno.test("quantizeLayer() without a Hessian is the same as with H = 1", async () => {
  const settings = settingsWith({ spbo: { group_size: 32 }, compensate: { mode: "exact", damping: 0 } });
  const job = randomJob("layer", { rows: 6, cols: 48, settings });
  const identity = packUpper(Float32Array.from({ length: 48 * 48 }, (_, i) => i % 49 === 0 ? 1 : 0), 48);
  const [a, b] = [await quantize({ ...job, upper: undefined }), await quantize({ ...job, upper: identity })];
  assert.deepEqual(a.layer, b.layer);
  assert.ok(Math.abs(a.error - b.error) < 1e-6);
});

Deno.test("searchMasks() ranks the original weights, and quantizeLayer() keeps to given ranks", async () => {
  for (const metric of ["hessian", "magnitude", "ria", "si", "random"] as const) {
    const settings = settingsWith({ "fine-search": { metric }, spbo: { group_size: 32 } });
    const job = randomJob("layer", { rows: 6, cols: 56, settings, keep: 3 });
    const device = openCpuDevice();
    const { ranks } = await searchMasks(device, copyJob(job));
    const { layer } = await quantizeOn(device, { ...job, ranks });
    await device.destroy();
    assert.deepEqual(layer.codes.map((code) => code & KEPT), ranks.map((rank) => Number(rank >= 5)), metric);
    if (metric === "hessian") {
      const { layer: updated } = await quantize(job);
      assert.deepEqual(first(layer.codes), first(updated.codes), "the first block has seen no update");
      assert.notDeepEqual(layer.codes, updated.codes);
    }
    if (metric !== "magnitude") continue;
    for (let at = 0; at < 6 * 56; at += 8) {
      const order = [...ranks.subarray(at, at + 8).keys()].sort((a, b) => ranks[at + a] - ranks[at + b]);
      const sizes = order.map((i) => (at + i) % 56 === 2 ? 0 : Math.abs(job.weight[at + i]));
      assert.deepEqual(sizes, sizes.toSorted((a, b) => a - b));
    }
  }
});

Deno.test("quantizeLayer() downloads once and frees every buffer, also after a failure", async () => {
  const settings = settingsWith({
    spbo: { solver: "joint", group_size: 24, resign: 1 },
    "fine-search": { metric: "si" },
  });
  const job = randomJob("layer", { rows: 6, cols: 56, settings });
  const broken = { ...job, upper: job.upper.map((x) => -x) };
  for (const { job: each, fails } of [{ job, fails: false }, { job: broken, fails: true }]) {
    const open = new Set<unknown>();
    let downloads = 0;
    const inner = openCpuDevice();
    const device: Device = new Proxy(inner, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return (...args: readonly unknown[]) => {
          const result: unknown = value.apply(target, args);
          if (key === "alloc" || key === "upload") open.add(result);
          if (key === "release") open.delete(args[0]);
          if (key === "download") {
            downloads++;
            for (const buffer of args[0] as readonly DeviceBuffer[]) open.delete(buffer);
          }
          return result;
        };
      },
    });
    const result = quantizeLayer(device, copyJob(each));
    if (fails) await assert.rejects(result, RangeError);
    else await result;
    assert.equal(downloads, 1);
    assert.equal(open.size, 0);
    await inner.destroy();
  }
});

Deno.test("quantizeLayer() names the layer, the value and the remedy in its errors", async () => {
  const settings = settingsWith({ spbo: { group_size: 32 } });
  const job = randomJob("model.layers.3.mlp.down_proj", { rows: 4, cols: 40, settings });
  const cases: readonly [Partial<LayerJob>, RegExp][] = [
    [
      { upper: job.upper.map((x) => -x) },
      /Hessian of layer "model\.layers\.3\.mlp\.down_proj".*raise stages\.compensate\.damping/,
    ],
    [{ upper: job.upper.map((x, i) => i === 60 ? NaN : x) }, /pivot \d+ of 40/],
    [{ weight: job.weight.slice(1) }, /down_proj" as the weights of 4×40 must be 160: current value is 159/],
    [{ upper: job.upper.slice(1) }, /triangle must be 820: current value is 819/],
    [{ keep: 0 }, /keep must be 1\.\.8: current value is 0/],
    [{ of: 16, keep: 4 }, /its inputs must be a multiple of 16: current value is 40/],
    [
      { settings: settingsWith({ spbo: { group_size: 20 } }) },
      /group_size must be a multiple of 8: current value is 20/,
    ],
  ];
  for (const [change, message] of cases) await assert.rejects(quantize({ ...job, ...change }), message);
});

function first(codes: Uint8Array): Uint8Array {
  return codes.filter((_, at) => at % 56 < 32);
}
