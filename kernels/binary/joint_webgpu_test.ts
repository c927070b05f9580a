import assert from "node:assert/strict";
import { jointSolution } from "./joint.ts";
import { gpuSolveJoint } from "./joint_webgpu.ts";
import { difference, KINDS, multiply } from "./row_kernels_test_support.ts";
import { binarizedBlock, BLOCK_SHAPES, gpuMatrix, onGpu, withoutOffset } from "./row_webgpu_test_support.ts";
import { pruneCodes } from "./binarize.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

gpuTest("gpuSolveJoint() gives the CPU's scales to float32's last bits", async (context) => {
  for (const shape of BLOCK_SHAPES) {
    for (const kind of KINDS) {
      const block = binarizedBlock(kind, shape), wanted = block.scales.slice();
      pruneCodes(block.codes, block.rank, block.pruned);
      const target = multiply(block.w, block.gram, block.cols);
      const gpu = onGpu(context, block);
      gpuSolveJoint(context, gpu.scales, { ...block, ...gpu, target: gpuMatrix(context, "f32", target, block.rows) });
      jointSolution(wanted, { ...block, target });
      const [scales] = await context.download([gpu.scales.buffer]);
      const apart = difference(withoutOffset(scales), wanted);
      assert.ok(apart <= 2e-7, `${kind}, ${JSON.stringify(shape)}: ${apart}`);
    }
  }
});
