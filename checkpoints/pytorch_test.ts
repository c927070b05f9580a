import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { ByteSource } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { parseStateDict, readTorchTensor } from "./pytorch.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";
import { encodeZip, memorySource } from "./zip_test_support.ts";

// Fixtures are written by testdata/make_pytorch.py.
const path = (name: string) => fileURLToPath(new URL(`testdata/${name}`, import.meta.url));
const fixture = (name: string) => memorySource(readFileSync(path(name)), name);

async function readAll(source: ByteSource): Promise<Record<string, Tensor>> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, tensor] of await parseStateDict(source)) tensors[name] = await readTorchTensor(source, tensor);
  return tensors;
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("parseStateDict() and readTorchTensor() read what PyTorch saved, bit by bit", async () => {
  const { tensors } = await readSafetensors(path("views.safetensors"));
  assert.equal(Object.keys(tensors).length, 18);
  for (const name of ["views.bin", "views_4.bin"]) {
    const read = await readAll(fixture(name));
    assert.deepEqual(Object.keys(read).sort(), Object.keys(tensors).sort());
    for (const [key, { dtype, shape, data }] of Object.entries(tensors)) {
      assert.deepEqual([read[key].dtype, read[key].shape], [dtype, shape], key);
      assert.deepEqual(Buffer.from(read[key].data.buffer), Buffer.from(data.buffer), key);
    }
  }
});

Deno.test("parseStateDict() reads names and shapes without any tensor's bytes", async () => {
  const source = fixture("tiny_opt/pytorch_model-00001-of-00002.bin");
  const tensors = await parseStateDict(source);
  const { shape, dtype, storage } = tensors.get("decoder.layers.0.fc1.weight") ?? assert.fail();
  assert.deepEqual([shape, dtype, storage.count], [[32, 16], "F16", 512]);
  const large = encodeZip([["a/data.pkl", pickled({ bytes: 4_000_000 })], ["a/data/0", new Uint8Array(4_000_000)]]);
  const remote = memorySource(large);
  await parseStateDict(remote);
  assert.ok(remote.ranges.reduce((sum, [begin, end]) => sum + end - begin, 0) < 70_000);
});

Deno.test("parseStateDict() refuses a pickle that would run a command, and names it", async () => {
  await rejects(
    parseStateDict(fixture("malicious.bin")),
    /malicious\.bin.*"(posix|nt|os)\.system" is none of the names/,
  );
});

Deno.test("parseStateDict() says what to do about other kinds of files", async (t) => {
  const text = (value: string) => new TextEncoder().encode(value);
  const zip = (...members: [string, string | Uint8Array][]) => encodeZip(members);
  const storage = new Uint8Array(16);
  const cases: [string, Uint8Array, RegExp][] = [
    ["the format before 1.6", readFileSync(path("legacy.bin")), /before 1\.6; load it with a current PyTorch/],
    ["a pointer of Git LFS", text("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull/],
    ["an empty file", text(""), /empty/],
    ["a text", text("hello ".repeat(20)), /it is a text that begins with "hello hello.*download it again/],
    ["some other file", Uint8Array.of(1, 2, 3), /no zip directory.*truncated or of another kind/],
    ["a zip file without pickle", zip(["a/b", "c"]), /one member named \*\/data\.pkl: it has 0/],
    ["two pickles", zip(["a/data.pkl", "N."], ["b/data.pkl", "N."]), /it has 2/],
    ["a big-endian file", zip(["a/data.pkl", pickled()], ["a/byteorder", "big"]), /byte order.*"big"/],
    ["a list", zip(["a/data.pkl", Uint8Array.of(0x80, 2, 0x5d, 0x2e)]), /does not hold a state dict/],
    ["nothing in it", zip(["a/data.pkl", Uint8Array.of(0x80, 2, 0x7d, 0x2e)]), /no tensors but nothing/],
    [
      "a trainer's checkpoint",
      zip(["a/data.pkl", Uint8Array.of(0x80, 2, 0x7d, 0x8c, 5, ...text("model"), 0x7d, 0x73, 0x2e)]),
      /no tensors but "model"; give the model's state dict alone/,
    ],
    ["a storage that is missing", zip(["a/data.pkl", pickled()]), /refers to "a\/data\/0", which/],
    [
      "a storage that is cut",
      zip(["a/data.pkl", pickled()], ["a/data/0", "xyz"]),
      /must have 16 bytes \(4 of F32\): .* 3/,
    ],
    [
      "a shape beyond its storage",
      zip(["a/data.pkl", pickled({ shape: [3, 2] })], ["a/data/0", storage]),
      /shape \[3, 2\].*storage of 4/,
    ],
    [
      "an offset beyond it",
      zip(["a/data.pkl", pickled({ offset: 1 })], ["a/data/0", storage]),
      /offset 1 does not fit/,
    ],
    [
      "a tensor that repeats its elements",
      zip(["a/data.pkl", pickled({ shape: [200, 200], strides: [0, 0] })], ["a/data/0", storage]),
      /strides \[0, 0\]/,
    ],
    ["strides of another rank", zip(["a/data.pkl", pickled({ strides: [1] })], ["a/data/0", storage]), /of one length/],
    ["a negative size", zip(["a/data.pkl", pickled({ shape: [-2, 2] })], ["a/data/0", storage]), /lists of sizes/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () => rejects(parseStateDict(memorySource(bytes)), message));
  }
});

Deno.test("parseStateDict() refuses a file cut at any byte", async () => {
  const whole = readFileSync(path("views_4.bin"));
  for (let length = 0; length < whole.length; length += 7) {
    await assert.rejects(parseStateDict(memorySource(whole.subarray(0, length))), InputError, `cut to ${length} bytes`);
  }
});

Deno.test("readTorchTensor() reads any strided view as its elements say", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
      fc.nat(3),
      async (shape, allStrides, offset) => {
        const strides = allStrides.slice(0, shape.length);
        const data = Float32Array.from({ length: 32 }, (_, i) => i);
        const count = shape.reduce((a, b) => a * b, 1);
        fc.pre(count <= 32);
        const pickle = pickled({ shape, strides, offset, bytes: 128 });
        const source = memorySource(encodeZip([["a/data.pkl", pickle], ["a/data/0", new Uint8Array(data.buffer)]]));
        const tensor = (await parseStateDict(source)).get("w") ?? assert.fail();
        const expected = Array.from({ length: count }, (_, flat) => {
          let at = offset;
          for (let axis = shape.length - 1, rest = flat; axis >= 0; rest = Math.floor(rest / shape[axis--])) {
            at += strides[axis] * (rest % shape[axis]);
          }
          return at;
        });
        assert.deepEqual([...(await readTorchTensor(source, tensor)).data], expected);
      },
    ),
    { numRuns: 300, seed: 1 },
  ));

Deno.test("parseStateDict() either succeeds or throws an InputError, whatever the bytes", () => {
  const whole = readFileSync(path("views.bin"));
  const end = whole.indexOf("PK", 4);
  return fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(end), fc.nat(255)), { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = Uint8Array.from(whole);
      for (const [at, value] of changes) bytes[at] = value;
      await readAll(memorySource(bytes)).catch((error) => assert.ok(error instanceof InputError, String(error)));
    }),
    { numRuns: 500, seed: 2 },
  );
});

/** The pickle of {"w": a float32 view of storage 0}; `bytes` is the storage's size. */
function pickled(
  { shape = [2, 2], strides = [2, 1], offset = 0, bytes = 16 }: {
    readonly shape?: readonly number[];
    readonly strides?: readonly number[];
    readonly offset?: number;
    readonly bytes?: number;
  } = {},
): Uint8Array {
  const text = (value: string) => [0x8c, value.length, ...Buffer.from(value)];
  const integer = (value: number) => {
    const field = Buffer.alloc(4);
    field.writeInt32LE(value);
    return [0x4a, ...field];
  };
  const tuple = (values: readonly number[]) => [0x28, ...values.flatMap(integer), 0x74];
  const name = (module: string, name: string) => [0x63, ...Buffer.from(`${module}\n${name}\n`)];
  return Uint8Array.from([
    ...[0x80, 2, 0x7d, ...text("w"), ...name("torch._utils", "_rebuild_tensor_v2"), 0x28],
    ...[
      0x28,
      ...text("storage"),
      ...name("torch", "FloatStorage"),
      ...text("0"),
      ...text("cpu"),
      ...integer(bytes / 4),
    ],
    ...[0x74, 0x51, ...integer(offset), ...tuple(shape), ...tuple(strides), 0x89, 0x7d, 0x74, 0x52, 0x73, 0x2e],
  ]);
}
