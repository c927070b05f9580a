/**
 * A method is one file and one line: a scratch method is added to a copy of the sources, and the copy's own command line quantizes,
 * packs, counts and evaluates with it.
 */
import assert from "node:assert/strict";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { openPacked } from "../checkpoints/packed/open.ts";
import { openCheckpoint } from "../checkpoints/open.ts";
import { copySources, lastRun, metricsOf, project, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models } from "./small_models_test_support.ts";

/** The method, as a file in layers/methods. */
const SIGN = `/** sign: one sign a weight and one scale a row, W ≈ sign(W)·mean|W|. */
import * as z from "zod";
import { dense } from "../../kernels/cpu_buffer.ts";
import type { Matrix } from "../../kernels/device.ts";
import type { Op } from "../../kernels/op.ts";
import { decode, GROUP_SHIFT, KEPT, SIGN } from "../../kernels/binary/ops.ts";
import type { Method } from "./method.ts";

/** codes and scales (rows × 2: no mean, mean|w|) := those of w (rows × cols). */
const signs: Op<[codes: Matrix<"u8">, scales: Matrix, w: Matrix]> = {
  name: "signs",
  cpu(_, codes, scales, w) {
    const [bits, levels, values] = [dense(codes), dense(scales), dense(w)];
    for (let row = 0; row < w.rows; row++) {
      let sum = 0;
      for (let at = row * w.cols; at < (row + 1) * w.cols; at++) {
        sum += Math.abs(values[at]);
        bits[at] = KEPT | 1 << GROUP_SHIFT | (values[at] >= 0 ? SIGN : 0);
      }
      levels[2 * row + 1] = Math.f16round(sum / w.cols);
    }
  },
  gpu() {
    throw new Error("Cannot run signs on a GPU");
  },
};

/** The method; see the file's head. */
export const sign: Method<Record<string, never>> = {
  name: "sign",
  label: "sign",
  summary: "One sign a weight and one scale a row",
  params: z.strictObject({}),
  needs: ["statistics"],
  format: "planes",
  reads: () => [],
  groupSize: (_, cols) => cols,
  open(device, scope, { job: { rows, cols } }) {
    const codes = scope.matrix("u8", rows, cols), scales = scope.matrix("f32", rows, 2);
    const shape = { segments: 1, salient: false };
    return {
      block: ({ target }) => device.run(signs, codes, scales, target),
      decode: ({ decoded }) => device.run(decode, decoded, { ...shape, codes, scales }),
      store() {},
      arrays: {
        codes: { matrix: codes, dtype: "U8", shape: [rows, cols] },
        scales: { matrix: scales, dtype: "F32", shape: [rows, 1, 2] },
      },
      facts: { groupSize: cols, keep: 1, of: 1, type: "none", ...shape },
    };
  },
};
`;

Deno.test("a method is one file and one line: it packs, evaluates and reports its bits", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, root = copySources(join(folder, "house")), model = join(folder, "model");
  symlinkSync(join(project, "node_modules"), join(root, "node_modules"));
  writeFileSync(join(root, "layers", "methods", "sign.ts"), SIGN);
  const list = join(root, "layers", "methods", "mod.ts");
  writeFileSync(list, `${readFileSync(list, "utf8")}export { sign } from "./sign.ts";\n`);
  cutModel(models.llama, model, 2);
  const from = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const recipe = join(folder, "sign.yaml");
  writeFileSync(
    recipe,
    stringify({
      model: { path: model },
      stages: {
        calibrate: { dataset: from("calibration"), samples: 4, length: 64 },
        sign: {},
        pack: {},
        evaluate: { perplexity: [{ name: "heldout", dataset: from("heldout"), samples: 4, length: 64 }] },
      },
    }),
  );
  const runs = join(folder, "runs");
  const args = [recipe, "--device", "cpu", "--cache", join(folder, "cache"), "--runs", runs];
  const out = await succeed("run", args, { root });
  const run = lastRun(runs), metrics = metricsOf(run);
  assert.ok(run.finished.includes("sign[1]") && !run.finished.some((step) => step.startsWith("spbo")), out);

  // tiny-llama: hidden 256, FFN 768, 4 of 8 heads' keys and values. Per row two scales of 16 bits, per weight one sign.
  const rows = 256 + 128 + 128 + 256 + 768 + 768 + 256, weights = 256 * (rows - 256) + 768 * 256;
  const { bits, layer_error, perplexity, method, keep } = metrics;
  assert.deepEqual([method, keep, bits.nominal, bits.stored.mask, bits.stored.segments], ["sign", undefined, 1, 0, 0]);
  assert.equal(bits.stored.signs, 1);
  assert.ok(Math.abs(bits.stored.scales - 32 * rows / weights) < 1e-9, `${bits.stored.scales}`);
  assert.ok(Math.abs(bits.stored.total - 1 - 32 * rows / weights) < 1e-9, `${bits.stored.total}`);
  assert.ok(layer_error.mean > 0.05 && layer_error.mean < 1, `${layer_error.mean}`);
  const { original, compressed } = perplexity.heldout;
  assert.ok(Number.isFinite(compressed) && compressed > original, `${compressed}`);
  assert.match(out, /nominal 1\.00/);
  assert.match(out, /stored 1\.\d\d = mask 0\.00 \+ signs 1\.00/);

  // What is stored is the method's own weights.
  const packed = await openPacked(join(run.path, "model")), source = await openCheckpoint({ path: model });
  const name = "model.layers.0.self_attn.q_proj.weight", cols = 256;
  const [found, w] = [await packed.read(name), await source.read(name)];
  for (let row = 0; row < 256; row++) {
    const values = w.subarray(row * cols, (row + 1) * cols);
    const scale = Math.f16round(values.reduce((sum, x) => sum + Math.abs(x), 0) / cols);
    values.forEach((x, col) => {
      const level = found[row * cols + col];
      assert.equal(Math.sign(level), x >= 0 ? 1 : -1);
      assert.ok(Math.abs(Math.abs(level) - scale) <= 1e-3 * scale, `${level} is not ±${scale}`);
    });
  }
  packed.close();
  source.close();
});
