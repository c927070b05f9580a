import assert from "node:assert/strict";
import { alternateRounds } from "./alternate.ts";
import { gpuAlternate } from "./alternate_webgpu.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { gpuColumnwise } from "./columnwise_webgpu.ts";
import { jointSolution } from "./joint.ts";
import { gpuSolveJoint } from "./joint_webgpu.ts";
import { resignSweep } from "./resign.ts";
import { gpuResign } from "./resign_webgpu.ts";
import { difference, KINDS, multiply, weights } from "./row_kernels_test_support.ts";
import { rowTiles } from "../gpu/row_tiles.ts";
import { binarizedBlock, BLOCK_SHAPES, gpuMatrix, onGpu, withoutOffset } from "./row_webgpu_test_support.ts";
import { pruneCodes } from "./binarize.ts";
import { openGpuContext, type WebGpuContext } from "../gpu/context.ts";
import { WINDOW_ALIGNMENT } from "../gpu/op.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

gpuTest("gpuResign() chooses the CPU's signs", async (context) => {
  let changed = 0;
  for (const shape of BLOCK_SHAPES) {
    for (const kind of KINDS) {
      const block = binarizedBlock(kind, shape);
      pruneCodes(block.codes, block.rank, block.pruned);
      const residual = multiply(weights("normal", block.rows, block.cols, 5), block.gram, block.cols);
      const gpu = onGpu(context, block), wanted = block.codes.slice();
      gpuResign(context, gpu.codes, { ...block, ...gpu, residual: gpuMatrix(context, "f32", residual, block.rows) });
      resignSweep(wanted, { ...block, residual });
      const [codes] = await context.download([gpu.codes.buffer]);
      assert.deepEqual(withoutOffset(codes), wanted, `${kind}, ${JSON.stringify(shape)}`);
      changed += wanted.filter((code, i) => code !== block.codes[i]).length;
    }
  }
  assert.ok(changed > 1000, `${changed} signs changed`);
});

gpuTest("gpuColumnwise() chooses the CPU's signs and leaves its errors", async (context) => {
  for (const shape of BLOCK_SHAPES) {
    for (const kind of KINDS) {
      const block = binarizedBlock(kind, shape), { rows, cols } = block;
      pruneCodes(block.codes, block.rank, block.pruned);
      // NaN where it is not to be read.
      const factor = weights("normal", cols, cols, 61).map((v, at) => {
        const i = Math.floor(at / cols), j = at % cols;
        return i === j ? 1 + Math.abs(v) : i < j ? 0.1 * v : NaN;
      });
      const gpu = onGpu(context, block), codes = block.codes.slice(), errors = new Float32Array(rows * cols);
      const gpuErrors = gpuMatrix(context, "f32", errors, rows);
      gpuColumnwise(context, gpu.codes, gpuErrors, {
        ...block,
        ...gpu,
        factor: gpuMatrix(context, "f32", factor, cols),
      });
      columnwiseSweep(codes, errors, { ...block, factor });
      const [foundCodes, foundErrors] = await context.download([gpu.codes.buffer, gpuErrors.buffer]);
      assert.deepEqual(withoutOffset(foundCodes), codes, `${kind}, ${JSON.stringify(shape)}`);
      const apart = difference(withoutOffset(foundErrors), errors);
      assert.ok(apart <= 2e-7, `${kind}, ${JSON.stringify(shape)}: ${apart}`);
    }
  }
});

gpuTest("row kernels go on where the dispatch before them stopped", async (context) => {
  const cols = 1100;
  const block = binarizedBlock("normal", { rows: 2, cols, segments: 2, salient: true, of: 4, pruned: 2, tokens: 20 });
  const residual = multiply(block.w, block.gram, cols);
  const factor = block.gram.map((x, i) => i % (cols + 1) === 0 ? 1 + x : x / 100);
  const gpu = onGpu(context, block), gpuErrors = gpuMatrix(context, "f32", new Float32Array(2 * cols), 2);
  const gpuResidual = gpuMatrix(context, "f32", residual, 2), gpuJoint = gpuMatrix(context, "f32", block.scales, 2);
  const rounds = { schedule: "oneshot", iterations: 15 } as const;
  gpuAlternate(context, gpu.scales, { ...block, ...gpu, ...rounds });
  gpuSolveJoint(context, gpuJoint, { ...block, ...gpu, target: gpuResidual });
  gpuResign(context, gpu.codes, { ...block, ...gpu, residual: gpuResidual });
  gpuColumnwise(context, gpu.codes, gpuErrors, { ...block, ...gpu, factor: gpuMatrix(context, "f32", factor, cols) });
  const found = await context.download([gpu.scales.buffer, gpuJoint.buffer, gpuErrors.buffer, gpu.codes.buffer]);
  const joint = block.scales.slice(), errors = new Float32Array(2 * cols);
  alternateRounds(block.scales, { ...block, ...rounds });
  jointSolution(joint, { ...block, target: residual });
  resignSweep(block.codes, { ...block, residual });
  columnwiseSweep(block.codes, errors, { ...block, factor });
  assert.deepEqual(withoutOffset(found[3]), block.codes);
  [block.scales, joint, errors].forEach((wanted, i) => {
    const apart = difference(withoutOffset(found[i]), wanted);
    assert.ok(apart <= 2e-7, `array ${i}: ${apart}`);
  });
});

gpuTest("row kernels give the same bits in tiles of rows", async (context) => {
  const shape = { rows: 150, cols: 128, segments: 3, salient: true, of: 8, pruned: 4 };
  const block = binarizedBlock("normal", shape), { rows, cols } = block;
  const run = async (on: WebGpuContext) => {
    const gpu = onGpu(on, block), errors = gpuMatrix(on, "f32", new Float32Array(rows * cols), rows);
    const joint = gpuMatrix(on, "f32", block.scales, rows);
    gpuAlternate(on, gpu.scales, { ...block, ...gpu, schedule: "stepwise", iterations: 15 });
    gpuSolveJoint(on, joint, { ...block, ...gpu, target: gpu.w });
    gpuResign(on, gpu.codes, { ...block, ...gpu, residual: gpu.w });
    gpuColumnwise(on, gpu.codes, errors, { ...block, ...gpu, factor: gpu.gram });
    return await on.download([gpu.scales.buffer, joint.buffer, gpu.codes.buffer, errors.buffer]);
  };
  const small = await openGpuContext({ maxBindingSize: (cols * cols + 2 * WINDOW_ALIGNMENT) * 4 });
  try {
    assert.ok(rowTiles(small, rows, { scratch: 2 * cols, cols, work: 1 }).length > 1);
    assert.deepEqual(await run(small), await run(context));
  } finally {
    small.destroy();
  }
});
