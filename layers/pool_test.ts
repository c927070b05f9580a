import assert from "node:assert/strict";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import type { LayerJob } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { jobMemory, openLayerPool } from "./pool.ts";
import { copyJob, randomJob, settingsWith } from "./layer_test_support.ts";

const settings = settingsWith({ spbo: { group_size: 64 }, compensate: { mode: "exact" } });
const sizes = [[32, 96], [130, 96], [8, 200], [64, 96], [200, 96]];

function makeJobs(): LayerJob[] {
  const jobs = sizes.map(([rows, cols], i) => randomJob(`layer ${i}`, { rows, cols, settings, seed: i + 1 }));
  // As q, k and v do, these share one Hessian.
  return jobs.map((job) => job.cols === 96 ? { ...job, upper: jobs[0].upper } : job);
}

Deno.test("quantize() gives the same bits for any number of workers, in the order of the jobs", async () => {
  const device = openCpuDevice();
  const expected = [];
  for (const job of makeJobs()) expected.push(await quantizeLayer(device, copyJob(job)));
  await device.destroy();
  for (const workers of [1, 2, 3]) {
    const pool = openLayerPool({ workers, memory: workers === 3 ? 1 : undefined });
    const seen: string[] = [];
    try {
      for (let round = 0; round < 2; round++) {
        const results = await pool.quantize(makeJobs(), { onLayer: ({ name }) => seen.push(name) });
        for (const [i, { name, layer, error }] of results.entries()) {
          assert.deepEqual({ name, layer, error }, {
            name: expected[i].name,
            layer: expected[i].layer,
            error: expected[i].error,
          });
        }
      }
    } finally {
      pool.close();
    }
    assert.deepEqual(seen.toSorted(), [...expected, ...expected].map(({ name }) => name).toSorted());
    // One at a time, whether by workers or by memory: the longest layer comes first.
    if (workers !== 2) assert.deepEqual(seen.slice(0, 5), ["layer 4", "layer 1", "layer 3", "layer 0", "layer 2"]);
  }
});

Deno.test("searchMasks() serves quantize(), and arrays inside longer ones leave their neighbours alone", async () => {
  const pool = openLayerPool({ workers: 2 });
  try {
    const job = randomJob("layer", { rows: 6, cols: 64, settings });
    const file = new Float32Array(1000);
    file.set(job.weight, 10);
    const [{ ranks }] = await pool.searchMasks([{ ...job, weight: file.subarray(10, 394), upper: job.upper.slice() }]);
    assert.deepEqual(file.slice(10, 394), job.weight);
    const [{ layer }] = await pool.quantize([{ ...copyJob(job), ranks: ranks.slice() }]);
    assert.deepEqual(layerOf(layer).codes.map((code) => code & 1), ranks.map((rank) => Number(rank >= 4)));
    assert.deepEqual(await pool.quantize([]), []);
  } finally {
    pool.close();
  }
});

Deno.test("quantize() rejects with the layer's name, and the pool goes on", async () => {
  const pool = openLayerPool({ workers: 2 });
  try {
    const jobs = makeJobs();
    const singular = { ...jobs[3], upper: jobs[3].upper?.map((x) => -x) };
    await assert.rejects(pool.quantize([...jobs.slice(0, 3), singular]), (error: unknown) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, /layer "layer 3".*damping/);
      return true;
    });
    const next = pool.quantize([randomJob("next", { rows: 4, cols: 16, settings })]);
    assert.ok(!pool.reusable(), "a job is in work");
    assert.equal((await next).length, 1);
    assert.ok(pool.reusable(), "a failure leaves nothing behind");
    const thrown = new Error("thrown by the caller");
    const onLayer = () => {
      throw thrown;
    };
    await assert.rejects(pool.quantize([randomJob("next", { rows: 4, cols: 16, settings })], { onLayer }), thrown);
  } finally {
    pool.close();
  }
});

Deno.test("quantize() stops on its signal and on close()", async () => {
  const pool = openLayerPool({ workers: 2 });
  try {
    const reason = new Error("enough");
    await assert.rejects(pool.quantize(makeJobs(), { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const seen: string[] = [];
    const running = pool.quantize(makeJobs(), {
      signal: controller.signal,
      onLayer: ({ name }) => {
        seen.push(name);
        controller.abort(reason);
      },
    });
    await assert.rejects(running, reason);
    assert.equal(seen.length, 1);
    assert.equal((await pool.quantize([randomJob("next", { rows: 4, cols: 16, settings })])).length, 1);
    const last = pool.quantize(makeJobs());
    pool.close();
    await assert.rejects(last, /The layer pool was closed/);
  } finally {
    pool.close();
  }
});

Deno.test("openLayerPool() refuses a number of workers that is none", () => {
  for (const workers of [0, 1.5, NaN]) {
    assert.throws(() => openLayerPool({ workers }), /workers must be a positive integer/);
  }
});

Deno.test("jobMemory() of LLaMA-7B's widest layer is below 1.2 GB", () => {
  const upper = { length: 11008 * 11009 / 2 } as Float32Array;
  const job = { name: "down_proj", rows: 4096, cols: 11008, weight: new Float32Array(), upper, of: 8, settings };
  assert.ok(jobMemory(job) < 1.2e9 && jobMemory(job) > 0.9e9);
});
