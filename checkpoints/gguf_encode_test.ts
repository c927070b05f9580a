import assert from "node:assert/strict";
import { GGML_TYPES } from "./dequantize.ts";
import { GGUF_ENCODINGS, type GgufTypeName } from "./gguf_encode.ts";

/** Values, and the bytes that ggml's own `ggml_quantize_chunk` makes of them (llama.cpp as of llama-cpp-python 0.3.36). */
const reference: Readonly<Record<string, { readonly values: readonly number[]; readonly bytes: string }>> = JSON.parse(
  await Deno.readTextFile(new URL("testdata/ggml_encoded.json", import.meta.url)),
);

/** A block of these values in turn. */
const cycle = (length: number, ...values: readonly number[]) =>
  Float32Array.from({ length }, (_, i) => values[i % values.length]);

for (const [name, { values, bytes }] of Object.entries(reference)) {
  Deno.test(`${name} has the bytes that ggml gives the same values`, () => {
    const { encode } = GGUF_ENCODINGS[name as GgufTypeName];
    assert.equal(encode(Float32Array.from(values)).toHex(), bytes);
  });
}

for (const encoding of Object.values(GGUF_ENCODINGS)) {
  Deno.test(`${encoding.name} is read by the type of its number, in blocks of its size`, () => {
    const type = GGML_TYPES.get(encoding.type);
    assert.ok(type);
    assert.deepEqual([type.name, type.values, type.bytes], [encoding.name, encoding.values, encoding.bytes]);
    const values = cycle(2 * encoding.values, 0.5, -0.5), bytes = encoding.encode(values);
    assert.equal(bytes.length, 2 * encoding.bytes);
    // 127 · float16(0.5 / 127) is not 0.5.
    const read = type.dequantize(bytes), most = encoding.name === "Q8_0" ? 3e-4 : 0;
    assert.ok(read.every((value, i) => Math.abs(value - values[i]) <= most));
  });
}

Deno.test("Q8_0 writes blocks too small for float16 as zeros, and those of zeros", () => {
  for (const value of [0, 1e-44, -1e-39, 1e-12]) {
    const read = GGML_TYPES.get(8)?.dequantize(GGUF_ENCODINGS.Q8_0.encode(cycle(32, value)));
    assert.ok(read?.every((each) => each === 0), String(value));
  }
});

Deno.test("Q2_0 takes every level, also where it is twice a negative scale, and holds them exactly", () => {
  const blocks = [[-0.25, 0, 0.25, 0.5], [0.25, 0, -0.25, -0.5], [0.25, -0.5], [0], [-3], [3, 0], [0.5, 0.25], [-1, 1]];
  for (const levels of blocks) {
    const values = cycle(64, ...levels), read = GGML_TYPES.get(42)?.dequantize(GGUF_ENCODINGS.Q2_0.encode(values));
    assert.ok(read?.every((value, i) => value === values[i]), levels.join());
  }
});

const refused: readonly { readonly type: GgufTypeName; readonly values: Float32Array; readonly why: RegExp }[] = [
  { type: "F16", values: Float32Array.of(1, 65_520), why: /^65520 at 1 is beyond F16, which ends at 65504$/ },
  { type: "BF16", values: Float32Array.of(3.4e38), why: /is beyond BF16/ },
  { type: "Q8_0", values: cycle(32, 9e6), why: /is beyond Q8_0/ },
  { type: "Q1_0", values: cycle(128, 0.5, 0.25), why: /^0.25 at 1 stands beside 0.5, where Q1_0 has one scale/ },
  { type: "Q1_0", values: cycle(128, 0.5, 0), why: /^0 at 1 stands beside 0.5/ },
  { type: "Q1_0", values: cycle(128, 0.1, -0.1), why: /^the scale 0.1 of the weights from 0 on is no float16$/ },
  { type: "Q2_0", values: cycle(64, -1, 1, 2, -2), why: /none of −d, 0, d and 2d with d = 1/ },
  { type: "Q2_0", values: cycle(64, 1, 3), why: /^3 at 1 is none of/ },
  { type: "Q2_0", values: cycle(64, 0.1, 0), why: /is no float16/ },
];

for (const { type, values, why } of refused) {
  Deno.test(`${type} refuses what it does not hold: ${why.source}`, () => {
    assert.throws(
      () => GGUF_ENCODINGS[type].encode(values),
      (error) => error instanceof RangeError && why.test(error.message),
    );
  });
}
