import assert from "node:assert/strict";
import { columnwiseSweep } from "./columnwise.ts";
import { gpuColumnwise } from "./columnwise_webgpu.ts";
import { resignSweep } from "./resign.ts";
import { gpuResign } from "./resign_webgpu.ts";
import { difference, KINDS, multiply, weights } from "./row_kernels_test_support.ts";
import { binarizedBlock, BLOCK_SHAPES, gpuMatrix, onGpu, withoutOffset } from "./row_webgpu_test_support.ts";
import { pruneCodes } from "./select.ts";
import { gpuTest } from "./webgpu_test_support.ts";

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
