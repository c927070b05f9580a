import assert from "node:assert/strict";
import { layerOf, refined } from "../../checkpoints/packed/refined.ts";
import { decodeRefinedLayer } from "../../checkpoints/packed/refined_layer.ts";
import { openCpuDevice } from "../../kernels/cpu.ts";
import type { Device } from "../../kernels/device.ts";
import { deviceTest } from "../../kernels/device_test_support.ts";
import { unpackUpper } from "../../kernels/matrix/ops.ts";
import type { LayerJob } from "../job.ts";
import { quantizeLayer } from "../layer.ts";
import { copyJob, energy, randomJob } from "../layer_test_support.ts";
import { arbLlm } from "./arb_llm.ts";

type Job = LayerJob & { readonly upper: Float32Array };

const VARIANTS = ["arb", "arb-x", "arb-rc"].flatMap((variant) =>
  [false, true].map((column_groups) => ({ variant, column_groups }))
);

/** Two blocks of 32 columns and one of 8. */
function jobWith(params: Readonly<Record<string, unknown>>, scales: "f16" | "f32" = "f16", seed = 1): Job {
  return randomJob("layer", {
    ...{ rows: 12, cols: 72, keep: 8, seed },
    settings: {
      method: arbLlm.name,
      // Candidates so few that their histograms fit the bindings of every tested device.
      params: arbLlm.params.parse({ group_size: 32, candidates: 60, ...params }),
      search: { metric: "hessian", type: "none", seed: 0 },
      feedback: { mode: "diagonal", damping: 0.01 },
      scales,
    },
  });
}

async function quantize(device: Device, job: LayerJob) {
  const { layer: content, error } = await quantizeLayer(device, copyJob(job));
  return { content, layer: layerOf(content), error };
}

/** What is left of a layer's output, of its own weights without dead inputs. */
function errorOf({ weight, upper, rows, cols }: Job, decoded: Float32Array): number {
  const h = Float64Array.from(unpackUpper(upper, cols));
  const w = Float64Array.from(weight, (x, at) => h[at % cols * (cols + 1)] === 0 ? 0 : x);
  return energy(w.map((x, at) => x - decoded[at]), h, rows, cols) / energy(w, h, rows, cols);
}

deviceTest("arb-llm: what is measured is what is packed, last blocks of few columns included", async (device, test) => {
  for (const params of VARIANTS) {
    await test.step(`${params.variant}, column groups ${params.column_groups}`, async () => {
      for (const scales of ["f16", "f32"] as const) {
        const job = jobWith(params, scales), { content, layer, error } = await quantize(device, job);
        const encoded = await refined.pack(content, { scales });
        assert.deepEqual(layerOf(refined.unpack(encoded)), layer);
        const measured = errorOf(job, decodeRefinedLayer(layer));
        assert.ok(Math.abs(measured / error - 1) < 1e-4, `${scales}: ${error}, not ${measured}`);
        assert.ok(error > 0 && error < 0.25, `${scales}: ${error}`);
      }
    });
  }
});

Deno.test("arb-llm: more groups, weighted scales and searches on weights leave less", async () => {
  const device = openCpuDevice();
  const mean = async (params: Readonly<Record<string, unknown>>) => {
    let sum = 0;
    for (const seed of [1, 2, 3, 4]) sum += (await quantize(device, jobWith(params, "f32", seed))).error / 4;
    return sum;
  };
  const plain = await mean({ variant: "arb", column_groups: false });
  assert.ok(await mean({ variant: "arb", column_groups: true }) < plain);
  assert.ok(await mean({ variant: "arb-x", column_groups: false }) < plain);
  assert.ok(await mean({ variant: "arb", column_groups: false, iterations: 0 }) > plain);
  assert.ok(await mean({ variant: "arb", column_groups: false, search_target: "weights" }) < plain);
  await device.destroy();
});

for (const scales of ["f32", "f16"] as const) {
  Deno.test(`arb-llm does not depend on a layer's scale, scales in ${scales}`, async () => {
    const device = openCpuDevice();
    for (const params of VARIANTS) {
      const job = jobWith(params, scales),
        plain = await quantize(device, job),
        wanted = decodeRefinedLayer(plain.layer);
      for (const k of [-40, -7, 20, 40]) {
        const weight = job.weight.map((x) => x * 2 ** k), upper = job.upper.map((x) => x * 2 ** (-2 * k));
        const { content, error } = await quantize(device, { ...job, weight, upper });
        const decoded = await refined.decode(await refined.pack(content, { scales }));
        const far = decoded.findIndex((x, at) => !(Math.abs(x * 2 ** -k - wanted[at]) < 1e-3));
        assert.equal(far, -1, `${params.variant}, 2^${k}: weight ${far}`);
        assert.ok(Math.abs(error / plain.error - 1) < 1e-3, `${params.variant}, 2^${k}: ${error}, not ${plain.error}`);
      }
    }
    await device.destroy();
  });
}

deviceTest("arb-llm is finite on zeros, on one repeated token and on layers of one column", async (device) => {
  for (const params of VARIANTS) {
    const job = jobWith(params), zeros = { ...job, weight: new Float32Array(job.weight.length) };
    assert.equal((await quantize(device, zeros)).error, 0);
    const { error } = await quantize(device, randomJob("layer", { ...job, keep: 8, tokens: 1 }));
    assert.ok(error >= 0 && error < 1, `${params.variant}: ${error}`);
    const one = await quantize(device, randomJob("layer", { ...job, cols: 1, keep: 8 }));
    assert.ok(one.error >= 0 && one.error < 1, `${params.variant}: ${one.error}`);
  }
});

Deno.test("arb-llm: every setting matters to the others", () => {
  const params = arbLlm.params.parse({});
  assert.deepEqual([...arbLlm.reads(params)].sort(), Object.keys(params).sort());
});

deviceTest("arb-llm is the CPU's on every device", async (device) => {
  const cpu = openCpuDevice();
  for (const params of VARIANTS) {
    const job = jobWith(params), [found, wanted] = [await quantize(device, job), await quantize(cpu, job)];
    const [a, b] = [decodeRefinedLayer(found.layer), decodeRefinedLayer(wanted.layer)];
    const away = a.reduce((count, x, at) => count + Number(Math.abs(x - b[at]) > 1e-3), 0);
    assert.ok(away <= 0.02 * a.length, `${params.variant}: ${away} of ${a.length} weights`);
    assert.ok(
      Math.abs(found.error / wanted.error - 1) < 0.02,
      `${params.variant}: ${found.error}, not ${wanted.error}`,
    );
  }
  await cpu.destroy();
});

Deno.test("arb-llm refuses to prune", async () => {
  const device = openCpuDevice(), job = jobWith({});
  const search = { ...job.settings.search, type: "semi-structured" } as const;
  await assert.rejects(quantize(device, { ...job, keep: 4, settings: { ...job.settings, search } }), {
    name: "RangeError",
    message: 'Cannot compress layer "layer" as arb-llm prunes nothing: N must be M',
  });
  await device.destroy();
});
