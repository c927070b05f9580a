/** Packed layers on every device: planes and weights to the bit, products against float64. */
import assert from "node:assert/strict";
import { decodeLayer, GROUP_SHIFT, KEPT, type QuantizedLayer } from "../binary/ops.ts";
import { matrix } from "../device.ts";
import { deviceCases, deviceTest, thorough } from "../device_test_support.ts";
import { arrangeWeights, packedMatVec, uploadPacked } from "../matvec/ops.ts";
import { packCodes, type Planes, unpackCodes } from "./pack.ts";
import { checkPlanes, checkProduct, expectProduct, N_OF_M, PACKED_SHAPES, vectorsOf } from "./packed_test_support.ts";
import { makePlaneBuffer, PLANE_HEADER, planeBufferWords, planeStarts } from "./plane_buffer.ts";
import { decodeOn, packOn } from "./plane_device.ts";
import { randomLayer } from "../binary/quantized_layer_test_support.ts";
import { openWebGpuDevice } from "../webgpu.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";
import { packPlanes, unpackPlanes } from "./plane_ops.ts";

deviceCases("packedMatVec() meets float64", PACKED_SHAPES, async (device, { shape }) => {
  await checkProduct(device, randomLayer(shape, 1), 1);
});

deviceTest("packedMatVec() takes 1 to 8 vectors", async (device) => {
  for (const vectors of thorough ? [2, 3, 4, 5, 6, 7, 8] : [3, 8]) {
    await checkProduct(device, randomLayer(N_OF_M, vectors), vectors);
  }
});

deviceCases(
  "packPlanes() makes packCodes()'s planes, unpackPlanes() and decode() decodeLayer()'s weights",
  PACKED_SHAPES,
  async (
    device,
    { shape },
  ) => {
    await checkPlanes(device, randomLayer(shape, 2), "enumerative");
  },
);

deviceTest("packPlanes() and unpackPlanes() do the same with a mask of bits", async (device) => {
  await checkPlanes(device, randomLayer(N_OF_M, 3), "bitmask");
});

gpuTest("packed layers in windows of a chunk and of a section are the same", async () => {
  for (const [maxBindingSize, check] of [[1 << 12, checkProduct], [1 << 14, checkPlanes]] as const) {
    const device = await openWebGpuDevice({ maxBindingSize });
    try {
      await check(device, randomLayer(N_OF_M, 4));
    } finally {
      await device.destroy();
    }
  }
});

deviceTest("packedMatVec() takes scales that half precision cannot hold, and its smallest", async (device) => {
  const layer = randomLayer(N_OF_M, 5);
  await checkProduct(device, { ...layer, scales: layer.scales.map((_, i) => (i % 7 - 3) / 3) }, 1);
  await checkProduct(device, { ...layer, scales: layer.scales.map((_, i) => (i % 7 - 3) * 2 ** -24) }, 1);
});

deviceTest("packedMatVec() works on windows of its vectors", async (device) => {
  const layer = randomLayer(N_OF_M, 6), { rows, cols } = layer;
  const weights = uploadPacked(device, arrangeWeights(layer)), x = vectorsOf(2, cols + 5);
  const out = matrix(device.alloc("f32", 3 * rows + 1), 2, rows);
  device.run(packedMatVec, { ...out, offset: 1, stride: rows }, weights, {
    ...matrix(device.upload("f32", x.slice()), 2, cols),
    offset: 5,
  });
  const [found] = await device.download([out.buffer]);
  expectProduct(found.subarray(1), layer, x.subarray(5), 2);
  assert.equal(found[0], 0);
  assert.deepEqual(found.subarray(1 + 2 * rows), new Float32Array(rows));
});

deviceTest("packedMatVec() refuses what does not fit", (device) => {
  const weights = uploadPacked(device, arrangeWeights(randomLayer(N_OF_M, 1)));
  const m = (rows: number, cols: number) => matrix(device.alloc("f32", rows * cols), rows, cols);
  assert.throws(
    () => device.run(packedMatVec, m(9, 33), weights, m(9, 576)),
    /takes 1 to 8 vectors: current value is 9/,
  );
  assert.throws(() => device.run(packedMatVec, m(1, 33), weights, m(1, 575)), /must be 1×576/);
  assert.throws(() => device.run(packedMatVec, m(2, 33), weights, m(1, 576)), /must be 1×33/);
});

deviceTest("packPlanes() overwrites, and stores nothing of a pruned weight", async (device) => {
  const layer = randomLayer(N_OF_M, 1), shape = { ...layer, mask: "enumerative" } as const;
  const words = planeBufferWords(shape), out = device.upload("u32", new Uint32Array(words).fill(0xffffffff));
  const marked = layer.codes.map((code) => code & KEPT ? code : 3 << GROUP_SHIFT | 6);
  const codes = matrix(device.upload("u8", marked), layer.rows, layer.cols);
  device.run(packPlanes, out, codes, shape);
  const [found] = await device.download([out]), wanted = makePlaneBuffer(packCodes(layer, "enumerative"));
  assert.deepEqual(found.subarray(PLANE_HEADER, wanted.length), wanted.subarray(PLANE_HEADER));
  assert.deepEqual(found.subarray(wanted.length), new Uint32Array(words - wanted.length));
});

deviceTest("unpackPlanes() gives unpackCodes()'s codes", async (device) => {
  const layer = randomLayer(N_OF_M, 2), planes = packCodes(layer, "enumerative");
  const codes = matrix(device.alloc("u8", layer.codes.length), layer.rows, layer.cols);
  const found = device.alloc("u32", PLANE_HEADER), words = device.upload("u32", makePlaneBuffer(planes));
  const placed = { ...layer, mask: "enumerative", starts: planeStarts(planes) } as const;
  device.run(unpackPlanes, codes, found, words, placed);
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
