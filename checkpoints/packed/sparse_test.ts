import assert from "node:assert/strict";
import * as fc from "fast-check";
import { type LayerShape, layerShapes, makeRandom } from "../../kernels/binary/quantized_layer_test_support.ts";
import { rankNM } from "../../kernels/scores/ops.ts";
import type { EncodedLayer, LayerContent } from "./format.ts";
import { sparse, type SparseHeader } from "./sparse.ts";

type Shape = Pick<LayerShape, "rows" | "cols" | "groupSize" | "keep" | "of" | "type">;

const SHAPE: Shape = { rows: 24, cols: 192, groupSize: 128, keep: 4, of: 8, type: "semi-structured" };
const OPTIONS = { mask: "enumerative", scales: "f16" } as const;

/** A random pruned layer: masks as `rankNM` makes them in each group, values that float16 holds. */
function randomContent(
  { rows, cols, groupSize, keep, of, type: kind }: Shape,
  seed: number,
  values: "f16" | "f32",
): LayerContent {
  const random = makeRandom(seed), kept = new Uint8Array(rows * cols), weights = new Float32Array(rows * cols);
  const shape = { keep, of, type: kind }, facts = { groupSize, ...shape, values };
  for (let col = 0; col < cols; col += groupSize) {
    const width = Math.min(groupSize, cols - col), rank = new Uint8Array(rows * width);
    const score = Float32Array.from(rank, random), type = shape.type === "semi-structured" ? "none" : shape.type;
    rankNM(rank, score, { rows, cols: width, of: shape.of, type });
    rank.forEach((value, i) => {
      kept[Math.floor(i / width) * cols + col + i % width] = value >= shape.of - shape.keep ? 1 : 0;
    });
  }
  // Groups of any size may cut runs of M here, which recipes refuse.
  if (shape.type === "semi-structured") {
    const rank = new Uint8Array(rows * cols);
    rankNM(rank, Float32Array.from(rank, random), { rows, cols, of: shape.of, type: shape.type });
    rank.forEach((value, i) => kept[i] = value >= shape.of - shape.keep ? 1 : 0);
  }
  kept.forEach((mark, i) =>
    weights[i] = mark === 0 ? 0 : values === "f16" ? Math.f16round(random() - 0.5) : random() - 0.5
  );
  return {
    format: "sparse",
    rows,
    cols,
    facts,
    arrays: {
      kept: { dtype: "U8", shape: [rows, cols], data: kept },
      values: { dtype: "F32", shape: [rows, cols], data: weights },
    },
  };
}

Deno.test("sparse.unpack(sparse.pack(x)) is x for every type, size and N:M", async () => {
  await fc.assert(
    fc.asyncProperty(
      layerShapes,
      fc.constantFrom("enumerative" as const, "bitmask" as const),
      fc.constantFrom("f16" as const, "f32" as const),
      fc.integer(),
      async (shape, mask, values, seed) => {
        const content = randomContent(shape, seed, values);
        if (content.arrays.kept.data.every((mark) => mark === 0)) {
          await assert.rejects(async () => await sparse.pack(content, { mask }), /one at least: current value is 0/);
          return;
        }
        const encoded = await sparse.pack(content, { mask, scales: "f32" });
        assert.deepEqual(sparse.unpack(encoded), content);
        assert.deepEqual(await sparse.decode(encoded), content.arrays.values.data);
        assert.equal(encoded.tensors.units, undefined);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("sparse takes 16·N/M bits a weight and log2 C(M,N)/M for where they are", async () => {
  const encoded = await sparse.pack(randomContent(SHAPE, 1, "f16"), OPTIONS), weights = 24 * 192;
  assert.equal(encoded.tensors.values.data.byteLength * 8 / weights, 8);
  const bits = encoded.tensors.mask.data.byteLength * 8 / weights;
  assert.ok(bits >= Math.log2(70) / 8 && bits < Math.log2(70) / 8 + 0.01, `${bits}`);
  const figures = await sparse.figures({ header: encoded.header, plane: () => Promise.resolve(undefined) });
  assert.deepEqual([figures.nominal, figures.of, figures.cells], [8, 8, { "N:M": "4:8" }]);
});

Deno.test("sparse stores what float16 would lose in units that the header announces", async () => {
  const plain = randomContent(SHAPE, 3, "f16"), values = plain.arrays.values.data;
  // Row 3's second group lies far below, row 5's far above; row 7 holds what only a unit of its own does, its largest value left out.
  const scaled = Float32Array.from(values, Number).map((value, i) => {
    const row = Math.floor(i / 192), second = i % 192 >= 128;
    return value * 2 ** (row === 3 && second ? -90 : row === 5 ? 40 : row === 7 ? -20 : 0);
  });
  const content = (facts: LayerContent["facts"]): LayerContent => ({
    ...plain,
    facts: { ...plain.facts, ...facts },
    arrays: { ...plain.arrays, values: { dtype: "F32", shape: [24, 192], data: scaled } },
  });
  const announced = content({ exponent: 0 }), encoded = await sparse.pack(announced, OPTIONS);
  assert.deepEqual(sparse.unpack(encoded), announced);
  const units = encoded.tensors.units.data;
  assert.deepEqual([...units].filter((_, i) => i % 2 === 0), [7, 10, 11, 14, 15]);
  await assert.rejects(async () => await sparse.pack(content({}), OPTIONS), {
    name: "RangeError",
    message: /Cannot pack value \d+ of row 3 as f16/,
  });
  const { exponent: _, ...unannounced } = encoded.header;
  assert.throws(
    () => sparse.unpack({ ...encoded, header: unannounced }),
    /units of values: the header must say exponent/,
  );
  for (const broken of [[48, 1], [-1, 1], [7, 0], [7, 1000], [7, 1, 7, 1], [7]]) {
    const tensor = { dtype: "I32", shape: [broken.length / 2, 2], data: Int32Array.from(broken) } as const;
    assert.throws(
      () => sparse.unpack({ ...encoded, tensors: { ...encoded.tensors, units: tensor } }),
      { name: "RangeError", message: /Cannot unpack units of values: (entry \d of \d|the header)/ },
    );
  }
  for (const bad of [NaN, Infinity, 0.1]) {
    const data = scaled.slice();
    data[data.findIndex((value) => value !== 0)] = bad;
    const arrays = { ...plain.arrays, values: { dtype: "F32", shape: [24, 192], data } as const };
    await assert.rejects(
      async () => await sparse.pack({ ...announced, arrays }, OPTIONS),
      /Cannot pack value \d+ (as it is not finite|of row 0)/,
    );
  }
});

Deno.test("sparse refuses layers that break their promise", async () => {
  const plain = randomContent(SHAPE, 4, "f32"), { kept, values } = plain.arrays;
  const rejected = (arrays: LayerContent["arrays"], message: RegExp) =>
    assert.rejects(async () => await sparse.pack({ ...plain, arrays }, OPTIONS), { name: "RangeError", message });
  const at = kept.data.findIndex((mark) => mark === 1), other = kept.data.findIndex((mark) => mark === 0);
  const marks = Uint8Array.from(kept.data, Number), weights = Float32Array.from(values.data, Number);
  await rejected(
    { kept: { ...kept, data: marks.with(at, 0) }, values: { ...values, data: weights.with(at, 0) } },
    /keeps 2304/,
  );
  await rejected({ kept, values: { ...values, data: weights.with(other, 1) } }, /is pruned: it is 1, not 0/);
  const moved = marks.with(at, 0).with(marks.lastIndexOf(0), 1);
  await rejected(
    { kept: { ...kept, data: moved }, values: { ...values, data: weights.with(at, 0) } },
    /4 of every 8 are kept/,
  );
  await rejected({ kept, values: { ...values, data: weights.subarray(8) } }, /takes 4608 marks and values/);
  await rejected({ kept }, /kept in U8 and values in F32: current value is "sparse" with kept in U8/);
});

Deno.test("sparse refuses hostile layers before anything of their size is made", async () => {
  const encoded = await sparse.pack(randomContent(SHAPE, 5, "f16"), OPTIONS), { header, tensors } = encoded;
  const refuse = (change: Partial<SparseHeader>, planes: EncodedLayer["tensors"] = tensors) =>
    assert.throws(() => sparse.unpack({ ...encoded, header: { ...header, ...change }, tensors: planes }), {
      name: "RangeError",
    }, JSON.stringify(change));
  const large = 46_336;
  for (const type of ["semi-structured", "unstructured", "structured", "none"] as const) {
    for (const mask of ["enumerative", "bitmask"] as const) {
      refuse({ rows: large, cols: large, type, mask });
      refuse({ rows: large, cols: large, type, mask, keep: 1, of: 256, groupSize: 1 });
      refuse({ rows: large, cols: 192, type, mask });
    }
  }
  refuse({ values: "f32" });
  refuse({ keep: 9 });
  refuse({ cols: 191, rows: 24 });
  const { mask: _, ...maskless } = tensors;
  refuse({}, maskless);
  refuse({}, { mask: tensors.mask });
  refuse({}, { ...tensors, mask: { dtype: "U32", shape: [1], data: Uint32Array.of(1) } });
  for (const bad of [{ rows: 0 }, { of: 257 }, { values: "f8" }, { exponent: 1000 }, { extra: 1 }]) {
    assert.throws(() => sparse.header.parse({ ...header, ...bad }), { name: "ZodError" });
  }
});

Deno.test("any changed word of a pruned layer's planes is decoded or refused with a RangeError", async () => {
  for (const type of ["semi-structured", "unstructured", "structured"] as const) {
    for (const mask of ["enumerative", "bitmask"] as const) {
      const encoded = await sparse.pack(randomContent({ ...SHAPE, rows: 3, type }, 6, "f16"), { mask });
      const words = encoded.tensors.mask.data;
      for (let i = 0; i < words.length; i++) {
        const data = Uint32Array.from(words, Number).with(i, Number(words[i]) ^ (1 + 0x10001 * i));
        const changed = {
          ...encoded,
          tensors: { ...encoded.tensors, mask: { ...encoded.tensors.mask, data } as const },
        };
        try {
          sparse.unpack(changed);
        } catch (error) {
          assert.ok(error instanceof RangeError, `${error}`);
        }
      }
    }
  }
});
