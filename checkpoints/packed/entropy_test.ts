import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import type { Tensor } from "../../files/safetensors.ts";
import { InputError } from "../../files/input_error.ts";
import { GROUP_SHIFT, KEPT } from "../../kernels/binary/ops.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { randomCodes } from "../../kernels/coding/coding_test_support.ts";
import { inspectPacked } from "./bits.ts";
import { coded, contentOf as codesContent } from "./coded.ts";
import type { EncodedLayer } from "./format.ts";
import { codePlanes, codingOf, formatOf, FORMATS, fromRecord, toRecord } from "./formats.ts";
import { contentOf as gridContent, grid } from "./grid.ts";
import { gridStack } from "./grid_stack.ts";
import { randomGrid } from "./grid_test_support.ts";
import { openPacked } from "./open.ts";
import { encodeLayer } from "./planes.ts";
import { contentOf as refinedContent, refined } from "./refined.ts";
import { randomLayer as randomRefined } from "./refined_test_support.ts";
import { sparse } from "./sparse.ts";
import { stackContent } from "./stack.ts";
import { writePackedModel } from "./write.ts";

const SIZE = { rows: 96, cols: 128, groupSize: 32 } as const;

/** A layer of each format whose planes may be coded, with marks, codes and scales that are not all equally likely. */
async function layers(): Promise<Readonly<Record<string, EncodedLayer>>> {
  const shape = { ...SIZE, keep: 4, of: 8, type: "semi-structured", segments: 3, salient: true } as const;
  const binary = randomLayer(shape, 1);
  // Two of three marks of the last two segments are the first.
  const marks = binary.codes.map((code, i) =>
    code >> GROUP_SHIFT > 1 && i % 3 > 0 ? code & 7 | 1 << GROUP_SHIFT : code
  );
  const arb = randomRefined({ ...SIZE, levels: "products", columnGroups: true, seed: 2 });
  const segments = arb.codes.map((code, i) =>
    code >> GROUP_SHIFT === 3 && i % 5 > 0 ? code & 7 | 2 << GROUP_SHIFT : code
  );
  const minmax = { ...SIZE, bits: 3, grid: "minmax", ordered: true } as const;
  const peaked = (seed: number, rows: number = SIZE.rows) => {
    const layer = randomGrid({ ...minmax, rows }, seed), { codes } = randomGrid({ ...minmax, rows }, seed + 100);
    return gridContent({ ...layer, codes: layer.codes.map((code, i) => code + codes[i] >> 1) });
  };
  const kept = binary.codes.map((code) => code & KEPT), weights = SIZE.rows * SIZE.cols;
  const values = Float32Array.from({ length: weights }, (_, i) => kept[i] * Math.f16round(Math.sin(i) ** 3 + 0.001));
  const facts = { groupSize: 32, keep: 4, of: 8, type: "semi-structured", values: "f16" };
  const arrays = {
    kept: { dtype: "U8", shape: [SIZE.rows, SIZE.cols], data: kept },
    values: { dtype: "F32", shape: [SIZE.rows, SIZE.cols], data: values },
  } as const;
  const { ordered: _ordered, ...plain } = minmax;
  const strip = (seed: number) => gridContent(randomGrid({ ...plain, ordered: false, rows: 48, bits: 5 }, seed));
  return {
    planes: encodeLayer({ ...binary, codes: marks }, { mask: "enumerative", scales: "f16" }),
    "planes, f32": encodeLayer({ ...binary, codes: marks }, { mask: "bitmask", scales: "f32" }),
    refined: await refined.pack(refinedContent({ ...arb, codes: segments }), { scales: "f16" }),
    grid: await grid.pack(peaked(3), { scales: "f16" }),
    sparse: await sparse.pack({ format: "sparse", rows: SIZE.rows, cols: SIZE.cols, facts, arrays }, {
      mask: "bitmask",
    }),
    "grid-stack": await gridStack.pack(stackContent([strip(4), strip(5)]), { scales: "f16" }),
  };
}

const bytes = ({ tensors }: EncodedLayer) => Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);

Deno.test("codePlanes() makes every format's layers smaller, which unpack and decode as they did, to the bit", async () => {
  for (const [what, layer] of Object.entries(await layers())) {
    const packed = codePlanes(structuredClone(layer)), format = formatOf(packed.format), inner = formatOf(layer.format);
    assert.equal(format.name, `${layer.format}-entropy`, what);
    assert.ok(bytes(packed) < 0.98 * bytes(layer), `${what}: ${bytes(packed)} of ${bytes(layer)}`);
    assert.deepEqual(format.unpack(packed), inner.unpack(layer), what);
    assert.deepEqual(await format.decode(packed), await inner.decode(layer), what);
    const { tensors: _tensors, ...info } = packed;
    assert.deepEqual(fromRecord(JSON.parse(JSON.stringify(toRecord(info)))), info, what);
    const { coded } = packed.header as unknown as { readonly coded: Record<string, unknown> };
    for (const [plane, { dtype, shape }] of Object.entries(layer.tensors)) {
      if (plane in coded) {
        assert.deepEqual([coded[plane], packed.tensors[plane].dtype], [[dtype, ...shape], "U16"], what);
      } else assert.deepEqual(packed.tensors[plane], layer.tensors[plane], `${what}, ${plane}`);
    }
    const content = inner.unpack(layer), options = { mask: "enumerative", scales: layer.header.scales ?? "f16" };
    if (!what.includes(",") && what !== "sparse") {
      assert.deepEqual(await format.pack(structuredClone(content), options), packed, what);
    }
  }
});

Deno.test("codePlanes() leaves layers whose planes get no smaller, and those that are entropy-coded as they are", async () => {
  const shape = {
    rows: 16,
    cols: 64,
    groupSize: 64,
    keep: 8,
    of: 8,
    type: "none",
    segments: 1,
    salient: false,
  } as const;
  const { codes, ...layer } = randomLayer(shape, 1),
    scales = new Float32Array(32).map((_, i) => Math.f16round(Math.sin(i)));
  const signs = encodeLayer({ ...layer, codes, scales }, { mask: "bitmask", scales: "f16" });
  assert.equal(codePlanes(signs), signs);
  const trellis = await coded.pack(codesContent(randomCodes({ ...SIZE, states: 8, strip: 96, size: 2, seed: 1 })), {});
  assert.equal(codePlanes(trellis), trellis);
  assert.equal(codingOf("coded"), undefined);
  assert.equal(codingOf("planes-entropy"), undefined);
});

Deno.test("coded planes in a file: opened, counted beside what planes take, and refused by versions that do not know them", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-entropy-"));
  try {
    const { planes, refined } = await layers(), parts = { others: [], config: {}, tokenizer: undefined, source: {} };
    const write = async (...made: readonly EncodedLayer[]) => {
      await writePackedModel(folder, { ...parts, layers: made.map((layer, i) => [`l${i}`, layer] as const) });
      return await inspectPacked(folder);
    };
    const plain = await write(planes, refined);
    const mixed = await write(codePlanes(planes), refined);
    const packed = await openPacked(folder);
    try {
      assert.deepEqual(await packed.read("l0.weight"), await formatOf("planes").decode(planes));
      assert.deepEqual(await packed.layer("l0"), formatOf("planes").unpack(planes));
      await packed.verify();
    } finally {
      packed.close();
    }
    assert.deepEqual([plain.uncoded, plain.layers[0].uncoded], [undefined, undefined]);
    assert.deepEqual(mixed.uncoded, plain.stored);
    assert.deepEqual(mixed.layers[0].uncoded, plain.layers[0].stored);
    assert.ok(mixed.stored.segments < plain.stored.segments && mixed.stored.scales < plain.stored.scales);
    assert.equal(mixed.stored.mask, plain.stored.mask);
    assert.deepEqual([mixed.nominal, mixed.storing, mixed.layers[0].shares], [
      ...[plain.nominal, plain.storing, plain.layers[0].shares],
    ]);
    const before = FORMATS.filter(({ coding }) => coding === undefined);
    await assert.rejects(openPacked(folder, { formats: before }), (error: unknown) =>
      error instanceof InputError &&
      /^Cannot open .*: Cannot read layers of format "planes-entropy": this version knows .*planes.*; use a newer pbs2p$/
        .test(error.message));
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("headers of coded planes are refused that no coding writes", async () => {
  const { planes } = await layers(), { tensors: _tensors, ...info } = codePlanes(planes), record = toRecord(info);
  const { coded } = record as { readonly coded: Readonly<Record<string, readonly unknown[]>> };
  assert.deepEqual(Object.keys(coded).sort(), ["scales", "segments"]);
  const refused: readonly unknown[] = [
    undefined,
    1,
    ["scales"],
    { scales: "F16" },
    { scales: [] },
    { scales: ["F64", 8] },
    { scales: ["F16", -1] },
    { scales: ["F16", 1.5] },
    { scales: ["F16", 2 ** 31] },
    { scales: ["F16", 1, 1, 1, 1, 1] },
    // More than 64 bytes a weight, and so many that they are no number.
    { scales: ["F32", 64 * 96 * 128 / 4 + 1] },
    { scales: ["F32", 2 ** 30, 2 ** 30, 2 ** 30, 2 ** 30] },
    { zeros: ["U32", 8] },
    { __proto__: null, constructor: ["U32", 8] },
  ];
  for (const each of refused) {
    assert.throws(() => fromRecord({ ...record, coded: each }), { name: "ZodError" }, JSON.stringify(each));
  }
  for (const change of [{ keep: 0 }, { rows: 2 ** 31 }, { extra: 1 }]) {
    assert.throws(() => fromRecord({ ...record, ...change }), { name: "ZodError" }, JSON.stringify(change));
  }
  const claims = (changed: unknown): EncodedLayer => ({
    ...codePlanes(planes),
    ...fromRecord({ ...record, coded: changed }),
  });
  const { decode } = formatOf("planes-entropy");
  await assert.rejects(async () => await decode(claims({})), /Cannot unpack|dtype must be U32/);
  await assert.rejects(
    async () => await decode(claims({ ...coded, mask: ["U32", 8] })),
    /plane mask: dtype must be U16/,
  );
  await assert.rejects(async () => await decode(claims({ ...coded, scales: ["F16", 96, 4, 8] })), {
    name: "RangeError",
  });
});

Deno.test("a spoilt plane of a coded layer gives a layer of its shape or a RangeError", async () => {
  const all = Object.values(await layers()).map((layer) => codePlanes(layer));
  const places = fc.constantFrom(
    ...all.flatMap((layer) => Object.keys(layer.tensors).map((plane) => ({ layer, plane }))),
  );
  const change = fc.record({
    at: fc.oneof(fc.nat(20), fc.nat()),
    value: fc.integer({ min: 1, max: 65535 }),
    cut: fc.nat(3),
  });
  await fc.assert(
    fc.asyncProperty(places, change, async ({ layer, plane }, { at, value, cut }) => {
      const tensors: Record<string, Tensor> = structuredClone(layer.tensors), { data } = tensors[plane];
      if (!(data instanceof BigInt64Array)) data[at % data.length] ^= value;
      if (cut === 1) {
        const shorter = data.subarray(1) as Tensor["data"];
        tensors[plane] = { dtype: tensors[plane].dtype, shape: [shorter.length], data: shorter };
      }
      try {
        assert.equal((await formatOf(layer.format).decode({ ...layer, tensors })).length, SIZE.rows * SIZE.cols);
      } catch (error) {
        assert.ok(error instanceof RangeError, `${error}`);
        assert.ok(!/Array|array length/.test(error.message), error.message);
      }
    }),
    { numRuns: 500 },
  );
});
