import assert from "node:assert/strict";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { gpuTest, withGpu } from "../kernels/gpu/webgpu_test_support.ts";
import { openDeviceLayers } from "./device_pool.ts";
import { copyJob, randomJob, settingsWith } from "./layer_test_support.ts";
import { shareDevice } from "./shared_device.ts";

const SETTINGS = settingsWith({ spbo: { solver: "joint", resign: 1 }, compensate: { mode: "exact" } });

gpuTest(
  "a device lost in the middle of a layer fails it by the kernel; the next batch gets a device of its own",
  async () => {
    const jobs = [1, 2, 3].map((seed) => randomJob(`layer ${seed}`, { rows: 24, cols: 160, settings: SETTINGS, seed }));
    const gpus: GPUDevice[] = [];
    const device = shareDevice(async () => {
      const { opened, gpu } = await withGpu(openWebGpuDevice);
      gpus.push(gpu);
      return opened;
    });
    const pool = openDeviceLayers(device);
    try {
      const layers = async () => (await pool.quantize(jobs.map(copyJob))).map(({ layer, error }) => ({ layer, error }));
      const wanted = await layers();
      const finished: string[] = [], send = GPUQueue.prototype.submit;
      const failing = pool.quantize(jobs.map(copyJob), {
        onLayer: ({ layer }) => {
          finished.push(`${layer.rows}×${layer.cols}`);
          let sent = 0;
          // Of the second layer some batches are sent, and more are to come.
          GPUQueue.prototype.submit = function (commands) {
            send.call(this, commands);
            if (++sent === 2) gpus[0].destroy();
          };
        },
      });
      await assert.rejects(
        failing.finally(() => GPUQueue.prototype.submit = send),
        /^Error: .*Cannot finish "\w[^"]*"(, "[^"]+")* as the WebGPU device was lost \(destroyed: .+\): run it again/,
      );
      assert.deepEqual(finished, ["24×160"], "what was done before stays done");
      assert.equal(gpus.length, 1);
      assert.deepEqual(await layers(), wanted);
      assert.equal(gpus.length, 2);
    } finally {
      pool.close();
      device.close();
    }
  },
);

gpuTest("a device that cannot be opened is asked for again with the next batch", async () => {
  const [job] = [randomJob("layer", { rows: 8, cols: 40, settings: SETTINGS })];
  let asked = 0;
  const device = shareDevice(async () => {
    if (++asked === 1) throw new Error("Cannot open it yet");
    return await openWebGpuDevice();
  });
  const pool = openDeviceLayers(device);
  await assert.rejects(pool.quantize([copyJob(job)]), /Cannot open it yet/);
  assert.equal((await pool.quantize([copyJob(job)])).length, 1);
  pool.close();
  device.close();
});
