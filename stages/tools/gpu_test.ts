import assert from "node:assert/strict";
import { gpuTest } from "../../kernels/gpu/webgpu_test_support.ts";
import { copyJob, randomJob, settingsWith } from "../../layers/layer_test_support.ts";
import { openTools, openToolShelves } from "./mod.ts";
import { openWeights } from "./weights.ts";

/** Counts the GPU devices that are opened while something is done. */
async function devicesOf(work: () => Promise<void>): Promise<number> {
  const request = GPUAdapter.prototype.requestDevice;
  let opened = 0;
  GPUAdapter.prototype.requestDevice = function (descriptor) {
    opened++;
    return request.call(this, descriptor);
  };
  try {
    await work();
    return opened;
  } finally {
    GPUAdapter.prototype.requestDevice = request;
  }
}

gpuTest("tools that follow one another compute on one GPU device, and on another once it has failed", async () => {
  const shelves = openToolShelves(), cache = await Deno.makeTempDir();
  const settings = settingsWith({ spbo: { group_size: 64 }, compensate: { mode: "exact" } });
  const job = randomJob("layer", { rows: 8, cols: 64, settings });
  const singular = { ...job, upper: job.upper.map((x) => -x) };
  const quantize = async (given: typeof job) => {
    const weights = await openWeights({ path: "configs/models/tiny-llama" }, { purpose: "run", cache });
    const { checkpoint, spec } = weights, access = { hashes: new Map(), hub: { cache } };
    const { tools, close } = openTools({ checkpoint, spec, access, weights, provider: "cpu", gpu: {} }, shelves);
    try {
      const [{ layer }] = await tools.layers().quantize([copyJob(given) as typeof job]);
      return layer;
    } finally {
      await close();
    }
  };
  try {
    let first: Awaited<ReturnType<typeof quantize>> | undefined;
    assert.equal(await devicesOf(async () => void (first = await quantize(job))), 1);
    assert.equal(await devicesOf(async () => assert.deepEqual(await quantize(job), first)), 0);
    await assert.rejects(quantize(singular), /layer "layer"/);
    assert.equal(await devicesOf(async () => assert.deepEqual(await quantize(job), first)), 1);
  } finally {
    await shelves.close();
    await Deno.remove(cache, { recursive: true });
  }
});
