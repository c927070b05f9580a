import assert from "node:assert/strict";
import * as fc from "fast-check";
import { openCpuDevice } from "./cpu.ts";
import { decodeLayer } from "./decode.ts";
import { type Device, matrix } from "./device.ts";
import { deviceTest } from "./device_test_support.ts";
import { packCodes, type Planes, unpackCodes } from "./pack.ts";
import { makePlaneBuffer, PLANE_HEADER, planeBufferWords, planeStarts } from "./plane_buffer.ts";
import { decodeOn, packOn } from "./plane_device.ts";
import { GROUP_SHIFT, KEPT, type QuantizedLayer } from "./quantized_layer.ts";
import { type LayerShape, layerShapes, randomLayer } from "./quantized_layer_test_support.ts";

const N_OF_M = {
  rows: 33,
  cols: 576,
  groupSize: 128,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;

/** Every type, number of segments and kind of pattern; 1 row, primes, several sections of codes, a binding's worth of them. */
const CASES: readonly LayerShape[] = [
  N_OF_M,
  { ...N_OF_M, rows: 1, cols: 8 },
  { ...N_OF_M, rows: 53, cols: 256, segments: 2 },
  { ...N_OF_M, rows: 179, cols: 1536, groupSize: 256, segments: 1 },
  { ...N_OF_M, cols: 264, keep: 6, segments: 4 },
  { ...N_OF_M, cols: 35, keep: 3, of: 7, groupSize: 21 },
  { ...N_OF_M, cols: 64, keep: 16, of: 32, salient: false },
  { ...N_OF_M, keep: 8, salient: false, segments: 1 },
  { ...N_OF_M, cols: 577, type: "unstructured" },
  { ...N_OF_M, cols: 331, type: "structured", segments: 2 },
  { ...N_OF_M, cols: 293, type: "none" },
  { ...N_OF_M, cols: 293, type: "none", segments: 1, salient: false },
];

deviceTest("packOn() makes packCodes()'s planes, decodeOn() decodeLayer()'s weights of them", async (device) => {
  for (const [i, shape] of CASES.entries()) {
    for (const mask of i < 2 ? ["enumerative", "bitmask"] as const : ["enumerative"] as const) {
      await check(device, randomLayer(shape, i + 1), mask);
    }
  }
});

Deno.test("packOn() and decodeOn() do the same for any layer", async () => {
  const device = openCpuDevice();
  await fc.assert(
    fc.asyncProperty(layerShapes, fc.constantFrom("enumerative" as const, "bitmask" as const), fc.integer(), async (
      shape,
      mask,
      seed,
    ) => await check(device, randomLayer(shape, seed), mask)),
    { numRuns: 200 },
  );
  await device.destroy();
});

deviceTest("packPlanes() overwrites, and stores nothing of a pruned weight", async (device) => {
  const layer = randomLayer(N_OF_M, 1), shape = { ...layer, mask: "enumerative" } as const;
  const words = planeBufferWords(shape), out = device.upload("u32", new Uint32Array(words).fill(0xffffffff));
  const marked = layer.codes.map((code) => code & KEPT ? code : 3 << GROUP_SHIFT | 6);
  const codes = matrix(device.upload("u8", marked), layer.rows, layer.cols);
  device.packPlanes(out, codes, shape);
  const [found] = await device.download([out]), wanted = makePlaneBuffer(packCodes(layer, "enumerative"));
  assert.deepEqual(found.subarray(PLANE_HEADER, wanted.length), wanted.subarray(PLANE_HEADER));
  assert.deepEqual(found.subarray(wanted.length), new Uint32Array(words - wanted.length));
});

deviceTest("unpackPlanes() gives unpackCodes()'s codes", async (device) => {
  const layer = randomLayer(N_OF_M, 2), planes = packCodes(layer, "enumerative");
  const codes = matrix(device.alloc("u8", layer.codes.length), layer.rows, layer.cols);
  const found = device.alloc("u32", PLANE_HEADER), words = device.upload("u32", makePlaneBuffer(planes));
  const placed = { ...layer, mask: "enumerative", starts: planeStarts(planes) } as const;
  device.unpackPlanes(codes, found, words, placed);
  const [unpacked, header] = await device.download([codes.buffer, found]);
  assert.deepEqual(unpacked, unpackCodes(planes, placed));
  const kept = layer.codes.filter((code) => code & KEPT), twice = kept.filter((code) => code >>> GROUP_SHIFT === 0);
  assert.deepEqual([...header], [0, kept.length, twice.length]);
});

deviceTest("packOn() refuses codes that break the layer's promise", async (device) => {
  const layer = randomLayer({ ...N_OF_M, salient: false }, 5);
  const first = layer.codes.findIndex((code) => (code & KEPT) !== 0);
  const broken = (change: Partial<QuantizedLayer>, code: number) => ({
    ...layer,
    ...change,
    codes: layer.codes.with(first, code),
  });
  const cases: [string, QuantizedLayer][] = [
    ["one more pruned", broken({}, 0)],
    ["group beyond the segments", broken({}, KEPT | 4 << GROUP_SHIFT)],
    ["salient without salient columns", broken({}, KEPT)],
    ["salient in one row only", broken({ salient: true }, KEPT)],
    ["pruned in type none", broken({ type: "none" }, 0)],
    ["half a column", broken({ type: "structured" }, 0)],
  ];
  for (const [name, bad] of cases) {
    for (const mask of ["enumerative", "bitmask"] as const) {
      await assert.rejects(packOn(device, { ...bad, codes: bad.codes.slice() }, mask), /Cannot pack/, name);
    }
  }
  await assert.rejects(packOn(device, { ...layer, of: 7, codes: layer.codes.slice() }, "bitmask"), /multiple of 7/);
});

deviceTest(
  "decodeOn() refuses planes of other lengths, ranks out of range and padding that is not zero",
  async (device) => {
    const layer = randomLayer({ ...N_OF_M, rows: 5, cols: 72 }, 7), planes = packCodes(layer, "enumerative");
    const decode = (bad: Planes, mask: "enumerative" | "bitmask" = "enumerative") =>
      decodeOn(device, bad, { ...layer, mask, scales: layer.scales.slice() });
    for (const plane of ["mask", "signs", "second_signs", "segments", "salient"] as const) {
      const words = planes[plane], message = new RegExp(plane);
      await assert.rejects(decode({ ...planes, [plane]: Uint32Array.from([...words, 0]) }), message);
      await assert.rejects(decode({ ...planes, [plane]: words.slice(1) }), message);
      await assert.rejects(
        decode({ ...planes, [plane]: words.with(words.length - 1, words[words.length - 1] | 0x80000000) }),
        message,
      );
    }
    await assert.rejects(decode({ ...planes, mask: planes.mask.with(0, 0xffffffff).with(1, 0xffffffff) }), /digits/);
    const bitmask = packCodes(layer, "bitmask");
    await assert.rejects(
      decode({ ...bitmask, mask: bitmask.mask.with(0, bitmask.mask[0] ^ 1) }, "bitmask"),
      /Cannot (un)?pack/,
    );
    assert.deepEqual(await decode(planes), decodeLayer(layer));
  },
);

async function check(device: Device, layer: QuantizedLayer, mask: "enumerative" | "bitmask"): Promise<void> {
  const { codes: _codes, scales: _scales, ...shape } = layer, title = `${JSON.stringify(shape)} ${mask}`;
  const planes = packCodes(layer, mask);
  assert.deepEqual(await packOn(device, { ...layer, codes: layer.codes.slice() }, mask), planes, title);
  const weights = await decodeOn(device, planes, { ...layer, mask, scales: layer.scales.slice() });
  // Bits, as a pruned weight is 0 and none is −0.
  assert.deepEqual(
    new Uint32Array(weights.buffer, 0, weights.length),
    new Uint32Array(decodeLayer(layer).buffer),
    title,
  );
}
