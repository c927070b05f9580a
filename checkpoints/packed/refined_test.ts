import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { Tensor } from "../../files/safetensors.ts";
import { GROUP_SHIFT, KEPT } from "../../kernels/binary/ops.ts";
import { productsPerRow } from "../../kernels/refinement/ops.ts";
import type { EncodedLayer } from "./format.ts";
import { contentOf, layerOf, refined, type RefinedHeader } from "./refined.ts";
import { decodeRefinedLayer, shapeOf } from "./refined_layer.ts";
import { randomLayer } from "./refined_test_support.ts";

const shapes = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  cols: fc.integer({ min: 1, max: 40 }),
  groupSize: fc.integer({ min: 1, max: 48 }),
  levels: fc.constantFrom("means" as const, "products" as const),
  columnGroups: fc.boolean(),
  seed: fc.integer(),
});

Deno.test("refined: unpack(pack(x)) is x, in both types of scales, and decodes to the same weights", async () => {
  await fc.assert(fc.asyncProperty(shapes, fc.constantFrom("f16", "f32"), async (shape, scales) => {
    const layer = randomLayer(shape), wanted = decodeRefinedLayer(layer);
    const encoded = await refined.pack(contentOf(layer), { scales, mask: "enumerative" });
    assert.deepEqual(refined.header.parse(encoded.header), encoded.header);
    assert.deepEqual(layerOf(refined.unpack(encoded)), layer);
    assert.deepEqual(await refined.decode(encoded), wanted);
  }));
});

Deno.test("refined: scales that float16 would lose are kept in units, of rows and of columns", async () => {
  for (const columnGroups of [false, true]) {
    const plain = randomLayer({ rows: 6, cols: 20, groupSize: 8, levels: "products", columnGroups, seed: 5 });
    const { columnScales = new Float32Array(0) } = plain, each = productsPerRow(shapeOf(plain));
    const layer = {
      ...plain,
      scales: plain.scales.map((x, i) => x * 2 ** (i < 3 * each ? -60 : -30)),
      columnScales: columnScales.map((x, i) => x * (Math.floor(i / each) === 2 ? 2 ** -40 : 1)),
      exponent: -30,
    };
    const encoded = await refined.pack(contentOf(layer), { scales: "f16" });
    assert.ok(encoded.tensors.units && encoded.tensors.column_units);
    assert.deepEqual(layerOf(refined.unpack(encoded)), layer);
    const { exponent: _none, ...header } = encoded.header;
    assert.throws(() => refined.unpack({ ...encoded, header }), /Cannot unpack units: the header must say exponent/);
  }
});

Deno.test("refined: bits are counted by component, and nominal ones as 1 + r", async () => {
  const layer = randomLayer({ rows: 64, cols: 256, groupSize: 128, levels: "means", columnGroups: true, seed: 3 });
  const encoded = await refined.pack(contentOf(layer), { scales: "f16" });
  const bits = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + 8 * (encoded.tensors[name]?.data.byteLength ?? 0), 0) / (64 * 256);
  const [signs, segments, scales, columns] = refined.components.map(({ planes }) => bits(planes));
  const plane = (name: string) => Promise.resolve(encoded.tensors[name]);
  const { nominal, shares } = await refined.figures({ header: encoded.header, plane });
  assert.equal(nominal, 1 + shares.salient);
  assert.deepEqual([signs, segments, scales, columns], [nominal, 1 + 1 / 64, 10 * 16 / 128, 0]);
});

Deno.test("refined: what packing cannot have written is refused, before anything of a header's size is made", async () => {
  const layer = randomLayer({ rows: 5, cols: 24, groupSize: 16, levels: "products", columnGroups: true, seed: 9 });
  const encoded = await refined.pack(contentOf(layer), { scales: "f16" }), { header, tensors } = encoded;
  const without = (name: string) => Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name));
  const word = (name: string, change: (words: Uint32Array) => void) => {
    const data = Uint32Array.from(tensors[name].data, Number);
    change(data);
    return { ...tensors, [name]: { dtype: "U32", shape: [data.length], data } } as const;
  };
  const huge = { ...header, rows: 2 ** 30, cols: 2 ** 30 };
  const broken: readonly [EncodedLayer<RefinedHeader>, RegExp][] = [
    [{ ...encoded, header: huge }, /Cannot unpack plane salient: 1073741824 bits take/],
    [{ ...encoded, header: { ...header, rows: 2 ** 31 - 1 } }, /Cannot unpack plane signs/],
    [{ ...encoded, header: { ...header, groupSize: 8 } }, /Cannot unpack scales: F16 \[5, 3, 6\] was expected/],
    [{ ...encoded, header: { ...header, columnGroups: false } }, /Cannot unpack plane column_groups/],
    [{ ...encoded, header: { ...header, levels: "means" } }, /Cannot unpack scales: F16 \[5, 2, 10\]/],
    [{ ...encoded, tensors: without("column_scales") }, /Cannot unpack column_scales: F16 .* current value is nothing/],
    [{ ...encoded, tensors: without("second_signs") }, /Cannot unpack plane second_signs/],
    [{ ...encoded, tensors: word("salient", (words) => words[0] ^= 1) }, /Cannot unpack plane/],
    [{ ...encoded, tensors: word("salient", (words) => words[0] |= 1 << 31) }, /the padding after bit 24 is not zero/],
    [{ ...encoded, header: { ...header, scales: "f32" } }, /Cannot unpack scales: F32/],
  ];
  for (const [layer, message] of broken) assert.throws(() => refined.unpack(layer), { name: "RangeError", message });
});

Deno.test("refined: spoilt planes and headers are read or refused, and nothing else", async () => {
  const mutation = fc.record({
    at: fc.nat(),
    bits: fc.nat({ max: 2 ** 31 - 1 }),
    key: fc.nat(),
    value: fc.integer({ min: 1 }),
  });
  await fc.assert(fc.asyncProperty(shapes, mutation, async (shape, { at, bits, key, value }) => {
    const { header, tensors } = await refined.pack(contentOf(randomLayer(shape)), { scales: "f16" });
    const names = Object.keys(tensors), name = names[key % names.length], { dtype, shape: of, data } = tensors[name];
    const spoilt = data.slice();
    spoilt[at % Math.max(spoilt.length, 1)] = bits;
    const size = (["rows", "cols", "groupSize"] as const)[key % 3];
    const broken = [
      { format: "refined", header, tensors: { ...tensors, [name]: { dtype, shape: of, data: spoilt } as Tensor } },
      {
        format: "refined",
        header,
        tensors: { ...tensors, [name]: { dtype: "U8", shape: [1], data: new Uint8Array(1) } as Tensor },
      },
      { format: "refined", header: { ...header, [size]: value }, tensors },
      { format: "refined", header: { ...header, columnGroups: !header.columnGroups }, tensors },
    ];
    for (const layer of broken) {
      try {
        assert.equal(refined.unpack(layer).arrays.codes.data.length, layer.header.rows * layer.header.cols);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
        assert.match(error.message, /^Cannot unpack /);
      }
    }
  }));
});

Deno.test("refined: codes that break the format's promise are not packed", async () => {
  const layer = randomLayer({ rows: 3, cols: 10, groupSize: 8, levels: "means", columnGroups: false, seed: 2 });
  const change = (code: number) => ({ ...layer, codes: layer.codes.with(11, code) });
  for (const code of [0, KEPT | 3 << GROUP_SHIFT, KEPT | Number(layer.codes[1] >> GROUP_SHIFT === 0) << GROUP_SHIFT]) {
    await assert.rejects(async () => await refined.pack(contentOf(change(code)), { scales: "f16" }), {
      name: "RangeError",
      message: /^Cannot pack code at \[1, 1\]: it must be kept and in one of 3 groups/,
    });
  }
  const large = contentOf({ ...layer, scales: layer.scales.with(4, 1e6) });
  await assert.rejects(
    async () => await refined.pack(large, { scales: "f16" }),
    /Cannot pack scale 4 as F16: it must be finite/,
  );
});
