import assert from "node:assert/strict";
import { alternateRounds } from "./alternate.ts";
import { gpuAlternate } from "./alternate_webgpu.ts";
import { difference, KINDS } from "./row_kernels_test_support.ts";
import { binarizedBlock, BLOCK_SHAPES, onGpu, withoutOffset } from "./row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

for (const schedule of ["stepwise", "oneshot"] as const) {
  gpuTest(`gpuAlternate() ${schedule} gives the CPU's scales to float32's last bits`, async (context) => {
    for (const shape of BLOCK_SHAPES) {
      for (const kind of KINDS) {
        const block = binarizedBlock(kind, shape), wanted = block.scales.slice();
        const rounds = { ...block, schedule, iterations: 15 };
        const gpu = onGpu(context, block);
        gpuAlternate(context, gpu.scales, { ...rounds, ...gpu });
        alternateRounds(wanted, rounds);
        const [scales] = await context.download([gpu.scales.buffer]);
        const apart = difference(withoutOffset(scales), wanted);
        assert.ok(apart <= 2e-7, `${kind}, ${JSON.stringify(shape)}: ${apart}`);
      }
    }
  });
}

gpuTest("gpuAlternate() goes on with the rounds that one dispatch does not take", async (context) => {
  // Of 150 000 rounds in 15 steps, those of the last steps decide.
  const block = binarizedBlock("heavy", { rows: 3, cols: 32, segments: 2, salient: true, of: 16, pruned: 15 });
  const gpu = onGpu(context, block), wanted = block.scales.slice();
  const rounds = { ...block, schedule: "stepwise", iterations: 10_000 } as const;
  const before = context.dispatches;
  gpuAlternate(context, gpu.scales, { ...rounds, ...gpu });
  assert.equal(context.dispatches - before, 5, "lists, forms, and rounds in three parts");
  alternateRounds(wanted, rounds);
  const [scales] = await context.download([gpu.scales.buffer]), apart = difference(withoutOffset(scales), wanted);
  assert.ok(apart <= 2e-7, `${apart}`);
});
