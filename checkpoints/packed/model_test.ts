/** The packed format on a whole model: the embedded one, its layers replaced by random ones, all else as it is. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeLayer, type QuantizedLayer } from "../../kernels/binary/ops.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { openCheckpoint } from "../open.ts";
import { inspectPacked } from "./bits.ts";
import type { EncodedLayer } from "./format.ts";
import { openPacked } from "./open.ts";
import { encodeLayer } from "./planes.ts";
import { uncompressedTensors, writePackedModel } from "./write.ts";

Deno.test("writePackedModel() keeps what is not compressed, bit by bit, and its file is as large as its parts", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-model-"));
  const original = await openCheckpoint({
    path: fileURLToPath(new URL("../../configs/models/tiny-llama", import.meta.url)),
  });
  assert.ok(original.tokenizer?.kind === "files");
  try {
    const layers = new Map<string, QuantizedLayer>();
    for (const { name, shape: [rows, cols] } of original.tensors.values()) {
      if (!/_proj\.weight$/.test(name)) continue;
      const shape = { rows, cols, groupSize: 128, keep: 4, of: 8, segments: 3, salient: true } as const;
      layers.set(name.slice(0, -".weight".length), randomLayer({ ...shape, type: "semi-structured" }, layers.size));
    }
    assert.equal(layers.size, 42);
    const encode = function* (): Generator<readonly [string, EncodedLayer]> {
      for (const [name, layer] of layers) yield [name, encodeLayer(layer, { mask: "enumerative", scales: "f16" })];
    };
    const { bytes } = await writePackedModel(folder, {
      layers: encode(),
      others: uncompressedTensors(original, new Set(layers.keys()), assert.fail),
      config: original.config,
      tokenizer: original.tokenizer,
      source: {},
    });
    const packed = await openCheckpoint({ path: folder }, { packed: openPacked });
    try {
      assert.equal(packed.format, "packed");
      assert.deepEqual([...packed.tensors.keys()].sort(), [...original.tensors.keys()].sort());
      assert.deepEqual(packed.tokenizer, original.tokenizer);
      for (const { name, shape, dtype } of original.tensors.values()) {
        const layer = layers.get(name.replace(/\.weight$/, ""));
        assert.deepEqual(packed.tensors.get(name)?.shape, shape);
        assert.equal(packed.tensors.get(name)?.dtype, layer === undefined ? dtype : "PBS2P");
        const expected = layer === undefined ? await original.read(name) : decodeLayer(layer);
        assert.ok(Buffer.from(expected.buffer).equals(Buffer.from((await packed.read(name)).buffer)), name);
      }
      const name = "model.norm.weight";
      assert.equal(await packed.identity([name]), await packed.identity([name]));
      assert.notEqual(await packed.identity([name]), await packed.identity([...packed.tensors.keys()]));
    } finally {
      packed.close();
    }
    const { weights, parts, stored } = await inspectPacked(folder);
    assert.equal(parts.layers + parts.others + parts.header, bytes);
    assert.ok(Math.abs(stored.total - 8 * parts.layers / weights) < 1e-12);
    assert.ok(parts.header < 0.015 * bytes, `${parts.header} bytes of header`);
    // 0.768 of mask, 0.5 and the salient's second signs, marks of the rest, nine scales in 128 columns.
    assert.ok(stored.total > 3.1 && stored.total < 3.25, `${stored.total} bits`);
  } finally {
    original.close();
    await rm(folder, { recursive: true });
  }
});
