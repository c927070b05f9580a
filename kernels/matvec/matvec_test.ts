import assert from "node:assert/strict";
import * as fc from "fast-check";
import { encodeLayer } from "../../checkpoints/packed/planes.ts";
import { openCpuDevice } from "../cpu.ts";
import { arrangedBytes, arrangeWeights } from "./matvec_layout.ts";
import { checkProduct, N_OF_M } from "../packing/packed_test_support.ts";
import { type LayerShape, layerShapes, randomLayer } from "../binary/quantized_layer_test_support.ts";

Deno.test("packedMatVec() meets float64 for any layer", async () => {
  const device = openCpuDevice();
  await fc.assert(
    fc.asyncProperty(layerShapes, fc.integer(), fc.integer({ min: 1, max: 8 }), async (shape, seed, vectors) => {
      await checkProduct(device, randomLayer(shape, seed), vectors);
    }),
    { numRuns: 200 },
  );
  await device.destroy();
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
