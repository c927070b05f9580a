import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { openFile } from "./byte_source.ts";
import { InputError } from "./input_error.ts";
import { parseHeader, readSafetensors, readTensor, type Tensor, toFloat32, writeSafetensors } from "./safetensors.ts";

const tinyLlama = fileURLToPath(new URL("../configs/models/tiny-llama/model.safetensors", import.meta.url));

/** Runs `body` with a path that does not exist yet, in a folder that is removed afterwards. */
async function withPath<T>(body: (path: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await body(join(folder, "x.safetensors"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A file with any header text and `data` bytes of zeros. */
function craft(header: string, data: number, length = new TextEncoder().encode(header).length): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(text, 8);
  return bytes;
}

const sample: Record<string, Tensor> = {
  weights: { dtype: "F32", shape: [2, 3], data: new Float32Array([0, -0, 1.5, -2, 1e-40, 3e38]) },
  half: { dtype: "F16", shape: [3], data: new Uint16Array([0x3c00, 0x7bff, 0x8001]) },
  brain: { dtype: "BF16", shape: [1, 2], data: new Uint16Array([0x3f80, 0xc000]) },
  ids: { dtype: "I32", shape: [4], data: new Int32Array([1, -1, 2 ** 31 - 1, 0]) },
  long: { dtype: "I64", shape: [1], data: new BigInt64Array([-(2n ** 62n)]) },
  bits: { dtype: "U8", shape: [5], data: new Uint8Array([1, 2, 3, 254, 255]) },
  flags: { dtype: "BOOL", shape: [2], data: new Uint8Array([0, 1]) },
  small: { dtype: "I8", shape: [1], data: new Int8Array([-128]) },
  words: { dtype: "U16", shape: [1], data: new Uint16Array([65535]) },
  count: { dtype: "U32", shape: [], data: new Uint32Array([7]) },
  exact: { dtype: "F64", shape: [1], data: new Float64Array([Math.PI]) },
  empty: { dtype: "F32", shape: [0, 4], data: new Float32Array(0) },
};

Deno.test("writeSafetensors() is undone by readSafetensors() for every type", () =>
  withPath(async (path) => {
    const written = await writeSafetensors(path, sample, { format: "pt", note: "é" });
    const { tensors, metadata } = await readSafetensors(path);
    assert.deepEqual(tensors, { ...sample });
    assert.deepEqual(metadata, { format: "pt", note: "é" });
    const file = await Deno.readFile(path);
    assert.equal(written.bytes, file.length);
    assert.equal(written.sha256, createHash("sha256").update(file).digest("hex"));
  }));

Deno.test("writeSafetensors() gives the same bytes whatever the order of its arguments, data aligned to 8", () =>
  withPath(async (path) => {
    const first = await writeSafetensors(path, sample, { a: "1", b: "2" });
    const reversed = Object.fromEntries(Object.entries(sample).reverse());
    const second = await writeSafetensors(path, reversed, { b: "2", a: "1" });
    assert.equal(first.sha256, second.sha256);
    const source = await openFile(path);
    const header = await parseHeader(source);
    source.close();
    assert.equal(header.dataBegin % 8, 0);
    for (const { dtype, begin } of header.tensors.values()) {
      assert.equal(begin % ({ F64: 8, I64: 8, F32: 4, I32: 4, U32: 4 }[dtype] ?? 1), 0);
    }
  }));

Deno.test("writeSafetensors() refuses data that does not fit its type or shape", () =>
  withPath(async (path) => {
    const wrong: Tensor[] = [
      { dtype: "F32", shape: [2], data: new Float32Array(3) },
      { dtype: "F16", shape: [2], data: new Float32Array(2) },
    ];
    for (const tensor of wrong) {
      await assert.rejects(
        writeSafetensors(path, { q: tensor }),
        (error: Error) => error instanceof RangeError && /"q"/.test(error.message),
      );
    }
  }));

Deno.test("readSafetensors() gives back any float32 tensors under any names", () =>
  withPath((path) =>
    fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ unit: "grapheme" }).filter((n) => n !== "__metadata__"), fc.array(fc.float()), {
          maxKeys: 5,
        }),
        async (lists) => {
          const tensors = Object.fromEntries(
            Object.entries(lists).map(([name, list]): [string, Tensor] => [name, {
              dtype: "F32",
              shape: [list.length],
              data: new Float32Array(list),
            }]),
          );
          await writeSafetensors(path, tensors);
          const back = (await readSafetensors(path)).tensors;
          assert.deepEqual(new Map(Object.entries(back)), new Map(Object.entries(tensors)));
        },
      ),
      { numRuns: 50, seed: 1 },
    )
  ));

Deno.test("parseHeader() refuses corrupt headers, naming file, tensor and sizes", async (t) => {
  const entry = (more: Record<string, unknown>) =>
    JSON.stringify({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...more } });
  const cases: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /x\.safetensors.*it is empty; download it again/],
    ["five bytes", Uint8Array.of(1, 0, 0, 0, 0), /x\.safetensors.*8 bytes.*5 bytes/],
    ["a length beyond the limit", craft("{}", 0, 100_000_001), /100000000.*100000001/],
    ["a length beyond the file", craft("{}", 0, 50), /ends at byte 58.*10 bytes.*truncated/],
    ["no JSON", craft("{,}", 0), /not JSON/],
    ["invalid UTF-8", (() => (craft('"a"', 0).fill(0xff, 9, 10)))(), /not JSON/],
    ["a list", craft("[]", 0), /not a JSON object/],
    ["metadata that is no object", craft('{"__metadata__":[]}', 0), /__metadata__/],
    ["metadata that is no text", craft('{"__metadata__":{"a":1}}', 0), /__metadata__\.a/],
    ["an entry that is no object", craft('{"w":1}', 0), /"w".*not an object/],
    ["no dtype", craft(entry({ dtype: 4 }), 8), /"w".*dtype/],
    ["a negative shape", craft(entry({ shape: [-2] }), 8), /"w".*shape.*\[-2\]/],
    ["a fractional shape", craft(entry({ shape: [1.5] }), 8), /"w".*shape/],
    ["offsets in reverse", craft(entry({ data_offsets: [8, 0] }), 8), /"w".*data_offsets/],
    ["three offsets", craft(entry({ data_offsets: [0, 8, 9] }), 8), /"w".*data_offsets/],
    ["a shape that does not fit", craft(entry({ shape: [3] }), 8), /"w".*12 bytes.*8/],
    ["a huge shape", craft(entry({ shape: [2 ** 30, 2 ** 30] }), 8), /"w".*takes/],
    ["offsets beyond the file", craft(entry({}), 7), /"w" ends at byte.*truncated/],
    [
      "overlapping tensors",
      craft(
        JSON.stringify({
          v: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
          w: { dtype: "U8", shape: [4], data_offsets: [3, 7] },
        }),
        7,
      ),
      /"v" and "w" overlap/,
    ],
    [
      "a gap between tensors",
      craft(
        JSON.stringify({
          v: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
          w: { dtype: "U8", shape: [4], data_offsets: [5, 9] },
        }),
        9,
      ),
      /bytes \d+ to \d+, before tensor "w", belong to no tensor/,
    ],
    ["a rest after the tensors", craft(entry({}), 9), /after its last tensor, belong to no tensor/],
    [
      "a name that occurs twice",
      craft(`${entry({}).slice(0, -1)},${entry({}).slice(1)}`, 8),
      /it has the key "w" twice/,
    ],
    ["an inherited name", craft(entry({}).replace('"w"', '"__proto__"'), 7), /"__proto__" ends at byte/],
    ["a shape beyond a double", craft(entry({ shape: [2 ** 53 - 1, 2 ** 53 - 1, 0] }), 8), /takes 0 bytes/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      withPath(async (path) => {
        await Deno.writeFile(path, bytes);
        await assert.rejects(readSafetensors(path), (error) => {
          assert.ok(error instanceof InputError);
          assert.match(error.message, message);
          return true;
        });
      }));
  }
});

Deno.test("readSafetensors() refuses a file cut at any byte", () =>
  withPath(async (path) => {
    await writeSafetensors(path, { a: sample.weights, b: sample.bits });
    const whole = await Deno.readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await Deno.writeFile(path, whole.subarray(0, length));
      await assert.rejects(readSafetensors(path), InputError, `cut to ${length} bytes`);
    }
  }));

Deno.test("parseHeader() either succeeds or throws an InputError, whatever the bytes", () =>
  withPath((path) =>
    fc.assert(
      fc.asyncProperty(
        fc.json(),
        fc.uint8Array({ maxLength: 16 }),
        fc.integer({ min: 0, max: 80 }),
        async (json, data, wobble) => {
          const length = new TextEncoder().encode(json).length;
          const bytes = craft(json, data.length, wobble < 60 ? length : wobble);
          bytes.set(data, bytes.length - data.length);
          await Deno.writeFile(path, bytes);
          await readSafetensors(path).catch((error) => assert.ok(error instanceof InputError, String(error)));
        },
      ),
      { numRuns: 100, seed: 2 },
    )
  ));

Deno.test("readTensor() names what is missing and what cannot be read", () =>
  withPath(async (path) => {
    await Deno.writeFile(path, craft(JSON.stringify({ w: { dtype: "F8_E4M3", shape: [2], data_offsets: [0, 2] } }), 2));
    const source = await openFile(path);
    const header = await parseHeader(source);
    await assert.rejects(readTensor(source, header, "w"), /"w" of x\.safetensors.*F8_E4M3/);
    await assert.rejects(readTensor(source, header, "v"), /"v" of x\.safetensors.*no such tensor/);
    source.close();
    await assert.rejects(openFile(path + "x"), /no such file/);
  }));

Deno.test("toFloat32() widens exactly and refuses integers", () => {
  assert.deepEqual([...toFloat32(sample.half)], [1, 65504, -(2 ** -24)]);
  assert.deepEqual([...toFloat32(sample.brain)], [1, -2]);
  assert.deepEqual([...toFloat32(sample.exact)], [Math.fround(Math.PI)]);
  assert.equal(toFloat32(sample.weights), sample.weights.data);
  assert.throws(() => toFloat32(sample.ids), /I32/);
});

Deno.test("readTensor() reads a real model, side by side", async () => {
  const source = await openFile(tinyLlama);
  const header = await parseHeader(source);
  const names = [...header.tensors.keys()];
  const together = await Promise.all(names.map((name) => readTensor(source, header, name)));
  for (const [index, name] of names.entries()) {
    const alone = await readTensor(source, header, name);
    assert.deepEqual(together[index], alone);
  }
  source.close();
  assert.ok(names.includes("model.layers.5.mlp.down_proj.weight"));
});
