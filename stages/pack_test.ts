import assert from "node:assert/strict";
import { decodeLayer } from "../kernels/binary/ops.ts";
import { contentOf, encodeLayer } from "../checkpoints/packed/planes.ts";
import { testedDevices } from "../kernels/device_test_support.ts";
import { randomLayer } from "../kernels/binary/quantized_layer_test_support.ts";
import { openDeviceLayers } from "../layers/device_pool.ts";
import { openLayerPool } from "../layers/pool.ts";

const SHAPE = {
  rows: 24,
  cols: 192,
  groupSize: 128,
  keep: 5,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;

const pools = [
  { name: "workers", open: () => openLayerPool({ workers: 1 }) },
  ...testedDevices.map(({ name, open }) => ({ name, open: () => openDeviceLayers(open) })),
];

for (const { name, open } of pools) {
  Deno.test(`LayerPool.pack() and decode() give encodeLayer()'s bits and decodeLayer()'s weights [${name}]`, async () => {
    const pool = open();
    try {
      const layer = randomLayer(SHAPE, 3), options = { mask: "enumerative", scales: "f16" } as const;
      const encoded = encodeLayer(layer, options);
      assert.deepEqual(await pool.pack(contentOf({ ...layer, codes: layer.codes.slice() }), options), encoded);
      assert.deepEqual(await pool.decode(encoded), decodeLayer(layer));
      const broken = layer.codes.with(layer.codes.findIndex((code) => (code & 1) !== 0), 0);
      await assert.rejects(pool.pack(contentOf({ ...layer, codes: broken }), options), /Cannot pack/);
      // A failure ends nothing but itself.
      assert.deepEqual(await pool.decode(encoded), decodeLayer(layer));
    } finally {
      pool.close();
    }
  });
}
