import assert from "node:assert/strict";
import { normal } from "../kernels/binary/row_kernels_test_support.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import { deviceTest } from "../kernels/device_test_support.ts";
import { packUpper } from "../kernels/matrix/ops.ts";
import { openDeviceLayers } from "./device_pool.ts";
import type { LayerJob, Propagation } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, settingsWith } from "./layer_test_support.ts";
import { openLayer } from "./open.ts";
import { inOrder } from "./order.ts";
import { openLayerPool } from "./pool.ts";
import { Scope } from "./scope.ts";
import { shareDevice } from "./shared_device.ts";

const ROWS = 6, COLS = 32, TOKENS = 400;

/** A layer that is added to a residual stream, on tokens of which everything is known, in float64. */
function sceneOf() {
  const next = normal(13), row = (length: number) => Float64Array.from({ length }, next);
  const weight = Float32Array.from({ length: ROWS * COLS }, next), mixing = row(ROWS * COLS);
  const tokens = Array.from({ length: TOKENS }, () => {
    const original = row(COLS), now = original.map((x) => 0.9 * x + 0.3 * next());
    // What the stream is off has to do with the inputs, in part.
    const off = row(ROWS).map((x, r) => 0.2 * x + 0.3 * dot(mixing.subarray(r * COLS, (r + 1) * COLS), now));
    return { original, now, off };
  });
  const sum = (a: (token: typeof tokens[0]) => Float64Array, b: (token: typeof tokens[0]) => Float64Array) => {
    const wide = COLS, out = new Float64Array(a(tokens[0]).length * wide);
    for (const token of tokens) {
      const [x, y] = [a(token), b(token)];
      for (let i = 0; i < x.length; i++) for (let j = 0; j < wide; j++) out[i * wide + j] += x[i] * y[j] / TOKENS;
    }
    return Float32Array.from(out);
  };
  const settings = settingsWith({ spbo: { group_size: 16, solver: "joint" }, compensate: { mode: "exact" } });
  const job: LayerJob = {
    ...{ name: "o_proj", rows: ROWS, cols: COLS, weight, keep: 4, of: 8, settings },
    upper: packUpper(sum(({ now }) => now, ({ now }) => now), COLS),
  };
  const propagation: Propagation & { readonly residual: Float32Array } = {
    cross: sum(({ original }) => original, ({ now }) => now),
    residual: sum(({ off }) => off, ({ now }) => now),
    ...{ share: 1, damping: 1e-5 },
  };
  return { job, propagation, tokens };
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}

const fresh = ({ job, propagation }: Pick<ReturnType<typeof sceneOf>, "job" | "propagation">): LayerJob => ({
  ...copyJob(job),
  propagation: { ...propagation, cross: propagation.cross.slice(), residual: propagation.residual.slice() },
});

deviceTest("openLayer() makes weights that make up for what the residual stream is off, too", async (device) => {
  const { job, propagation, tokens } = sceneOf();
  const open = async (job: LayerJob) => {
    const scope = new Scope(device), { weight } = openLayer(device, scope, job, 16);
    const [found] = await device.download([weight.buffer]);
    scope.close();
    return Float64Array.from(found);
  };
  /** Per token, how far the sum of stream and layer is from the original model's. */
  const lossOf = (w: Float64Array) =>
    tokens.reduce((sum, { original, now, off }) => {
      for (let r = 0; r < ROWS; r++) {
        const own = Float64Array.from(job.weight.subarray(r * COLS, (r + 1) * COLS));
        sum += (dot(w.subarray(r * COLS, (r + 1) * COLS), now) - dot(own, original) - off[r]) ** 2 / TOKENS;
      }
      return sum;
    }, 0);
  const best = await open(fresh({ job, propagation })), least = lossOf(best);
  const { residual: _residual, ...without } = propagation, other = { ...without, cross: without.cross.slice() };
  assert.ok(least < 0.9 * lossOf(await open({ ...fresh({ job, propagation }), propagation: other })));
  // No step along any weight makes it less: at damping 0 it would be the exact minimum.
  for (const at of [0, 17, 95, ROWS * COLS - 1]) {
    for (const step of [-0.02, 0.02]) {
      const near = best.slice();
      near[at] += step;
      assert.ok(lossOf(near) > least, `weight ${at}`);
    }
  }
  // Half of the way is half of the change.
  const half = await open(fresh({ job, propagation: { ...propagation, share: 0.5 } }));
  const off = Math.max(...half.map((w, i) => Math.abs(w - (best[i] + job.weight[i]) / 2)));
  assert.ok(off < 1e-3, `${off}`);
});

Deno.test("quantizeLayer() with a residual stream does not depend on a layer's scale, nor on who quantizes", async () => {
  const { job, propagation } = sceneOf(), device = openCpuDevice();
  const alone = await quantizeLayer(device, fresh({ job, propagation }));
  for (const k of [-40, 7, 40]) {
    const { error } = await quantizeLayer(device, {
      ...job,
      weight: job.weight.map((w) => w * 2 ** k),
      upper: job.upper?.map((x) => x * 2 ** (-2 * k)),
      propagation: {
        ...propagation,
        cross: propagation.cross.map((x) => x * 2 ** (-2 * k)),
        residual: propagation.residual.map((x) => x * 2 ** -k),
      },
    });
    assert.ok(Math.abs(error / alone.error - 1) < 1e-5, `2^${k}`);
  }
  const shared = shareDevice(() => Promise.resolve(openCpuDevice()));
  for (const pool of [openLayerPool({ workers: 2 }), openDeviceLayers(shared)]) {
    const first = fresh({ job, propagation });
    const jobs = ["a", "b"].map((name) => ({ ...first, name, weight: job.weight.slice() }));
    for (const { layer } of await pool.quantize(jobs)) assert.deepEqual(layer, alone.layer);
    pool.close();
  }
  shared.close();
  await assert.rejects(
    quantizeLayer(device, { ...job, propagation: { ...propagation, residual: new Float32Array(7) } }),
    /what its residual stream is off must be 192: current value is 7/,
  );
  await device.destroy();
});

Deno.test("inOrder() takes a residual stream's moments with the columns", () => {
  const { job, propagation } = sceneOf(), order = Uint32Array.from({ length: COLS }, (_, i) => (5 * i + 3) % COLS);
  const half = { upper: job.upper ?? assert.fail(), cross: propagation.cross, residual: propagation.residual };
  const moved = inOrder({ ...job, propagation: { ...propagation, half } }, order).propagation;
  for (const found of [moved?.residual, moved?.half?.residual]) {
    assert.deepEqual(
      found,
      propagation.residual.map((_, at) => propagation.residual[at - at % COLS + order[at % COLS]]),
    );
  }
});
