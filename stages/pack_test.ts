import assert from "node:assert/strict";
import { encodeLayer } from "../checkpoints/packed/layer.ts";
import { decodeLayer } from "../kernels/binary/ops.ts";
import { testedDevices } from "../kernels/device_test_support.ts";
import { packCodes } from "../kernels/packing/ops.ts";
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
  Deno.test(`LayerPool.pack() and decode() give packCodes()'s planes and decodeLayer()'s weights [${name}]`, async () => {
    const pool = open();
    try {
      const layer = randomLayer(SHAPE, 3), planes = packCodes(layer, "enumerative");
      assert.deepEqual(await pool.pack({ ...layer, codes: layer.codes.slice() }, "enumerative"), planes);
      const encoded = encodeLayer(layer, { mask: "enumerative", scales: "f16" }, planes);
      assert.deepEqual(await pool.decode(encoded), decodeLayer(layer));
      const broken = layer.codes.with(layer.codes.findIndex((code) => (code & 1) !== 0), 0);
      await assert.rejects(pool.pack({ ...layer, codes: broken }, "enumerative"), /Cannot pack/);
      // A failure ends nothing but itself.
      assert.deepEqual(await pool.decode(encoded), decodeLayer(layer));
    } finally {
      pool.close();
    }
  });
}
