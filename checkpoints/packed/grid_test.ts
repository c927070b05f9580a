import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { Tensor } from "../../files/safetensors.ts";
import { fixedWords, packFixed, unpackFixed } from "./fixed_bits.ts";
import type { EncodedLayer, LayerContent } from "./format.ts";
import { contentOf, decodeGridLayer, encodeLayer, grid, type GridHeader, layerOf, restoreLayer } from "./grid.ts";
import { type GridShape, randomGrid } from "./grid_test_support.ts";

const shapes = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  cols: fc.integer({ min: 1, max: 70 }),
  bits: fc.integer({ min: 1, max: 8 }),
  groupSize: fc.integer({ min: 1, max: 80 }),
  ordered: fc.boolean(),
}).chain((shape) => fc.constantFrom("minmax" as const, "sign" as const).map((grid): GridShape => ({ ...shape, grid })));

const SHAPE = { rows: 5, cols: 37, bits: 3, groupSize: 16, grid: "minmax", ordered: true } as const;

Deno.test("unpackFixed(packFixed(x)) is x in as many bits as were asked for, and nothing else is read", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 8 }), fc.uint8Array({ maxLength: 200 }), (bits, bytes) => {
    const values = bytes.map((byte) => byte >>> (8 - bits)), words = packFixed(values, bits);
    assert.equal(words.length, fixedWords(values.length, bits));
    assert.deepEqual(unpackFixed(words, values.length, bits), values);
    values.forEach((value, i) => {
      for (let b = 0; b < bits; b++) {
        const at = i * bits + b;
        assert.equal(words[at >>> 5] >>> (at & 31) & 1, value >>> b & 1);
      }
    });
    assert.throws(() => unpackFixed(new Uint32Array(words.length + 1), values.length, bits), { name: "RangeError" });
  }));
  assert.throws(() => packFixed(Uint8Array.of(1, 4), 2), /code 1 as it must have 2 bits: current value is 4/);
  assert.throws(() => unpackFixed(Uint32Array.of(2 ** 31), 3, 3), /bits are set behind the last/);
});

Deno.test("restoreLayer(encodeLayer(x)) is x for every width, shape and order", () => {
  fc.assert(
    fc.property(shapes, fc.constantFrom("f16" as const, "f32" as const), fc.integer(), (shape, scales, seed) => {
      const layer = randomGrid(shape, seed), encoded = encodeLayer(layer, { scales });
      assert.deepEqual(grid.header.parse(encoded.header), encoded.header);
      assert.deepEqual(restoreLayer(encoded), layer);
    }),
    { numRuns: 300 },
  );
});

Deno.test("grid packs, unpacks and decodes; what is stored takes the bits that are counted", async () => {
  const layer = randomGrid(SHAPE, 1), content = contentOf(layer);
  const encoded = await grid.pack(content, { scales: "f16", mask: "of another format" });
  assert.deepEqual(encoded, encodeLayer(layer, { scales: "f16" }));
  assert.deepEqual(grid.unpack(encoded), content);
  assert.deepEqual(layerOf(content), layer);
  const bytes = Object.entries(encoded.tensors).map(([name, { data }]) => [name, data.byteLength]);
  assert.deepEqual(Object.fromEntries(bytes), { codes: 4 * 18, scales: 2 * 15, zeros: 4 * 2, order: 2 * 37 });
  const { rows, cols, codes, scales, zeros, order } = layer, decoded = await grid.decode(encoded);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < cols; j++) {
      const group = row * 3 + Math.floor(j / 16), at = row * cols + (order?.[j] ?? j);
      assert.equal(decoded[at], Math.fround((codes[row * cols + j] - zeros[group]) * scales[group]));
    }
  }
  const figures = await grid.figures({ header: encoded.header, plane: () => Promise.resolve(undefined) });
  assert.deepEqual([figures.nominal, figures.storing, figures.groupSize], [3, 19 / 16, 16]);
  const signs = randomGrid({ ...SHAPE, grid: "sign" }, 2);
  assert.deepEqual(
    decodeGridLayer({ ...signs, order: undefined }).map(Math.sign),
    Float32Array.from(signs.codes, (code, at) => {
      return (2 * code - 1) * Math.sign(signs.scales[3 * Math.floor(at / cols) + Math.floor(at % cols / 16)]);
    }),
  );
});

Deno.test("encodeLayer() stores scales that float16 would lose in units that the header announces", () => {
  const plain = randomGrid(SHAPE, 3),
    scales = plain.scales.map((scale, i) => Math.max(scale, 2 ** -9) * 2 ** (i === 7 ? -90 : -40));
  const layer = { ...plain, scales, exponent: -40 }, encoded = encodeLayer(layer, { scales: "f16" });
  assert.deepEqual(restoreLayer(encoded), layer);
  assert.deepEqual([encoded.header.exponent, encoded.tensors.units.shape], [-40, [1, 2]]);
  assert.deepEqual(restoreLayer(encodeLayer(layer, { scales: "f32" })), { ...plain, scales });
  const { exponent: _, ...unannounced } = encoded.header;
  assert.throws(() => restoreLayer({ ...encoded, header: unannounced }), /the header must say exponent/);
  for (const bad of [65520, NaN, -Infinity]) {
    const broken = { ...plain, scales: plain.scales.with(0, bad) };
    assert.throws(() => encodeLayer(broken, { scales: "f16" }), { name: "RangeError", message: new RegExp(`${bad}`) });
  }
});

Deno.test("grid refuses content and tensors that are not what their facts say", async () => {
  const content = contentOf(randomGrid(SHAPE, 4)), encoded = encodeLayer(layerOf(content), { scales: "f16" });
  const arrays = (change: Readonly<Record<string, Tensor | undefined>>): LayerContent => {
    const kept = Object.entries({ ...content.arrays, ...change }).filter(([, tensor]) => tensor !== undefined);
    return { ...content, arrays: Object.fromEntries(kept) as LayerContent["arrays"] };
  };
  const bad: readonly LayerContent[] = [
    { ...content, format: "planes" },
    arrays({ zeros: undefined }),
    arrays({ order: undefined }),
    arrays({ codes: { dtype: "U8", shape: [1], data: Uint8Array.of(1) } }),
    arrays({ order: { dtype: "U32", shape: [37], data: new Uint32Array(37) } }),
    arrays({ codes: { dtype: "U8", shape: [5, 37], data: new Uint8Array(185).fill(8) } }),
  ];
  for (const each of bad) await assert.rejects(grid.pack(each, { scales: "f16" }), { name: "RangeError" });
  await assert.rejects(grid.pack(content, { scales: "f8" }), { name: "ZodError" });

  const header = (change: Partial<GridHeader>): EncodedLayer<GridHeader> => ({
    ...encoded,
    header: { ...encoded.header, ...change },
  });
  const tensors = (change: Readonly<Record<string, Tensor>>): EncodedLayer<GridHeader> => ({
    ...encoded,
    tensors: { ...encoded.tensors, ...change },
  });
  const most = 2 ** 31 - 1;
  const broken: readonly EncodedLayer<GridHeader>[] = [
    header({ bits: 4 }),
    header({ rows: 6 }),
    header({ rows: most, cols: most, groupSize: most }),
    header({ rows: most, cols: 1 }),
    header({ groupSize: 8 }),
    header({ grid: "sign" }),
    header({ grid: "sign", bits: 1 }),
    header({ ordered: false }),
    header({ scales: "f32" }),
    tensors({ order: { dtype: "U16", shape: [37], data: new Uint16Array(37).fill(9) } }),
    tensors({ codes: { dtype: "I32", shape: [18], data: new Int32Array(18) } }),
    tensors({ zeros: { dtype: "U32", shape: [2], data: new Uint32Array(2).fill(2 ** 32 - 1) } }),
    tensors({ units: { dtype: "I32", shape: [1, 2], data: Int32Array.of(0, 1) } }),
  ];
  for (const each of broken) assert.throws(() => grid.unpack(each), { name: "RangeError" });
  for (const bad of [{ bits: 9 }, { bits: 0 }, { rows: 2 ** 31 }, { groupSize: 0 }, { exponent: 1e9 }, { grid: "x" }]) {
    assert.equal(grid.header.safeParse({ ...encoded.header, ...bad }).success, false, JSON.stringify(bad));
  }
});

Deno.test("a spoilt header or plane of a grid gives a layer of its shape or a RangeError", async () => {
  const encoded = encodeLayer(randomGrid(SHAPE, 5), { scales: "f16" });
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        rows: fc.constantFrom(1, 5, 37, 2 ** 20),
        cols: fc.constantFrom(1, 5, 37, 2 ** 20),
        bits: fc.integer({ min: 1, max: 8 }),
        groupSize: fc.constantFrom(1, 16, 37, 2 ** 20),
        grid: fc.constantFrom("minmax" as const, "sign" as const),
        ordered: fc.boolean(),
        scales: fc.constantFrom("f16" as const, "f32" as const),
      }, { requiredKeys: [] }),
      fc.constantFrom("codes", "scales", "zeros", "order", "none"),
      fc.integer(),
      async (change, plane, place) => {
        const tensors: Record<string, Tensor> = structuredClone(encoded.tensors);
        const data = tensors[plane]?.data;
        if (data instanceof Uint32Array || data instanceof Uint16Array) data[Math.abs(place) % data.length] ^= place;
        const header = { ...encoded.header, ...change };
        try {
          assert.equal((await grid.decode({ ...encoded, header, tensors })).length, header.rows * header.cols);
        } catch (error) {
          assert.ok(error instanceof RangeError, `${error}`);
        }
      },
    ),
    { numRuns: 500 },
  );
});
