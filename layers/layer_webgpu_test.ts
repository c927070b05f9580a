import assert from "node:assert/strict";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import { KEPT } from "../kernels/binary/ops.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import { firstBlock, jobOf } from "./first_block_test_support.ts";
import { quantizeLayer, searchMasks } from "./layer.ts";
import { copyJob, settingsWith } from "./layer_test_support.ts";

/** As configs/bases has them: as printed in the paper, and what this project found best. */
const SETTINGS = {
  paper: settingsWith({}),
  best: settingsWith({
    spbo: { split_on: "kept", search_target: "weighted", solver: "joint", resign: 1 },
    compensate: { mode: "exact" },
  }),
  columnwise: settingsWith({ compensate: { mode: "columnwise" } }),
};

const CASES = [["k_proj", "paper"], ["k_proj", "best"], ["k_proj", "columnwise"], ["down_proj", "best"]] as const;

/** What float32 products summed in another order may turn over, of all codes; on llvmpipe at most 6e-5 was measured. */
const TURNED = 1e-3;

Deno.test({
  name: "quantizeLayer() and searchMasks() give the CPU's masks and signs on real layers [webgpu]",
  ignore: !hasAdapter && !Deno.env.get("CI"),
  fn: async (t) => {
    const block = await firstBlock(), cpu = openCpuDevice(), gpu = await openWebGpuDevice();
    for (const [name, settings] of CASES) {
      await t.step(`${name}, ${settings}`, async () => {
        const job = jobOf(block, name, SETTINGS[settings]);
        const wanted = await quantizeLayer(cpu, copyJob(job)), found = await quantizeLayer(gpu, copyJob(job));
        const { codes } = layerOf(found.layer);
        const differing = layerOf(wanted.layer).codes.filter((code, i) => code !== codes[i]).length;
        assert.ok(differing <= TURNED * job.weight.length, `${differing} of ${job.weight.length} codes differ`);
        const masks = codes.map((code) => code & KEPT);
        for (let at = 0; at < masks.length; at += job.of) {
          assert.equal(masks.subarray(at, at + job.of).reduce((sum, kept) => sum + kept), job.keep);
        }
        assert.ok(Math.abs(found.error / wanted.error - 1) < 5e-3, `${found.error}, not ${wanted.error}`);
      });
    }
    await t.step("searchMasks()", async () => {
      const job = jobOf(block, "k_proj", SETTINGS.best);
      const { ranks } = await searchMasks(cpu, copyJob(job)), found = await searchMasks(gpu, copyJob(job));
      const differing = ranks.filter((rank, i) => rank !== found.ranks[i]).length;
      assert.ok(differing <= TURNED * ranks.length, `${differing} of ${ranks.length} ranks differ`);
    });
    await cpu.destroy();
    await gpu.destroy();
  },
});
