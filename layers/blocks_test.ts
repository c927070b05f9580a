import assert from "node:assert/strict";
import { openCpuDevice } from "../kernels/cpu.ts";
import { copy } from "../kernels/matrix/ops.ts";
import { quantizeBlocks } from "./blocks.ts";
import type { LayerSettings } from "./job.ts";
import { copyJob, randomJob, settingsWith } from "./layer_test_support.ts";
import type { MethodRun } from "./methods/method.ts";
import { openLayer } from "./open.ts";
import { Scope } from "./scope.ts";

const GROUP = 16;

/**
 * Takes a layer of 40 columns through a method that keeps every weight as it is and cannot go column by column.
 *
 * @returns what the method was asked for, in order, and what is left of the weights
 */
async function keepAll(mode: LayerSettings["feedback"]["mode"]): Promise<{ asked: string[]; left: Float32Array }> {
  const job = copyJob(randomJob("q_proj", { rows: 3, cols: 40, settings: settingsWith({ compensate: { mode } }) }));
  const device = openCpuDevice(), scope = new Scope(device), asked: string[] = [];
  try {
    const layer = openLayer(device, scope, job, GROUP);
    const run: MethodRun = {
      block: ({ index, col, w }) => asked.push(`block ${index} at ${col}, ${w.cols} columns`),
      decode(block) {
        asked.push("decode");
        device.run(copy, block.decoded, block.target);
      },
      store: () => asked.push("store"),
      arrays: {},
      facts: {},
    };
    quantizeBlocks(device, scope, { job, layer, run, name: "plain", group: GROUP });
    const [left] = await device.download([layer.weight.buffer]);
    return { asked, left };
  } finally {
    scope.close();
    await device.destroy();
  }
}

Deno.test("quantizeBlocks() refuses columnwise feedback by the name of the method that does not go column by column", async () => {
  await assert.rejects(keepAll("columnwise"), {
    name: "RangeError",
    message: 'Cannot compress layer "q_proj" as plain does not go column by column: ' +
      "stages.compensate.mode must be diagonal, exact or none: current value is columnwise",
  });
});

for (const mode of ["diagonal", "exact", "none"] as const) {
  Deno.test(`quantizeBlocks() asks for each block, its values and its keeping, once and in order: ${mode}`, async () => {
    const { asked, left } = await keepAll(mode);
    assert.deepEqual(asked, [
      ...["block 0 at 0, 16 columns", "decode", "store"],
      ...["block 1 at 16, 16 columns", "decode", "store"],
      ...["block 2 at 32, 8 columns", "decode", "store"],
    ]);
    // Where nothing is lost there is nothing to feed back, and nothing is left of the weights.
    assert.ok(left.every((x) => x === 0));
  });
}
