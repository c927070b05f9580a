/** What errors inside a column block cost the layer: spbo's `block_metric`. */
import assert from "node:assert/strict";
import { openCpuDevice } from "../kernels/cpu.ts";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import { matrix } from "../kernels/device.ts";
import { copy, packUpper, unpackUpper } from "../kernels/matrix/ops.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { quantizeBlocks } from "./blocks.ts";
import type { LayerJob } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, energy, randomJob, type SettingsChange, settingsWith } from "./layer_test_support.ts";
import { spbo } from "./methods/mod.ts";
import { openLayer } from "./open.ts";
import { Scope } from "./scope.ts";

const [ROWS, COLS, GROUP] = [12, 104, 40];

/** A layer without dead inputs, nearly undamped. */
function jobWith(change: SettingsChange): LayerJob & { readonly upper: Float32Array } {
  const settings = settingsWith({
    ...change,
    spbo: { group_size: GROUP, solver: "joint", ...change.spbo },
    compensate: { mode: "exact", damping: 1e-6, ...change.compensate },
    pack: { scales: "f32" },
  });
  const job = randomJob("layer", { rows: ROWS, cols: COLS, settings, keep: 5 }), h = unpackUpper(job.upper, COLS);
  h[2 * (COLS + 1)] = 1;
  return { ...job, upper: packUpper(h, COLS) };
}

/** Σ_b ‖(T_b − Ŵ_b)·R_bb‖² with the targets and factor that the loop uses, and tr((W−Ŵ)H(W−Ŵ)ᵀ), both in float64. */
async function losses(job: LayerJob & { readonly upper: Float32Array }): Promise<{ blocks: number; layer: number }> {
  const device = openCpuDevice(), scope = new Scope(device), own = copyJob(job);
  try {
    const layer = openLayer(device, scope, own, GROUP), params = spbo.params.parse(job.settings.params);
    const run = spbo.open(device, scope, { job: own, params, layer, group: GROUP, pruned: job.of - job.keep });
    const saved = [0, 40, 80].map((col) => Math.min(GROUP, COLS - col)).map((cols) => ({
      target: scope.matrix("f32", ROWS, cols),
      decoded: scope.matrix("f32", ROWS, cols),
    }));
    quantizeBlocks(device, scope, {
      ...{ job: own, layer, name: spbo.name, group: GROUP },
      run: {
        ...{
          arrays: run.arrays,
          facts: run.facts,
          block: (block) => run.block(block),
          decode: (block) => run.decode(block),
        },
        store(block) {
          device.run(copy, saved[block.index].target, block.target);
          device.run(copy, saved[block.index].decoded, block.decoded);
          run.store(block);
        },
      },
    });
    const corners = (layer.factor?.panels ?? []).map((panel) => {
      const out = scope.matrix("f32", panel.cols, panel.cols);
      device.run(copy, out, {
        ...panel,
        rows: panel.cols,
        offset: panel.offset + (panel.rows - panel.cols) * panel.stride,
      });
      return out;
    });
    const left = matrix(layer.weight.buffer, ROWS, COLS);
    const found = await device.download(
      [left, ...saved.flatMap(({ target, decoded }) => [target, decoded]), ...corners].map(({ buffer }) => buffer),
    );
    let blocks = 0;
    for (let b = 0; b < saved.length; b++) {
      const [t, q, r] = [found[1 + 2 * b], found[2 + 2 * b], found[1 + 2 * saved.length + b]],
        cols = saved[b].target.cols;
      for (let row = 0; row < ROWS; row++) {
        for (let j = 0; j < cols; j++) {
          let sum = 0;
          for (let k = 0; k <= j; k++) sum += (t[row * cols + k] - q[row * cols + k]) * r[k * cols + j];
          blocks += sum ** 2;
        }
      }
    }
    const h = Float64Array.from(unpackUpper(job.upper, COLS));
    return { blocks, layer: energy(Float64Array.from(found[0]), h, ROWS, COLS) };
  } finally {
    scope.close();
    await device.destroy();
  }
}

for (const metric of ["raw", "conditional"] as const) {
  Deno.test(`with exact feedback a layer's error is what its blocks' conditional metrics add up to: ${metric}`, async () => {
    const { blocks, layer } = await losses(jobWith({ spbo: { block_metric: metric } }));
    // What damping adds to H, and float32.
    assert.ok(Math.abs(blocks / layer - 1) < 1e-4, `${blocks}, not ${layer}`);
    const diagonal = await losses(jobWith({ spbo: { block_metric: metric }, compensate: { mode: "diagonal" } }));
    assert.ok(Math.abs(diagonal.blocks / diagonal.layer - 1) > 1e-2, "with other feedback it is not");
  });
}

Deno.test("block_metric conditional lowers the error of a layer whose later blocks absorb much", async () => {
  const device = openCpuDevice();
  try {
    for (const spbo of [{}, { resign: 2 }, { solver: "alternate", iterations: 40 }]) {
      const [raw, conditional] = await Promise.all(
        (["raw", "conditional"] as const).map((block_metric) =>
          losses(jobWith({ spbo: { ...spbo, block_metric } })).then(({ layer }) => layer)
        ),
      );
      assert.ok(conditional < raw, `${JSON.stringify(spbo)}: ${conditional} and ${raw}`);
    }
    // Where there is one block, nothing absorbs anything.
    const whole = (block_metric: string) => jobWith({ spbo: { group_size: 104, block_metric, salient: false } });
    const [a, b] = [
      await quantizeLayer(device, copyJob(whole("raw"))),
      await quantizeLayer(device, copyJob(whole("conditional"))),
    ];
    assert.ok(Math.abs(a.error / b.error - 1) < 1e-3, `${a.error}, ${b.error}`);
  } finally {
    await device.destroy();
  }
});

Deno.test({
  name: "block_metric conditional gives the CPU's layer [webgpu]",
  ignore: !hasAdapter && !Deno.env.get("CI"),
  fn: async () => {
    const job = jobWith({ spbo: { block_metric: "conditional", resign: 1 } });
    const cpu = openCpuDevice(), gpu = await openWebGpuDevice();
    const wanted = await quantizeLayer(cpu, copyJob(job)), found = await quantizeLayer(gpu, copyJob(job));
    assert.ok(Math.abs(found.error / wanted.error - 1) < 1e-2, `${found.error}, not ${wanted.error}`);
    await cpu.destroy();
    await gpu.destroy();
  },
});
