import assert from "node:assert/strict";
import { decodeLayer } from "../../kernels/binary/ops.ts";
import { contentOf, encodeLayer } from "../../checkpoints/packed/planes.ts";
import { testedDevices } from "../../kernels/device_test_support.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { type SharedDevice, shareDevice } from "../../layers/shared_device.ts";
import { openPackingTool } from "./packing.ts";

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

const places: readonly { readonly name: string; readonly open: () => SharedDevice | undefined }[] = [
  { name: "this thread", open: () => undefined },
  ...testedDevices.map(({ name, open }) => ({ name, open: () => shareDevice(open) })),
];

for (const { name, open } of places) {
  Deno.test(`pack() and decode() give encodeLayer()'s bits and decodeLayer()'s weights [${name}]`, async () => {
    const device = open(), tool = openPackingTool(device);
    try {
      const layer = randomLayer(SHAPE, 3), options = { mask: "enumerative", scales: "f16" } as const;
      const encoded = encodeLayer(layer, options);
      assert.deepEqual(await tool.pack(contentOf({ ...layer, codes: layer.codes.slice() }), options), encoded);
      assert.deepEqual(await tool.decode(encoded), decodeLayer(layer));
      const broken = layer.codes.with(layer.codes.findIndex((code) => (code & 1) !== 0), 0);
      await assert.rejects(tool.pack(contentOf({ ...layer, codes: broken }), options), /Cannot pack/);
      // A failure ends nothing but itself.
      assert.deepEqual(await tool.decode(encoded), decodeLayer(layer));
    } finally {
      device?.close();
    }
  });
}

Deno.test("pack() and decode() name the formats that there are where a layer has another", async () => {
  const layer = randomLayer(SHAPE, 3),
    options = { mask: "enumerative", scales: "f16" } as const,
    tool = openPackingTool();
  await assert.rejects(tool.pack({ ...contentOf(layer), format: "unheard" }, options), /"unheard".*knows .*planes/);
  await assert.rejects(tool.decode({ ...encodeLayer(layer, options), format: "unheard" }), /"unheard".*knows .*planes/);
});
