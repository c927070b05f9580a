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

Deno.test("encodeLayer() stores scales that float16 would lose in units that the header announces", () => {
  const plain = randomLayer(SHAPE, 3), together = plain.scales.length / (24 * 2);
  const scales = plain.scales.map((scale, i) => scale * 2 ** (Math.floor(i / together) === 7 ? -90 : -40));
  const layer = { ...plain, scales, exponent: -40 };
  const encoded = encodeLayer(layer, OPTIONS);
  assert.deepEqual(restoreLayer(encoded), layer);
  assert.equal(encoded.header.exponent, -40);
  assert.deepEqual(encoded.tensors.units.shape, [1, 2]);
  assert.deepEqual(Object.keys(encodeLayer(plain, OPTIONS).header).includes("exponent"), false, "others have none");
  assert.deepEqual(restoreLayer(encodeLayer(layer, { ...OPTIONS, scales: "f32" })), { ...plain, scales });
  const { exponent: _, ...unannounced } = encoded.header;
  assert.throws(
    () => restoreLayer({ ...encoded, header: unannounced }),
    /units of scales: the header must say exponent/,
  );
  for (const broken of [[48, 1], [-1, 1], [7, 0], [7, 1000], [7, 1, 7, 1]]) {
    const units = { dtype: "I32", shape: [broken.length / 2, 2], data: Int32Array.from(broken) } as const;
    assert.throws(
      () => restoreLayer({ ...encoded, tensors: { ...encoded.tensors, units } }),
      { name: "RangeError", message: /Cannot unpack units of scales: entry \d of \d/ },
    );
  }
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
