import assert from "node:assert/strict";
import { layerOf, planes } from "../../checkpoints/packed/planes.ts";
import { decodeLayer, KEPT } from "../../kernels/binary/ops.ts";
import { openCpuDevice } from "../../kernels/cpu.ts";
import { type Device } from "../../kernels/device.ts";
import { deviceTest } from "../../kernels/device_test_support.ts";
import { quantizeLayer, searchMasks } from "../layer.ts";
import { copyJob, energy, randomJob } from "../layer_test_support.ts";
import { unpackUpper } from "../../kernels/matrix/ops.ts";
import { quantizePlainly, settingsOf } from "./billm_test_support.ts";

const GROUP = 40, CANDIDATES = 21;

/** A layer with masks from its original weights and the norms of its inputs. */
async function prunedJob(device: Device, variant: string, { keep = 4, cols = 88 } = {}) {
  const params = { variant, group_size: GROUP, candidates: CANDIDATES };
  const search = { metric: "ria", type: "semi-structured", seed: 0 } as const;
  const settings = settingsOf("stbllm", params, { search });
  const job = randomJob("layer", { rows: 10, cols, settings, keep });
  const { ranks } = await searchMasks(device, {
    ...copyJob(job),
    upper: undefined,
    diagonal: diagonalOf(job.upper, cols),
  });
  return { ...job, ranks };
}

function diagonalOf(upper: Float32Array, cols: number): Float32Array {
  const full = unpackUpper(upper, cols);
  return Float32Array.from({ length: cols }, (_, j) => full[j * (cols + 1)]);
}

for (const variant of ["as-published", "as-released"]) {
  deviceTest(`stbllm ${variant} prunes first, then binarizes in three segments`, async (device) => {
    const job = await prunedJob(device, variant), leftOut = variant === "as-published";
    const { layer, error } = await quantizeLayer(device, copyJob(job));
    const plain = quantizePlainly(job, { group: GROUP, segments: 3, candidates: CANDIDATES, pruned: 4, leftOut });
    const found = decodeLayer(layerOf(layer));
    const away = found.filter((w, i) => !(Math.abs(w - plain.weights[i]) < 1e-4)).length;
    assert.equal(away, 0, `${away} of ${found.length} weights differ`);
    assert.ok(Math.abs(error / plain.error - 1) < 1e-4, `${error}, not ${plain.error}`);
    assert.ok(plain.errorOfPruned < plain.error, "what was pruned counts");
  });
}

deviceTest("stbllm keeps exactly N of every 8 in what is packed; as released it keeps none of N:M", async (device) => {
  for (const variant of ["as-published", "masked-again", "as-released"]) {
    for (const keep of [1, 4, 6, 8]) {
      const job = await prunedJob(device, variant, { keep });
      const { layer } = await quantizeLayer(device, copyJob(job));
      const encoded = await planes.pack(layer, { mask: "enumerative", scales: "f32" });
      const { codes } = layerOf(planes.unpack(encoded)), weights = await planes.decode(encoded);
      if (variant === "as-released") {
        assert.ok(weights.filter((w) => w === 0).length < 0.05 * weights.length);
        assert.ok(codes.every((code) => (code & KEPT) !== 0));
      } else {
        for (let at = 0; at < codes.length; at += 8) {
          const kept = codes.subarray(at, at + 8).filter((code, i) =>
            (code & KEPT) !== 0 && job.ranks[at + i] >= 8 - keep
          );
          assert.equal(kept.length, keep, `${variant}, at ${at}`);
          assert.ok(weights.subarray(at, at + 8).filter((w) => w !== 0).length <= keep);
        }
      }
      const { nominal, cells } = await planes.figures({
        ...encoded,
        plane: (name) => Promise.resolve(encoded.tensors[name]),
      });
      // The paper's count, whether it holds or not.
      assert.ok(nominal > keep / 8 && nominal < 2 * keep / 8, `${nominal}`);
      const holds = variant !== "as-released" || keep === 8;
      assert.equal(cells["N:M"], holds ? `${keep}:8` : `none, of ${keep}:8`);
    }
  }
});

deviceTest("stbllm's error is that of the weights before pruning", async (device) => {
  const job = await prunedJob(device, "masked-again");
  const { layer, error } = await quantizeLayer(device, copyJob(job));
  const h = Float64Array.from(unpackUpper(job.upper, job.cols)), decoded = decodeLayer(layerOf(layer));
  const left = Float64Array.from(job.weight, (w, i) => w - decoded[i]);
  const wanted = energy(left, h, job.rows, job.cols) / energy(Float64Array.from(job.weight), h, job.rows, job.cols);
  assert.ok(Math.abs(error / wanted - 1) < 1e-4, `${error}, not ${wanted}`);
});

Deno.test("stbllm names the setting where it is given no masks", async () => {
  const device = openCpuDevice();
  const { ranks: _ranks, ...job } = await prunedJob(device, "as-published");
  await assert.rejects(
    quantizeLayer(device, job),
    /layer "layer" as stbllm prunes it before .*mask_from must be original$/,
  );
  await device.destroy();
});
