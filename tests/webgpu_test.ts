/** The same recipe on the CPU and on WebGPU, through the real command line. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import { lastRun, metricsOf, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { maskDifference } from "./masks_test_support.ts";
import { models, writeRecipe } from "./small_models_test_support.ts";

// Without an adapter the test support says why; in CI that is a failure.
const ignore = !hasAdapter && !Deno.env.get("CI");

Deno.test({ name: "run --device webgpu gives the CPU's masks and its perplexity [webgpu]", ignore }, async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  // Enough text for perplexities that do not hang on single weights.
  const from = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const recipe = writeRecipe(folder, {
    model: models.llama,
    stages: {
      // Each block then sees the same inputs on both devices.
      calibrate: { samples: 32, length: 128, inputs: "original" },
      evaluate: { perplexity: [{ name: "heldout", dataset: from("heldout"), samples: 24, length: 256 }] },
    },
  });
  const run = async (device: string) => {
    const runs = join(folder, device);
    await succeed("run", [recipe, "--device", device, "--cache", join(folder, "cache"), "--runs", runs]);
    const last = lastRun(runs);
    return { metrics: metricsOf(last), model: join(last.path, "model") };
  };
  const [cpu, gpu] = [await run("cpu"), await run("webgpu")];
  assert.equal(gpu.metrics.device.kind, "webgpu");
  assert.ok(gpu.metrics.steps.cached > 0, "what no kernel made is shared");
  assert.ok(gpu.metrics.steps.run >= 12, "all blocks are compressed anew");
  assert.deepEqual(gpu.metrics.keep, cpu.metrics.keep);
  const ratio = gpu.metrics.perplexity.heldout.compressed / cpu.metrics.perplexity.heldout.compressed;
  const { weights, moved } = await maskDifference(cpu.model, gpu.model);
  // Ties, and what follows from them in later blocks.
  console.log(`  ${moved} of ${weights} masks differ, perplexity by a factor of ${ratio}`);
  assert.ok(moved <= 0.01 * weights, `${moved} of ${weights} masks differ`);
  assert.ok(Math.abs(ratio - 1) < 0.005, `perplexities differ by a factor of ${ratio}`);
});
