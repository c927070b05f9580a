/** Pruning against plain float64: magnitude, Wanda and SparseGPT as their papers have them, on layers of tiny-llama and random ones. */
import assert from "node:assert/strict";
import { sparse } from "../../checkpoints/packed/sparse.ts";
import { openCpuDevice } from "../../kernels/cpu.ts";
import type { Device } from "../../kernels/device.ts";
import { hasAdapter } from "../../kernels/gpu/webgpu_test_support.ts";
import { unpackUpper } from "../../kernels/matrix/ops.ts";
import { openWebGpuDevice } from "../../kernels/webgpu.ts";
import { firstBlock, jobOf } from "../first_block_test_support.ts";
import type { LayerJob, LayerSettings } from "../job.ts";
import { quantizeLayer } from "../layer.ts";
import { copyJob, energy, randomJob, type SettingsChange, settingsWith, upperFactor } from "../layer_test_support.ts";
import { prune } from "./prune.ts";

type Job = LayerJob & { readonly upper: Float32Array };

function settings(params: Readonly<Record<string, unknown>>, change: SettingsChange): LayerSettings {
  return { ...settingsWith(change), method: prune.name, params: prune.params.parse(params) };
}

/** Values and marks as `quantizeLayer` leaves them, once they were packed and unpacked. */
async function pruned(device: Device, job: LayerJob, mask: "enumerative" | "bitmask" = "enumerative") {
  const { layer, error } = await quantizeLayer(device, copyJob(job));
  const kept = layer.arrays.kept.data.slice(), values = layer.arrays.values.data.slice();
  const back = sparse.unpack(await sparse.pack(layer, { mask, scales: "f16" }));
  assert.deepEqual([...back.arrays.kept.data], [...kept]);
  assert.deepEqual(back.arrays.values.data, values);
  assert.deepEqual(back.facts, layer.facts);
  return { kept: Uint8Array.from(kept, Number), values: Float32Array.from(values, Number), error, facts: layer.facts };
}

/** N of every M by |w|·weight_j, nothing else changed. */
function byWeight({ weight: w, cols, keep, of }: Job, weight: (col: number) => number): Uint8Array {
  const kept = new Uint8Array(w.length);
  for (let first = 0; first < w.length; first += of) {
    const score = (at: number) => Math.abs(w[at]) * weight(at % cols);
    const order = Array.from({ length: of }, (_, i) => first + i).sort((a, b) => score(b) - score(a) || a - b);
    for (const at of order.slice(0, keep)) kept[at] = 1;
  }
  return kept;
}

/** SparseGPT, arXiv 2301.00774, Algorithm 1, without blocks: each column's error goes into all later columns at once. */
function sparseGpt({ weight, upper, rows, cols, keep, of, settings: { feedback } }: Job) {
  const u = upperFactor(Float64Array.from(unpackUpper(upper, cols)), cols, feedback.damping);
  const w = Float64Array.from(weight), kept = new Uint8Array(w.length), values = new Float64Array(w.length);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < cols; j++) {
      const at = r * cols + j;
      if (j % of === 0) {
        const score = (k: number) => (w[r * cols + k] / u[k * (cols + 1)]) ** 2;
        const order = Array.from({ length: of }, (_, i) => j + i).sort((a, b) => score(b) - score(a) || a - b);
        for (const k of order.slice(0, keep)) kept[r * cols + k] = 1;
      }
      values[at] = kept[at] === 1 ? w[at] : 0;
      const error = (w[at] - values[at]) / u[j * (cols + 1)];
      if (error !== 0) { for (let k = j; k < cols; k++) w[r * cols + k] -= error * u[j * cols + k]; }
    }
  }
  return { kept, values };
}

function errorOf({ weight, upper, rows, cols }: Job, values: ArrayLike<number>): number {
  const h = Float64Array.from(unpackUpper(upper, cols)), w = Float64Array.from(weight);
  return energy(w.map((x, i) => x - values[i]), h, rows, cols) / energy(w, h, rows, cols);
}

function differing(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < b.length; i++) count += Number(a[i] !== b[i]);
  return count;
}

/** The first eight rows of a layer: in float64 a whole one takes a minute. */
function firstRows<J extends Job>(job: J, rows: number): J {
  return { ...job, rows, weight: job.weight.slice(0, rows * job.cols) };
}

const devices: readonly (readonly [string, () => Device | Promise<Device>])[] = [
  ["cpu", openCpuDevice],
  ...hasAdapter || Deno.env.get("CI") ? [["webgpu", () => openWebGpuDevice()] as const] : [],
];

for (const [name, open] of devices) {
  Deno.test(`prune gives magnitude's, Wanda's and SparseGPT's masks and error on a layer of tiny-llama [${name}]`, async (t) => {
    const block = await firstBlock(), device = await open();
    try {
      for (const values of ["f32", "f16"] as const) {
        for (const metric of ["magnitude", "wanda"] as const) {
          await t.step(`${metric}, ${values}`, async () => {
            const change = { "fine-search": { metric }, compensate: { mode: "none" } } as const;
            const job = firstRows(jobOf(block, "q_proj", settings({ values }, change)), 32);
            const h = unpackUpper(job.upper, job.cols);
            const norm = (j: number) => metric === "wanda" ? Math.sqrt(h[j * (job.cols + 1)]) : 1;
            const wanted = byWeight(job, norm), found = await pruned(device, job);
            assert.equal(differing(found.kept, wanted), 0);
            found.values.forEach((value, i) => {
              const stored = values === "f16" ? Math.f16round(job.weight[i]) : job.weight[i];
              assert.equal(value, wanted[i] === 1 ? stored : 0);
            });
            assert.ok(Math.abs(found.error / errorOf(job, found.values) - 1) < 1e-4);
          });
        }
        await t.step(`SparseGPT, ${values}`, async () => {
          const change = { "fine-search": { metric: "hessian" }, compensate: { mode: "columnwise" } } as const;
          const job = firstRows(jobOf(block, "q_proj", settings({ values, group_size: 128 }, change)), 32);
          const wanted = sparseGpt(job), found = await pruned(device, job);
          const moved = differing(found.kept, wanted.kept), error = errorOf(job, wanted.values);
          assert.ok(moved <= 2e-3 * wanted.kept.length, `${moved} of ${wanted.kept.length} marks differ`);
          if (values === "f32") assert.equal(moved, 0);
          assert.ok(
            Math.abs(found.error / error - 1) < (values === "f32" ? 1e-4 : 1e-3),
            `${found.error}, not ${error}`,
          );
        });
      }
    } finally {
      await device.destroy();
    }
  });
}

/** N:M, and everything that prunes: each with whatever feeds errors on. */
const CASES: readonly (readonly [string, Readonly<Record<string, unknown>>, SettingsChange, Partial<LayerJob>])[] = [
  ["2:4, columnwise", {}, { compensate: { mode: "columnwise" } }, { keep: 2, of: 4 }],
  ["6:8, hessian-squared, columnwise", {}, {
    "fine-search": { metric: "hessian-squared" },
    compensate: { mode: "columnwise" },
  }, { keep: 6 }],
  ["4:8, wanda, columnwise", {}, { "fine-search": { metric: "wanda" }, compensate: { mode: "columnwise" } }, {}],
  ["4:8, si, columnwise, f32", { values: "f32" }, {
    "fine-search": { metric: "si" },
    compensate: { mode: "columnwise" },
  }, {}],
  ["5:8, exact", {}, { compensate: { mode: "exact" } }, { keep: 5 }],
  ["4:8, diagonal", {}, { compensate: { mode: "diagonal" } }, {}],
  ["unstructured, columnwise", {}, { "fine-search": { type: "unstructured" }, compensate: { mode: "columnwise" } }, {}],
  ["structured, exact", {}, { "fine-search": { type: "structured" }, compensate: { mode: "exact" } }, {}],
  ["nothing pruned", {}, { "fine-search": { type: "none" } }, {}],
  ["whole rows at once", { group_size: 256 }, { compensate: { mode: "columnwise" } }, {}],
];

for (const [name, params, change, shape] of CASES) {
  Deno.test(`prune keeps what it promises, packs it exactly, and its error is that of its weights: ${name}`, async () => {
    const given = settings({ group_size: 40, ...params }, change);
    const job = { ...randomJob("layer", { rows: 12, cols: 104, settings: given }), ...shape }, device = openCpuDevice();
    try {
      for (const mask of ["enumerative", "bitmask"] as const) {
        const { kept, values, error } = await pruned(device, job, mask), { type } = given.search;
        const { keep, of } = job;
        for (let at = 0; type === "semi-structured" && at < kept.length; at += of) {
          assert.equal(kept.subarray(at, at + of).reduce((sum, mark) => sum + mark), keep);
        }
        if (type === "none") assert.ok(kept.every((mark) => mark === 1));
        values.forEach((value, i) => assert.ok(kept[i] === 1 || value === 0));
        // The third input is dead: its weights count as 0 from the start.
        const weight = job.weight.map((w, i) => i % job.cols === 2 ? 0 : w);
        const exact = errorOf({ ...job, weight }, values);
        assert.ok(Math.abs(error - exact) <= 1e-5 + 1e-4 * exact, `${error}, not ${exact}`);
      }
    } finally {
      await device.destroy();
    }
  });
}

Deno.test("prune feeds errors on better the more exactly: columnwise below exact below none", async () => {
  const device = openCpuDevice();
  try {
    const errors: number[] = [];
    for (const mode of ["columnwise", "exact", "none"] as const) {
      const job = randomJob("layer", {
        rows: 12,
        cols: 128,
        settings: settings({ group_size: 32 }, { compensate: { mode } }),
      });
      errors.push((await pruned(device, job)).error);
    }
    assert.ok(errors[0] < 0.9 * errors[1] && errors[1] < 0.9 * errors[2], errors.join());
  } finally {
    await device.destroy();
  }
});

Deno.test("prune stores rows that float16 would lose in units of their own, at full precision", async () => {
  const device = openCpuDevice();
  try {
    const given = settings({ group_size: 40 }, { compensate: { mode: "columnwise" } });
    const plain = randomJob("layer", { rows: 4, cols: 104, settings: given });
    const job = { ...plain, weight: plain.weight.map((w, i) => w * [1, 2 ** -40, 1, 2 ** 12][Math.floor(i / 104)]) };
    const { values, kept, facts } = await pruned(device, job), same = await pruned(device, plain);
    assert.equal(typeof facts.exponent, "number");
    assert.equal(same.facts.exponent, undefined);
    // Rows are independent, and a power of two changes no bit of what is kept at full precision.
    for (let i = 0; i < 4 * 104; i++) {
      const scale = [1, 2 ** -40, 1, 2 ** 12][Math.floor(i / 104)];
      assert.equal(kept[i], same.kept[i]);
      assert.ok(Math.abs(values[i] / scale - same.values[i]) <= 2 ** -10 * Math.abs(same.values[i]) + 1e-6, `${i}`);
    }
  } finally {
    await device.destroy();
  }
});

Deno.test("prune.reads() names all of its settings: each counts", () => {
  const params = prune.params.parse({});
  assert.deepEqual(prune.reads(params), Object.keys(params));
  assert.ok(prune.groupKeys?.every((key) => prune.reads(params).includes(key)));
});
