/** Layers for tests of what is done to packed ones, and checks that every device must pass. */
import assert from "node:assert/strict";
import { decodeLayer, type QuantizedLayer, scalesPerBlock } from "../binary/ops.ts";
import { type Device, matrix } from "../device.ts";
import { arrangeWeights, packedMatVec, releasePacked, uploadPacked } from "../matvec/ops.ts";
import { type MaskCode, packCodes } from "./pack.ts";
import { decodeOn, packOn } from "./plane_device.ts";
import { type LayerShape, makeRandom } from "../binary/quantized_layer_test_support.ts";

/** 4:8 with three segments and salient columns, 576 wide: a short last block, chunk and word of bits. */
export const N_OF_M = {
  rows: 33,
  cols: 576,
  groupSize: 128,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;

/** Every type, number of segments, kind of pattern and group size, by what each stands for. */
export const PACKED_SHAPES: Readonly<Record<string, { readonly shape: LayerShape; readonly slow?: boolean }>> = {
  "4:8, 33×576": { shape: N_OF_M },
  "one run, 1×8": { shape: { ...N_OF_M, rows: 1, cols: 8 } },
  "two segments, groups of 64, 53×256": { shape: { ...N_OF_M, rows: 53, cols: 256, groupSize: 64, segments: 2 } },
  "one segment, groups of 256, 179×1536": {
    shape: { ...N_OF_M, rows: 179, cols: 1536, groupSize: 256, segments: 1 },
    slow: true,
  },
  "many rows, 1031×40": { shape: { ...N_OF_M, rows: 1031, cols: 40 } },
  "6:8, four segments, 33×264": { shape: { ...N_OF_M, cols: 264, keep: 6, segments: 4 }, slow: true },
  "6:8, three segments, 33×264": { shape: { ...N_OF_M, cols: 264, keep: 6 }, slow: true },
  "3:7, groups of 21, 33×35": { shape: { ...N_OF_M, cols: 35, keep: 3, of: 7, groupSize: 21 } },
  "16:32, no salient columns, 33×64": { shape: { ...N_OF_M, cols: 64, keep: 16, of: 32, salient: false }, slow: true },
  "8:8, one segment, no salient columns": { shape: { ...N_OF_M, keep: 8, salient: false, segments: 1 }, slow: true },
  "unstructured, 33×577": { shape: { ...N_OF_M, cols: 577, type: "unstructured" } },
  "structured, 33×331": { shape: { ...N_OF_M, cols: 331, type: "structured", segments: 2 } },
  "not pruned, 33×293": { shape: { ...N_OF_M, cols: 293, type: "none" } },
  "not pruned, four segments": {
    shape: { ...N_OF_M, cols: 293, type: "none", segments: 4, salient: false },
    slow: true,
  },
  "not pruned, one segment": { shape: { ...N_OF_M, cols: 293, type: "none", segments: 1, salient: false }, slow: true },
};

/** A device's product with a layer meets float64. */
export async function checkProduct(device: Device, layer: QuantizedLayer, vectors = 1): Promise<void> {
  const { rows, cols } = layer, x = vectorsOf(vectors, cols);
  const weights = uploadPacked(device, arrangeWeights(layer)),
    out = matrix(device.alloc("f32", vectors * rows), vectors, rows);
  const from = matrix(device.upload("f32", x.slice()), vectors, cols);
  device.run(packedMatVec, out, weights, from);
  device.release(from.buffer);
  releasePacked(device, weights);
  const [found] = await device.download([out.buffer]);
  expectProduct(found, layer, x, vectors);
}

/** |found − exact| ≤ √cols·2⁻²⁴ of the sum of |scales|·|x|, measured: below a twentieth of it. */
export function expectProduct(found: Float32Array, layer: QuantizedLayer, x: Float32Array, vectors: number): void {
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
      const value = found[vector * rows + row], bound = Math.sqrt(cols) * 2 ** -24 * size;
      if (!(Math.abs(value - exact) <= bound)) {
        const { codes: _codes, scales: _scales, ...shape } = layer;
        assert.fail(`${JSON.stringify(shape)} vector ${vector} row ${row}: ${value} is not ${exact} within ${bound}`);
      }
    }
  }
}

/** Random numbers in ±1, vectors × cols. */
export function vectorsOf(vectors: number, cols: number): Float32Array {
  const random = makeRandom(vectors * 1000 + cols);
  return Float32Array.from({ length: vectors * cols }, () => 2 * random() - 1);
}

/** A device packs a layer as `packCodes` does, and decodes it as `decodeLayer`. */
export async function checkPlanes(
  device: Device,
  layer: QuantizedLayer,
  mask: MaskCode = "enumerative",
): Promise<void> {
  const { codes: _codes, scales: _scales, ...shape } = layer, title = `${JSON.stringify(shape)} ${mask}`;
  const planes = packCodes(layer, mask);
  assert.deepEqual(await packOn(device, { ...layer, codes: layer.codes.slice() }, mask), planes, title);
  const weights = await decodeOn(device, planes, { ...layer, mask, scales: layer.scales.slice() });
  // Bits, as a pruned weight is 0 and none is −0.
  assert.deepEqual(
    new Uint32Array(weights.buffer, 0, weights.length),
    new Uint32Array(decodeLayer(layer).buffer),
    title,
  );
}
