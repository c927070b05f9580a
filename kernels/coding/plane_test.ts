import assert from "node:assert/strict";
import * as fc from "fast-check";
import { radixCode, writeDigits } from "../packing/ops.ts";
import { compactPlane, type PlaneKind } from "./plane_choice.ts";
import { bearsOut, decodePlane, encodePlane } from "./plane_code.ts";
import { alphabetOf, isView, type PlaneView, symbolCount } from "./plane_view.ts";

/** Uniform numbers from mulberry32. */
function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bits of which so many are set. */
function sparseBits(length: number, share: number, seed = 1): Uint8Array {
  const random = uniforms(seed), bytes = new Uint8Array(length);
  for (let bit = 0; bit < 8 * length; bit++) if (random() < share) bytes[bit >> 3] |= 1 << (bit & 7);
  return bytes;
}

/** Digits of base 3 with these chances, in so many words. */
function digits(words: number, chances: readonly [number, number], seed = 1): Uint8Array {
  const code = radixCode(3), tile = code.widths.length - 1, random = uniforms(seed);
  const count = Math.floor(32 * words / code.widths[tile]) * tile, out = new Uint32Array(words);
  const drawn = Uint8Array.from({ length: count }, () => {
    const x = random();
    return x < chances[0] ? 0 : x < chances[0] + chances[1] ? 1 : 2;
  });
  writeDigits(code, out, 0, drawn);
  return new Uint8Array(out.buffer);
}

const units = [1, 2, 3, 4, 5, 6, 7, 8].map((unit): PlaneView => ({ unit, head: unit, period: 1, past: 0 }));
const VIEWS: readonly PlaneView[] = [
  ...units,
  ...units.slice(0, 4).map((view): PlaneView => ({ ...view, past: view.unit })),
  { unit: 3, head: 3, period: 5, past: 2 },
  { unit: 16, head: 1, period: 1, past: 0 },
  { unit: 16, head: 6, period: 7, past: 0 },
  { unit: 16, head: 8, period: 3, past: 6 },
  { unit: 32, head: 8, period: 2, past: 0 },
  { unit: 32, head: 5, period: 1, past: 5 },
];

Deno.test("encodePlane() and decodePlane(): the same plane in every view, at lengths around whole symbols and lanes", () => {
  for (const view of VIEWS) {
    for (const length of [0, 4, 8, 12, 28, 60, 1024, 4096, 8192]) {
      for (const share of [0, 0.1, 0.5, 1]) {
        const plane = sparseBits(length, share, length + view.unit);
        assert.deepEqual(decodePlane(encodePlane(plane, view), length), plane, JSON.stringify({ view, length, share }));
      }
    }
  }
  for (const head of [1, 2, 3, 4]) {
    for (const past of [0, head]) {
      for (const words of [1, 2, 3, 46, 47, 3000]) {
        const plane = digits(words, [0.8, 0.1]), view = { unit: 0, head, period: 2, past };
        assert.deepEqual(decodePlane(encodePlane(plane, view), plane.length), plane, JSON.stringify({ view, words }));
      }
    }
  }
});

Deno.test("encodePlane() takes the bits of the plane's entropy, within one in a hundred", () => {
  const entropy = (...chances: number[]) => chances.reduce((sum, p) => sum - p * Math.log2(p), 0);
  const length = 1 << 16;
  for (const share of [0.02, 0.1, 0.3, 0.5]) {
    const words = encodePlane(sparseBits(length, share), { unit: 4, head: 4, period: 1, past: 0 });
    const bits = 8 * words.byteLength / (8 * length), least = entropy(share, 1 - share);
    assert.ok(bits > 0.98 * least && bits < 1.01 * least + 0.001, `${share}: ${bits} of ${least}`);
  }
  const plane = digits(length / 4, [0.5, 0.25]), view = { unit: 0, head: 2, period: 1, past: 0 };
  const each = 8 * encodePlane(plane, view).byteLength / (2 * symbolCount(view, length));
  assert.ok(each > 1.49 && each < 1.51, `${each} bits a digit`);
});

Deno.test("compactPlane() finds what a plane is made of, and leaves what is as good as random", () => {
  const random = uniforms(3), half = new Uint16Array(9000);
  // Sizes within two octaves, larger ones in every third place.
  for (let i = 0; i < half.length; i++) half[i] = (i % 3 === 2 ? 0x3800 : 0x2400) + Math.floor(2048 * random());
  const threes = new Uint8Array(3 * 4096);
  for (let i = 0; i < 8 * 4096; i++) {
    const value = random() < 0.7 ? 3 : Math.floor(8 * random());
    for (let k = 0; k < 3; k++) threes[(3 * i + k) >> 3] |= (value >> k & 1) << ((3 * i + k) & 7);
  }
  const steps = sparseBits(1 << 14, 0.5).map((byte, i) => i % 512 < 256 ? byte & 0x11 : byte);
  const cases: readonly (readonly [string, Uint8Array, PlaneKind, number])[] = [
    ["sparse bits", sparseBits(1 << 15, 0.1), {}, 0.5],
    ["numbers of three bits", threes, {}, 0.62],
    ["digits", digits(4600, [0.6, 0.2]), {}, 0.9],
    ["stretches", steps, {}, 0.75],
    ["scales", new Uint8Array(half.buffer), { floats: 16, period: 3 }, 0.74],
    ["scales far apart", new Uint8Array(half.buffer), { floats: 16, period: 300 }, 0.80],
    ["floats", new Uint8Array(Float32Array.from({ length: 5000 }, random).buffer), { floats: 32 }, 0.85],
    ["random bits", sparseBits(1 << 15, 0.5), {}, 1],
    ["random digits", digits(4600, [1 / 3, 1 / 3]), {}, 1],
    ["too short", new Uint8Array(24), {}, 1],
    ["nothing", new Uint8Array(0), {}, 1],
  ];
  for (const [what, plane, kind, share] of cases) {
    const words = compactPlane(plane, kind), found = (words?.byteLength ?? plane.length) / Math.max(1, plane.length);
    if (share === 1) assert.equal(words, undefined, `${what}: ${found}`);
    else {
      assert.ok(words !== undefined && found < share && found > share - 0.12, `${what}: ${found} of ${share}`);
      assert.deepEqual(decodePlane(words, plane.length), plane, what);
    }
  }
});

Deno.test("compactPlane() leaves a long plane that so few words would not bear out", () => {
  const long = new Uint8Array((1 << 20) + 8), short = long.subarray(8);
  assert.equal(compactPlane(long, {}), undefined);
  const words = compactPlane(short, {});
  assert.ok(words !== undefined && words.byteLength < 1000 && bearsOut(words.byteLength, short.length));
  assert.throws(() => decodePlane(words, 2 ** 31), /they cannot hold so many/);
});

Deno.test("decodePlane() refuses what encodePlane() does not make", () => {
  const plane = sparseBits(4096, 0.1), view: PlaneView = { unit: 4, head: 4, period: 1, past: 4 };
  const words = encodePlane(plane, view),
    bytes = (at: number, value: number) => {
      const spoilt = new Uint8Array(words.slice().buffer);
      spoilt[at] = value;
      return new Uint16Array(spoilt.buffer);
    };
  const wrong: readonly (readonly [Uint16Array, number])[] = [
    [words, 4095],
    [words, 4100],
    [words, 0],
    [words, 1e9],
    [words.subarray(0, 1), 4096],
    [words.subarray(0, 2), 4096],
    [words.subarray(0, -1), 4096],
    [Uint16Array.of(...words, 0), 4096],
    [new Uint16Array(0), 4096],
    [bytes(0, 9), 4096],
    [bytes(0, 0), 4096],
    [bytes(1, 3), 4096],
    [bytes(2, 0), 4096],
    [bytes(2, 17), 4096],
    [bytes(3, 5), 4096],
    [bytes(4, 16), 4096],
    [bytes(5, 200), 4096],
  ];
  for (const [each, length] of wrong) assert.throws(() => decodePlane(each, length), { name: "RangeError" });
  assert.throws(() => encodePlane(plane.subarray(1), { unit: 16, head: 8, period: 1, past: 0 }), /no such view/);
  assert.throws(() => encodePlane(plane.subarray(1), { unit: 0, head: 1, period: 1, past: 0 }), /no words/);
});

Deno.test("a spoilt stream gives a plane of its length or a RangeError", () => {
  const planes = [
    ...VIEWS.map((view) => ({ view, plane: sparseBits(1200, 0.2, view.unit) })),
    { view: { unit: 0, head: 2, period: 1, past: 2 }, plane: digits(300, [0.6, 0.2]) },
  ].map(({ view, plane }) => ({ words: encodePlane(plane, view), length: plane.length }));
  const spoil = fc.record({
    at: fc.oneof(fc.nat(40), fc.nat()),
    value: fc.integer({ min: 1, max: 65535 }),
    cut: fc.oneof(fc.constant(0), fc.nat(600)),
    length: fc.oneof(fc.constant(undefined), fc.nat(2 ** 33)),
  });
  fc.assert(
    fc.property(fc.constantFrom(...planes), fc.array(spoil, { minLength: 1, maxLength: 3 }), (made, changes) => {
      let words = made.words.slice(), length = made.length;
      for (const change of changes) {
        words[change.at % words.length] ^= change.value;
        words = words.subarray(0, Math.max(1, words.length - change.cut));
        length = change.length ?? length;
      }
      try {
        assert.equal(decodePlane(words, length).length, length);
      } catch (error) {
        assert.ok(error instanceof RangeError, `${error}`);
        assert.match(error.message, /^Cannot (decode|read) .{10,200}$/);
      }
    }),
    { numRuns: 1500 },
  );
});

Deno.test("isView() holds for views alone, none of which has more than 256 symbols", () => {
  const byte = fc.nat(255);
  fc.assert(
    fc.property(byte, byte, byte, byte, (unit, head, period, past) => {
      const view = { unit, head, period, past };
      if (isView(view)) assert.ok(alphabetOf(view) <= 256 && period <= 16 && past <= 8);
    }),
  );
  assert.ok(VIEWS.every(isView));
});
