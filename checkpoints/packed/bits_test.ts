import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KEPT, SECOND_SIGN } from "../../kernels/binary/ops.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { inspectPacked } from "./bits.ts";
import { encodeLayer } from "./planes.ts";
import { writePackedModel } from "./write.ts";

const SHAPE = { rows: 64, cols: 512, groupSize: 128, of: 8, type: "semi-structured", segments: 3 } as const;

Deno.test("inspectPacked() counts bits by component on the bytes of the file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-bits-"));
  try {
    const plain = randomLayer({ ...SHAPE, keep: 4, salient: false }, 1);
    const salient = randomLayer({ ...SHAPE, keep: 6, salient: true, rows: 128 }, 2);
    const { path } = await writePackedModel(folder, {
      layers: [["a", encodeLayer(plain, { mask: "enumerative", scales: "f16" })], [
        "b",
        encodeLayer(salient, { mask: "bitmask", scales: "f32" }),
      ]],
      others: [["norm", { dtype: "F32", shape: [7], data: new Float32Array(7) }]],
      config: {},
      tokenizer: undefined,
      source: {},
    });
    const { layers: [a, b], ...all } = await inspectPacked(folder);

    assert.deepEqual([a.nominal, a.shares.salient, a.storing], [0.5, 0, 2 + 1 / 128]);
    assert.equal(a.stored.scales, 16 * 6 / 128);
    assert.equal(a.stored.signs, 0.5);
    // 64 patterns a row: nine tiles of seven in 43 bits, one of one in 7.
    assert.equal(a.stored.mask, (9 * 43 + 7) / 512);

    const columns = new Set<number>();
    salient.codes.forEach((code, i) => code & KEPT && code >>> 3 === 0 && columns.add(i % 512));
    const twice = salient.codes.filter((code) => code & KEPT && code >>> 3 === 0).length;
    assert.equal(b.shares.salient, columns.size / 512);
    assert.ok(columns.size > 0 && salient.codes.some((code) => code & SECOND_SIGN));
    assert.equal(b.nominal, (1 + columns.size / 512) * 0.75);
    assert.equal(b.stored.mask, 1);
    assert.equal(b.stored.scales, 32 * 9 / 128);
    assert.ok(Math.abs(b.stored.signs - (0.75 + twice / b.weights)) < 32 / b.weights);

    const size = (await stat(path)).size;
    assert.equal(all.bytes, size);
    assert.equal(all.parts.layers + all.parts.others + all.parts.header, size);
    assert.deepEqual([all.parts.others, all.parts.layers], [28, a.bytes + b.bytes]);
    assert.deepEqual([all.weights, all.parameters], [64 * 512 * 3, 64 * 512 * 3 + 7]);
    assert.equal(all.model, 8 * size / all.parameters);
    assert.ok(Math.abs(all.stored.total - 8 * all.parts.layers / all.weights) < 1e-12);
    assert.ok(Math.abs(all.nominal - (a.nominal + 2 * b.nominal) / 3) < 1e-12);
  } finally {
    await rm(folder, { recursive: true });
  }
});
