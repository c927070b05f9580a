import assert from "node:assert/strict";
import expected from "./testdata/ggml_blocks.json" with { type: "json" };
import { GGML_TYPES } from "./dequantize.ts";

/** The type of that name. */
function typeOf(name: string) {
  const found = [...GGML_TYPES.values()].find((type) => type.name === name);
  assert.ok(found, name);
  return found;
}

/** Bytes of half-precision numbers. */
function half(...values: number[]): number[] {
  return [...new Uint8Array(new Float16Array(values).buffer)];
}

/** Values of one hand-made block. */
function decode(name: string, ...bytes: (number | number[])[]): number[] {
  const type = typeOf(name);
  const block = new Uint8Array(bytes.flat());
  assert.equal(block.length, type.bytes);
  const values = type.dequantize(block);
  assert.equal(values.length, type.values);
  return [...values];
}

const range = (length: number, value: (index: number) => number) => Array.from({ length }, (_, index) => value(index));

Deno.test("dequantize() of every type is bit-identical to ggml's own Python package on random blocks", async (t) => {
  // testdata/ggml_blocks.json: gguf 0.19.0 (PyPI), quants.dequantize on random bytes with finite scales.
  const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  // That package has no Q1_0 and Q2_0: `gguf_encode_test.ts` holds them against ggml's own quantizer.
  const elsewhere = ["F32", "Q1_0", "Q2_0"], names = [...GGML_TYPES.values()].map(({ name }) => name);
  assert.deepEqual(new Set(Object.keys(expected)), new Set(names.filter((name) => !elsewhere.includes(name))));
  for (const [name, { type, blocks, values }] of Object.entries(expected)) {
    await t.step(name, () => {
      assert.equal(GGML_TYPES.get(type)?.name, name);
      const bits = new Uint32Array(typeOf(name).dequantize(hex(blocks)).buffer);
      assert.deepEqual(bits, new Uint32Array(hex(values).buffer));
    });
  }
});

Deno.test("dequantize() gives the values that a block's published layout says", () => {
  assert.deepEqual(decode("Q8_0", half(0.5), range(32, (j) => j - 16 & 255)), range(32, (j) => 0.5 * (j - 16)));
  // Low nibble j, high nibble 15 − j.
  const nibbles = range(16, (j) => j | (15 - j) << 4);
  assert.deepEqual(
    decode("Q4_0", half(2), nibbles),
    [...range(16, (j) => 2 * (j - 8)), ...range(16, (j) => 2 * (7 - j))],
  );
  assert.deepEqual(
    decode("Q4_1", half(2, -3), nibbles),
    [...range(16, (j) => 2 * j - 3), ...range(16, (j) => 2 * (15 - j) - 3)],
  );
  // Fifth bit set for values 0 and 31.
  const fifth = [1, 0, 0, 0x80];
  assert.deepEqual(
    decode("Q5_0", half(1), fifth, nibbles),
    [...range(16, (j) => j + (j === 0 ? 16 : 0) - 16), ...range(16, (j) => 15 - j + (j === 15 ? 16 : 0) - 16)],
  );
  assert.deepEqual(
    decode("Q5_1", half(1, 0.25), fifth, nibbles),
    [...range(16, (j) => j + (j === 0 ? 16 : 0) + 0.25), ...range(16, (j) => 15 - j + (j === 15 ? 16 : 0) + 0.25)],
  );
  // Runs 0–3 have scale 1 and minimum 2, runs 4–7 scale 1 + 16·1 = 17 and minimum 2 + 16·1 = 18.
  const scales = [...range(4, () => 1 | 1 << 6), ...range(4, () => 2 | 1 << 6), ...range(4, () => 1 | 2 << 4)];
  const scale = (i: number) => i < 128 ? 1 : 17;
  const minimum = (i: number) => i < 128 ? 2 : 18;
  // Every byte holds 3 (even runs) and 5 (odd runs).
  const code = (i: number) => (i >> 5 & 1) === 0 ? 3 : 5;
  assert.deepEqual(
    decode("Q4_K", half(2, 0.5), scales, range(128, () => 3 | 5 << 4)),
    range(256, (i) => 2 * scale(i) * code(i) - 0.5 * minimum(i)),
  );
  // Fifth bit set in runs 1 and 6.
  const more = (i: number) => i >> 5 === 1 || i >> 5 === 6 ? 16 : 0;
  assert.deepEqual(
    decode("Q5_K", half(2, 0.5), scales, range(32, () => 1 << 1 | 1 << 6), range(128, () => 3 | 5 << 4)),
    range(256, (i) => 2 * scale(i) * (code(i) + more(i)) - 0.5 * minimum(i)),
  );
  // In each half, runs 0 and 1 have low nibble 3, runs 2 and 3 have 5; the high pairs of runs 0–3 are 0, 1, 2, 3.
  const six = (i: number) => (i >> 5 & 2 ? 5 : 3) + 16 * (i >> 5 & 3);
  assert.deepEqual(
    decode("Q6_K", range(128, () => 3 | 5 << 4), range(64, () => 0b11100100), range(16, (s) => s - 8 & 255), half(0.5)),
    range(256, (i) => 0.5 * ((i >> 4) - 8) * (six(i) - 32)),
  );
});
