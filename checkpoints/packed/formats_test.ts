import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRandom, randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { readSafetensors } from "../../files/safetensors.ts";
import { InputError } from "../../files/input_error.ts";
import { inspectPacked } from "./bits.ts";
import type { LayerContent } from "./format.ts";
import { FORMATS, fromRecord, toRecord } from "./formats.ts";
import { openPacked } from "./open.ts";
import { encodeLayer, planes } from "./planes.ts";
import { signFormat } from "./sign_format_test_support.ts";
import { writePackedModel } from "./write.ts";

const BOTH = { formats: [...FORMATS, signFormat] };

function signContent(rows: number, cols: number): LayerContent {
  const random = makeRandom(5);
  const signs = Uint8Array.from({ length: rows * cols }, () => random() < 0.5 ? 1 : 0);
  const scales = Float32Array.from({ length: rows }, (_, row) => (1 + row) / 4);
  return {
    format: "sign",
    rows,
    cols,
    facts: {},
    arrays: {
      signs: { dtype: "U8", shape: [rows, cols], data: signs },
      scales: { dtype: "F32", shape: [rows], data: scales },
    },
  };
}

Deno.test("FORMATS: no name twice, every plane in one component, no component called total", () => {
  for (const format of [...FORMATS, signFormat]) {
    assert.equal(BOTH.formats.filter(({ name }) => name === format.name).length, 1);
    const counted = format.components.flatMap((component) => component.planes);
    assert.deepEqual(counted.toSorted(), format.planes.toSorted(), format.name);
    assert.ok(format.required.every((plane) => format.planes.includes(plane)), format.name);
    assert.ok(format.components.every(({ name }) => name !== "total"), format.name);
  }
});

Deno.test("a second format: written, opened, decoded and counted beside bit planes by code that knows neither", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-formats-"));
  try {
    const content = signContent(16, 128);
    const shape = { rows: 16, cols: 256, groupSize: 128, keep: 4, of: 8, segments: 1, salient: false } as const;
    const binary = encodeLayer(randomLayer({ ...shape, type: "semi-structured" }, 1), {
      mask: "bitmask",
      scales: "f16",
    });
    const sign = await signFormat.pack(content, { scales: "f16", mask: "enumerative" });
    const parts = { others: [], config: {}, tokenizer: undefined, source: {} };
    const { path } = await writePackedModel(folder, { ...parts, layers: [["a", sign], ["b", binary]] }, BOTH);

    const packed = await openPacked(folder, BOTH);
    try {
      assert.deepEqual(await packed.layer("a"), content);
      const signs = content.arrays.signs.data, scales = content.arrays.scales.data;
      const weights = Float32Array.from(
        { length: 16 * 128 },
        (_, i) => (signs[i] ? 1 : -1) * Number(scales[Math.floor(i / 128)]),
      );
      assert.deepEqual(await packed.read("a.weight"), weights);
      assert.deepEqual(await packed.read("b.weight"), await planes.decode(binary));
      assert.deepEqual(packed.tensors.get("a.weight")?.shape, [16, 128]);
      await packed.verify();
    } finally {
      packed.close();
    }

    const { layers: [a, b], ...all } = await inspectPacked(folder, BOTH);
    assert.deepEqual([a.format, a.nominal, a.storing, a.stored], ["sign", 1, undefined, {
      signs: 1,
      scales: 16 / 128,
      total: 1 + 16 / 128,
    }]);
    assert.equal(b.stored.total, 1 + 0.5 + 16 * 2 / 128);
    const mean = (one: number, two: number) => (one + 2 * two) / 3;
    assert.deepEqual(Object.keys(all.stored), ["signs", "scales", "mask", "segments", "total"]);
    assert.equal(all.stored.mask, mean(0, 1));
    assert.equal(all.stored.total, mean(a.stored.total, b.stored.total));
    assert.equal(all.nominal, mean(1, 0.5));
    assert.deepEqual(all.formats, ["sign", "planes"]);
    assert.deepEqual(all.components.map(({ label }) => label), [
      "signs",
      "scales",
      "mask",
      "segment and salient marks",
    ]);
    assert.deepEqual([all.storing, all.of, all.groupSize], [undefined, undefined, undefined]);
    assert.equal(all.parts.layers + all.parts.others + all.parts.header, (await stat(path)).size);

    const { metadata } = await readSafetensors(path);
    const records: Record<string, Record<string, unknown>> = JSON.parse(metadata.layers);
    assert.deepEqual(records.a, { format: "sign", rows: 16, cols: 128 });
    // As files of version 1 have it since the first one: sorted, and bit planes are not named.
    const keys = ["cols", "groupSize", "keep", "mask", "of", "rows", "salient", "scales", "segments", "type"];
    assert.deepEqual(Object.keys(records.b), keys);

    const unknown = /Cannot read layers of format "sign": this version knows .*planes.*; use a newer pbs2p$/;
    await assert.rejects(
      openPacked(folder),
      (error: unknown) => error instanceof InputError && unknown.test(error.message),
    );
    await assert.rejects(writePackedModel(folder, { ...parts, layers: [["a", sign]] }), InputError);
    const stray = { ...binary, tensors: { ...binary.tensors, zeros: binary.tensors.mask } };
    await assert.rejects(writePackedModel(folder, { ...parts, layers: [["b", stray]] }), /tensor "zeros" of layer "b"/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("fromRecord(toRecord(x)) is x, and headers of another format are refused", async () => {
  const { tensors: _tensors, ...info } = await signFormat.pack(signContent(2, 32), {});
  assert.deepEqual(fromRecord(toRecord(info), BOTH.formats), info);
  for (const record of [{ rows: 2, cols: 32 }, { format: "sign", rows: 2, cols: 32, keep: 4 }]) {
    assert.throws(() => fromRecord(record, BOTH.formats), { name: "ZodError" });
  }
  for (const format of ["unheard", 1, null, ["sign"]]) {
    assert.throws(() => fromRecord({ format, rows: 2, cols: 32 }, BOTH.formats), InputError);
  }
});
