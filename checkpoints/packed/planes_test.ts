import assert from "node:assert/strict";
import * as fc from "fast-check";
import { layerShapes, randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { contentOf, encodeLayer, layerOf, planes, restoreLayer } from "./planes.ts";

const SHAPE = {
  rows: 24,
  cols: 192,
  groupSize: 128,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;
const OPTIONS = { mask: "enumerative", scales: "f16" } as const;

Deno.test("restoreLayer(encodeLayer(x)) is x for every type and size, scales that are exact in the stored type", () => {
  fc.assert(
    fc.property(
      layerShapes,
      fc.constantFrom("enumerative" as const, "bitmask" as const),
      fc.constantFrom("f16" as const, "f32" as const),
      fc.integer(),
      (shape, mask, scales, seed) => {
        const layer = randomLayer(shape, seed);
        assert.deepEqual(restoreLayer(encodeLayer(layer, { mask, scales })), layer);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("encodeLayer() rounds scales to half precision and refuses those beyond it", () => {
  const layer = randomLayer(SHAPE, 1);
  layer.scales[0] = 0.1;
  assert.equal(restoreLayer(encodeLayer(layer, OPTIONS)).scales[0], Math.fround(0.0999755859375));
  for (const bad of [65520, NaN, -Infinity]) {
    layer.scales[0] = bad;
    assert.throws(() => encodeLayer(layer, OPTIONS), { name: "RangeError", message: new RegExp(`${bad}`) });
  }
  layer.scales[0] = 65520;
  assert.equal(restoreLayer(encodeLayer(layer, { ...OPTIONS, scales: "f32" })).scales[0], 65520);
});

Deno.test("planes packs what encodeLayer() does, whatever else the recipe sets, and unpacks it", async () => {
  const layer = randomLayer(SHAPE, 2), content = contentOf(layer);
  const encoded = await planes.pack(content, { ...OPTIONS, grid: "of another format" });
  assert.deepEqual(encoded, encodeLayer(layer, OPTIONS));
  assert.deepEqual(planes.unpack(encoded), content);
  assert.deepEqual(layerOf(content), layer);
  assert.throws(
    () => layerOf({ ...content, format: "grid" }),
    /Cannot take a layer as planes.*"grid" with codes in U8/,
  );
  await assert.rejects(planes.pack(content, { scales: "f16" }), { name: "ZodError" });
});
