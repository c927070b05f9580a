import assert from "node:assert/strict";
import * as fc from "fast-check";
import { packCodes, PLANES, type Planes, unpackCodes } from "./pack.ts";
import { GROUP_SHIFT, KEPT, type QuantizedLayer, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import { layerShapes, randomLayer } from "../binary/quantized_layer_test_support.ts";

const SHAPE = {
  rows: 5,
  cols: 72,
  groupSize: 64,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;

const MASKS = ["enumerative", "bitmask"] as const;

Deno.test("unpackCodes(packCodes(x)) is x for every type, N:M and size", () => {
  fc.assert(
    fc.property(layerShapes, fc.constantFrom(...MASKS), fc.integer(), (shape, mask, seed) => {
      const layer = randomLayer(shape, seed);
      assert.deepEqual(unpackCodes(packCodes(layer, mask), { ...shape, mask }), layer.codes);
    }),
    { numRuns: 500 },
  );
});

Deno.test("packCodes() stores nothing of a pruned weight", () => {
  const layer = randomLayer(SHAPE, 1);
  const marked = layer.codes.map((code) => code & KEPT ? code : 3 << GROUP_SHIFT | 6);
  assert.deepEqual(packCodes({ ...layer, codes: marked }, "enumerative"), packCodes(layer, "enumerative"));
});

Deno.test("packCodes() takes the bits that were promised for N:8, three segments", () => {
  for (const [keep, maskBits] of [[1, 3], [2, 4.8334], [3, 5.8334], [4, 6.143], [5, 5.8334], [6, 4.8334], [7, 3]]) {
    const shape = { ...SHAPE, rows: 64, cols: 1024, keep, salient: false };
    const planes = packCodes(randomLayer(shape, keep), "enumerative");
    const perRun = (plane: keyof Planes) => planes[plane].length * 32 * 8 / (64 * 1024);
    assert.ok(perRun("mask") <= maskBits + 0.02, `${keep}:8 mask ${perRun("mask")}`);
    assert.ok(Math.abs(perRun("signs") - keep) < 0.01);
    assert.ok(perRun("segments") <= keep * 1.5863 + 0.01);
    assert.equal(planes.salient.length + planes.second_signs.length, 0);
  }
});

Deno.test("packCodes() stores no mask, no segments and no salient marks where there are none", () => {
  const shape = { ...SHAPE, type: "none", keep: 8, segments: 1, salient: false } as const;
  const planes = packCodes(randomLayer(shape, 3), "enumerative");
  assert.deepEqual(PLANES.filter((plane) => planes[plane].length > 0), ["signs"]);
});

Deno.test("packCodes() refuses codes that break the layer's promise", () => {
  const layer = randomLayer({ ...SHAPE, salient: false }, 5);
  const first = layer.codes.findIndex((code) => (code & KEPT) !== 0);
  const broken = (change: Partial<QuantizedLayer>, at: number, code: number) => ({
    ...layer,
    ...change,
    codes: layer.codes.with(at, code),
  });
  const cases: [string, QuantizedLayer, RegExp][] = [
    ["one more pruned", broken({}, first, 0), /4 of every 8 are kept, here 3/],
    ["group beyond the segments", broken({}, first, KEPT | 4 << GROUP_SHIFT), /group must be 1 to 3/],
    ["salient without salient columns", broken({}, first, KEPT), /group must be 1 to 3/],
    ["salient in one row only", broken({ salient: true }, first, KEPT), /salient in some rows/],
    ["pruned in type none", broken({ type: "none" }, first, 0), /keeps every weight/],
    ["half a column", broken({ type: "structured" }, first, 0), /whole columns/],
    ["columns", { ...layer, of: 7 }, /must be a multiple of 7: current value is 72/],
    ["M", { ...layer, of: 36 }, /≤ 32/],
    ["length", { ...layer, cols: 64 }, /takes 320: current value is 360/],
  ];
  for (const [name, bad, message] of cases) {
    assert.throws(() => packCodes(bad, "enumerative"), { name: "RangeError", message }, name);
  }
});

Deno.test("unpackCodes() refuses planes of other lengths, ranks out of range and padding that is not zero", () => {
  const layer = randomLayer(SHAPE, 7);
  const shape = { ...SHAPE, mask: "enumerative" } as const;
  const planes = packCodes(layer, "enumerative");
  for (const plane of PLANES) {
    const words = planes[plane];
    const longer = { ...planes, [plane]: Uint32Array.from([...words, 0]) };
    assert.throws(() => unpackCodes(longer, shape), { name: "RangeError", message: new RegExp(plane) });
    const shorter = { ...planes, [plane]: words.slice(1) };
    assert.throws(() => unpackCodes(shorter, shape), { name: "RangeError", message: new RegExp(plane) });
    const padded = { ...planes, [plane]: words.with(words.length - 1, words[words.length - 1] | 0x80000000) };
    assert.throws(() => unpackCodes(padded, shape), { name: "RangeError", message: new RegExp(plane) });
  }
  assert.throws(() => unpackCodes({ ...planes, mask: planes.mask.with(0, 0xffffffff).with(1, 0xffffffff) }, shape));
  const bitmask = { ...packCodes(layer, "bitmask") };
  bitmask.mask = bitmask.mask.with(0, bitmask.mask[0] ^ 1);
  assert.throws(() => unpackCodes(bitmask, { ...SHAPE, mask: "bitmask" }), /4 of every 8/);
});

Deno.test("unpackCodes() refuses a header whose size the planes do not bear out before it allocates", () => {
  const shape = { ...SHAPE, rows: 2 ** 20, cols: 2 ** 10, type: "none", mask: "bitmask", keep: 8 } as const;
  const none = new Uint32Array(0);
  const planes = { mask: none, signs: none, second_signs: none, segments: none, salient: new Uint32Array(32) };
  assert.throws(() => unpackCodes(planes, shape), /plane signs/);
});

Deno.test("packCodes() writes the documented bits", () => {
  const shape = { ...SHAPE, rows: 1, cols: 8, groupSize: 8 };
  const codes = Uint8Array.of(
    KEPT | SIGN | SECOND_SIGN, // salient, + +
    KEPT | 1 << GROUP_SHIFT, // segment 1, −
    KEPT | SIGN | 3 << GROUP_SHIFT, // segment 3, +
    ...[0, 0, 0, 0],
    KEPT | SIGN | 2 << GROUP_SHIFT, // segment 2, +
  );
  assert.deepEqual(packCodes({ ...shape, codes }, "enumerative"), {
    mask: Uint32Array.of(35), // C(0,1) + C(1,2) + C(2,3) + C(7,4)
    signs: Uint32Array.of(0b1101),
    second_signs: Uint32Array.of(1),
    segments: Uint32Array.of(0 + 2 * 3 + 1 * 9),
    salient: Uint32Array.of(1),
  });
});

Deno.test("packCodes() puts seven patterns of 4:8 in 43 bits, the eighth in 7", () => {
  const kept = [0b11110000, ...Array<number>(5).fill(0b00001111), 0b00010111, 0b00101011]; // ranks 69, 0, …, 1, 6
  const codes = Uint8Array.from({ length: 64 }, (_, i) => (kept[i >> 3] >> (i & 7)) & 1 ? KEPT | 1 << GROUP_SHIFT : 0);
  const shape = { ...SHAPE, rows: 1, cols: 64, salient: false };
  const bits = 69n + 70n ** 6n + (6n << 43n);
  assert.deepEqual(
    packCodes({ ...shape, codes }, "enumerative").mask,
    Uint32Array.of(Number(bits & 0xffffffffn), Number(bits >> 32n)),
  );
});
