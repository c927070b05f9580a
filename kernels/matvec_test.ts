import assert from "node:assert/strict";
import * as fc from "fast-check";
import { encodeLayer } from "../checkpoints/packed_layer.ts";
import { openCpuDevice } from "./cpu.ts";
import { decodeLayer } from "./decode.ts";
import { type Device, matrix } from "./device.ts";
import { deviceTest, thorough } from "./device_test_support.ts";
import { arrangedBytes, arrangeWeights, releasePacked, uploadPacked } from "./matvec_layout.ts";
import { type QuantizedLayer, scalesPerBlock } from "./quantized_layer.ts";
import { type LayerShape, layerShapes, makeRandom, randomLayer } from "./quantized_layer_test_support.ts";

const N_OF_M = {
  rows: 33,
  cols: 576,
  groupSize: 128,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;

/** Every type, number of segments and group size; 1 row, primes, short last blocks, words and chunks. */
const CASES: readonly LayerShape[] = [
  N_OF_M,
  { ...N_OF_M, rows: 1, cols: 8 },
  { ...N_OF_M, rows: 53, cols: 256, groupSize: 64, segments: 2 },
  { ...N_OF_M, rows: 67, cols: 1536, groupSize: 256, segments: 1 },
  { ...N_OF_M, cols: 264, keep: 6, segments: 4 },
  { ...N_OF_M, cols: 35, keep: 3, of: 7, groupSize: 21 },
  { ...N_OF_M, salient: false },
  { ...N_OF_M, salient: false, segments: 1 },
  { ...N_OF_M, cols: 577, type: "unstructured" },
  { ...N_OF_M, cols: 331, type: "structured", segments: 2 },
  { ...N_OF_M, cols: 293, type: "none" },
  { ...N_OF_M, cols: 293, type: "none", segments: 4, salient: false },
  { ...N_OF_M, cols: 293, type: "none", segments: 1, salient: false },
];

deviceTest("packedMatVec() meets float64 for every type of layer and 1 to 8 vectors", async (device) => {
  for (const [i, shape] of CASES.entries()) {
    // Each is a shader of its own.
    if (!thorough && i % 4 !== 0) continue;
    for (const vectors of i !== 0 ? [1] : thorough ? [1, 2, 3, 4, 5, 6, 7, 8] : [1, 5]) {
      await check(device, randomLayer(shape, i + 1), vectors);
    }
  }
});

Deno.test("packedMatVec() meets float64 for any layer", async () => {
  const device = openCpuDevice();
  await fc.assert(
    fc.asyncProperty(layerShapes, fc.integer(), fc.integer({ min: 1, max: 8 }), async (shape, seed, vectors) => {
      await check(device, randomLayer(shape, seed), vectors);
    }),
    { numRuns: 200 },
  );
  await device.destroy();
});

deviceTest("packedMatVec() takes scales that half precision cannot hold, and its smallest", async (device) => {
  const layer = randomLayer(N_OF_M, 5);
  await check(device, { ...layer, scales: layer.scales.map((_, i) => (i % 7 - 3) / 3) }, 1);
  await check(device, { ...layer, scales: layer.scales.map((_, i) => (i % 7 - 3) * 2 ** -24) }, 1);
});

deviceTest("packedMatVec() works on windows of its vectors", async (device) => {
  const layer = randomLayer(N_OF_M, 6), { rows, cols } = layer;
  const weights = uploadPacked(device, arrangeWeights(layer)), x = vectorsOf(2, cols + 5);
  const out = matrix(device.alloc("f32", 3 * rows + 1), 2, rows);
  device.packedMatVec({ ...out, offset: 1, stride: rows }, weights, {
    ...matrix(device.upload("f32", x.slice()), 2, cols),
    offset: 5,
  });
  const [found] = await device.download([out.buffer]);
  expectProduct(found.subarray(1), layer, x.subarray(5), 2);
  assert.equal(found[0], 0);
  assert.deepEqual(found.subarray(1 + 2 * rows), new Float32Array(rows));
});

deviceTest("packedMatVec() refuses what does not fit", (device) => {
  const weights = uploadPacked(device, arrangeWeights(randomLayer(N_OF_M, 1)));
  const m = (rows: number, cols: number) => matrix(device.alloc("f32", rows * cols), rows, cols);
  assert.throws(() => device.packedMatVec(m(9, 33), weights, m(9, 576)), /takes 1 to 8 vectors: current value is 9/);
  assert.throws(() => device.packedMatVec(m(1, 33), weights, m(1, 575)), /must be 1×576/);
  assert.throws(() => device.packedMatVec(m(2, 33), weights, m(1, 576)), /must be 1×33/);
});

Deno.test("arrangeWeights() takes at most a fifth more bytes than the packed file", () => {
  const big = { ...N_OF_M, rows: 64, cols: 4096 };
  for (
    const shape of [
      big,
      { ...big, salient: false },
      { ...big, keep: 5 },
      { ...big, keep: 6 },
      { ...big, segments: 2 },
      { ...big, groupSize: 256, salient: false },
      { ...big, type: "none" },
      { ...big, type: "none", segments: 2, salient: false },
      { ...big, rows: 576, cols: 576 },
    ] satisfies LayerShape[]
  ) {
    const layer = randomLayer(shape, 9);
    const { tensors } = encodeLayer(layer, { mask: "enumerative", scales: "f16" });
    const packed = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
    const ratio = arrangedBytes(arrangeWeights(layer)) / packed;
    assert.ok(ratio <= 1.2, `${JSON.stringify(shape)}: ${ratio}`);
  }
});

async function check(device: Device, layer: QuantizedLayer, vectors: number): Promise<void> {
  const { rows, cols } = layer, x = vectorsOf(vectors, cols);
  const weights = uploadPacked(device, arrangeWeights(layer)),
    out = matrix(device.alloc("f32", vectors * rows), vectors, rows);
  const from = matrix(device.upload("f32", x.slice()), vectors, cols);
  device.packedMatVec(out, weights, from);
  device.release(from.buffer);
  releasePacked(device, weights);
  const [found] = await device.download([out.buffer]);
  expectProduct(found, layer, x, vectors);
}

/** |found − exact| ≤ 4·√cols·2⁻²⁴ of the sum of |scales|·|x|, measured: below a tenth of it. */
function expectProduct(found: Float32Array, layer: QuantizedLayer, x: Float32Array, vectors: number): void {
  const { rows, cols, groupSize, scales } = layer, decoded = decodeLayer(layer), per = scalesPerBlock(layer);
  const blocks = Math.ceil(cols / groupSize);
  for (let vector = 0; vector < vectors; vector++) {
    for (let row = 0; row < rows; row++) {
      let exact = 0, size = 0;
      for (let col = 0; col < cols; col++) {
        const at = (row * blocks + Math.floor(col / groupSize)) * per;
        const most = scales.subarray(at, at + per).reduce((sum, scale) => sum + Math.abs(scale), 0);
        exact += decoded[row * cols + col] * x[vector * cols + col];
        size += most * Math.abs(x[vector * cols + col]);
      }
      const value = found[vector * rows + row], bound = 4 * Math.sqrt(cols) * 2 ** -24 * size;
      if (!(Math.abs(value - exact) <= bound)) {
        const { codes: _codes, scales: _scales, ...shape } = layer;
        assert.fail(`${JSON.stringify(shape)} vector ${vector} row ${row}: ${value} is not ${exact} within ${bound}`);
      }
    }
  }
}

function vectorsOf(vectors: number, cols: number): Float32Array {
  const random = makeRandom(vectors * 1000 + cols);
  return Float32Array.from({ length: vectors * cols }, () => 2 * random() - 1);
}
