import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import type { Tensor } from "../../files/safetensors.ts";
import { entropyBits, histogram } from "../../kernels/coding/ops.ts";
import { randomCodes } from "../../kernels/coding/coding_test_support.ts";
import { pointOf, STATES, stepOf, trellisOf } from "../../kernels/trellis/ops.ts";
import { inspectPacked } from "./bits.ts";
import { coded, type CodedHeader, codesOf, contentOf } from "./coded.ts";
import type { EncodedLayer, LayerContent } from "./format.ts";
import { openPacked } from "./open.ts";
import { writePackedModel } from "./write.ts";

const SHAPE = { rows: 30, cols: 22, states: 8, strip: 12, size: 3, seed: 1 } as const;

Deno.test("coded packs, unpacks and decodes: all states, one strip and several", async () => {
  for (const states of STATES) {
    for (const strip of [1, 7, 30, 64]) {
      const layer = randomCodes({ ...SHAPE, states, strip }),
        content = contentOf(layer),
        { next, quantizers } = trellisOf(states);
      assert.deepEqual(codesOf(content), layer);
      const encoded = await coded.pack(content, { scales: "f16", mask: "of another format" });
      assert.deepEqual(coded.header.parse(encoded.header), encoded.header);
      assert.deepEqual(coded.unpack(encoded), content);
      assert.equal("starts" in encoded.tensors, strip < 30);
      const decoded = await coded.decode(encoded);
      for (let j = 0; j < 22; j++) {
        for (let row = 0, state = 0; row < 30; row++) {
          if (row % strip === 0) state = 0;
          const code = layer.codes[row * 22 + j];
          assert.equal(
            decoded[row * 22 + j],
            Math.fround(pointOf(states, quantizers[state], code) * stepOf(layer.steps[j])),
          );
          state = next[2 * state + (code & 1)];
        }
      }
    }
  }
});

Deno.test("coded in a file: opened, decoded, and counted by component beside the entropy of its codes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-coded-"));
  try {
    const layer = randomCodes({ ...SHAPE, rows: 96, cols: 128, strip: 48 }), content = contentOf(layer);
    const encoded = await coded.pack(content, {}), weights = 96 * 128;
    const parts = { others: [], config: {}, tokenizer: undefined, source: {} };
    await writePackedModel(folder, { ...parts, layers: [["a", encoded]] });
    const packed = await openPacked(folder);
    try {
      assert.deepEqual(await packed.layer("a"), content);
      assert.deepEqual(await packed.read("a.weight"), await coded.decode(encoded));
      await packed.verify();
    } finally {
      packed.close();
    }
    const { layers: [a], stored, nominal, formulas } = await inspectPacked(folder), { tensors } = encoded;
    const bits = (...planes: string[]) =>
      planes.reduce((sum, plane) => sum + 8 * tensors[plane].data.byteLength, 0) / weights;
    const over = `${(100 * (stored.total / nominal - 1)).toFixed(1)} %`;
    assert.deepEqual([a.format, a.cells], ["coded", { states: "8", "over entropy": over }]);
    assert.equal(nominal, entropyBits(histogram(layer)) / weights);
    assert.deepEqual([stored.codes, stored.tables], [bits("codes", "starts"), bits("shapes")]);
    assert.deepEqual([stored.sizes, stored.steps], [bits("rows", "columns"), bits("steps")]);
    assert.ok(stored.total > nominal && stored.codes < 1.03 * nominal, `${stored.codes} of ${nominal}`);
    assert.equal(formulas.nominal, "entropy of the codes in their contexts");
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("coded refuses content and tensors that are not what their facts say", async () => {
  const content = contentOf(randomCodes(SHAPE)), encoded = await coded.pack(content, {});
  const arrays = (change: Readonly<Record<string, Tensor>>): LayerContent => ({
    ...content,
    arrays: { ...content.arrays, ...change },
  });
  const { codes, steps } = content.arrays;
  const bad: readonly LayerContent[] = [
    { ...content, format: "grid" },
    { ...content, arrays: { codes } },
    { ...content, rows: 29 },
    arrays({ codes: { ...codes, dtype: "I32", data: new Int32Array(660) } }),
    arrays({ codes: { ...codes, data: new Int16Array(660).fill(-32768) } }),
    arrays({ steps: { ...steps, data: new Float32Array(22).fill(1.01) } }),
    arrays({ steps: { ...steps, data: new Float32Array(22) } }),
  ];
  for (const each of bad) await assert.rejects(coded.pack(each, {}), { name: "RangeError" });
  const wrong = { ...content, facts: { states: 3, strip: 1 } };
  await assert.rejects(coded.pack(wrong, {}), { name: "ZodError" });

  const header = (change: Partial<CodedHeader>): EncodedLayer<CodedHeader> => ({
    ...encoded,
    header: { ...encoded.header, ...change },
  });
  const tensors = (change: Readonly<Record<string, Tensor>>): EncodedLayer<CodedHeader> => ({
    ...encoded,
    tensors: { ...encoded.tensors, ...change },
  });
  const most = 2 ** 31 - 1, { codes: words, shapes } = encoded.tensors;
  const broken: readonly EncodedLayer<CodedHeader>[] = [
    header({ rows: 31 }),
    header({ rows: most, cols: most, strip: most }),
    header({ rows: most, cols: 1, strip: most }),
    header({ states: 1 }),
    header({ strip: 30 }),
    header({ strip: 1 }),
    tensors({ codes: { ...words, dtype: "F16" } }),
    tensors({ codes: { dtype: "U16", shape: [0], data: new Uint16Array(0) } }),
    tensors({ rows: { dtype: "U16", shape: [0], data: new Uint16Array(0) } }),
    tensors({ shapes: { ...shapes, shape: [12] } }),
    tensors({ steps: { dtype: "U16", shape: [1], data: Uint16Array.of(20_000) } }),
    tensors({ columns: { dtype: "U16", shape: [1], data: Uint16Array.of(20_000) } }),
  ];
  for (const each of broken) assert.throws(() => coded.unpack(each), { name: "RangeError" });
  for (const bad of [{ states: 2 }, { strip: 0 }, { rows: 0 }, { cols: 2 ** 31 }, { exponent: 1 }]) {
    assert.equal(coded.header.safeParse({ ...encoded.header, ...bad }).success, false, JSON.stringify(bad));
  }
});

Deno.test("inspectPacked() holds what layers claim to be against the model's shapes, before anything of that size is made", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-coded-"));
  try {
    const zeros = { codes: new Int16Array(4096), rowSizes: new Int8Array(64), columnSizes: new Int8Array(64) };
    const layer = { rows: 64, cols: 64, states: 1, strip: 64, ...zeros, steps: new Int16Array(64) } as const;
    const small = await coded.pack(contentOf(layer), {}), most = 2 ** 15;
    // 2^30 codes in 47 kB, as the likeliest of them take next to nothing.
    const codes = new Uint16Array(most ** 2 / 46_000 + 1);
    const large: EncodedLayer = {
      ...small,
      header: { ...small.header, rows: most, cols: most, strip: most },
      tensors: { ...small.tensors, codes: { dtype: "U16", shape: [codes.length], data: codes } },
    };
    const parts = { others: [], config: {}, tokenizer: undefined, source: {} };
    const inspect = async (made: EncodedLayer, name: string) => {
      await writePackedModel(folder, { ...parts, layers: [["a", made]] });
      return await inspectPacked(folder, { shapes: new Map([[name, [64, 64]]]) });
    };
    assert.equal((await inspect(small, "a.weight")).weights, 4096);
    await assert.rejects(inspect(large, "a.weight"), {
      name: "InputError",
      message:
        /^Cannot read tensor "a.weight" of .* its shape must be \[64,64\]: current value is \[32768,32768\]; give/,
    });
    await assert.rejects(inspect(large, "b.weight"), {
      name: "InputError",
      message: /^Cannot count tensor "a.weight" of .* the model has none of that name; give the config.json/,
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("a spoilt plane of a coded layer gives a layer of its shape or a RangeError", async () => {
  const encoded = await coded.pack(contentOf(randomCodes(SHAPE)), {});
  const places = fc.constantFrom(...Object.keys(encoded.tensors));
  await fc.assert(
    fc.asyncProperty(places, fc.nat(), fc.integer({ min: 1, max: 65535 }), async (plane, at, value) => {
      const tensors: Record<string, Tensor> = structuredClone(encoded.tensors), { data } = tensors[plane];
      if (!(data instanceof BigInt64Array)) data[at % data.length] ^= value;
      try {
        const weights = await coded.decode({ ...encoded, tensors });
        assert.ok(weights.length === 660 && weights.every(Number.isFinite));
      } catch (error) {
        assert.ok(error instanceof RangeError, `${error}`);
      }
    }),
    { numRuns: 500 },
  );
});
