/**
 * The forward pass on onnxruntime's webgpu provider: on this machine's adapter where the provider takes it, else on
 * SwiftShader, the software Vulkan beside Chromium (it refuses lavapipe). Drivers are read once per process, so that
 * runs in one of its own.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { driverEnvironment, findDriver } from "../kernels/gpu/swiftshader_test_support.ts";
import type { ProviderRun } from "./webgpu_provider_child_test_support.ts";

Deno.test("openForward() meets transformers' logits on the webgpu provider, and generate() the cpu's tokens", async () => {
  const run = await tryProvider();
  if (typeof run === "string" || "failure" in run.probe) {
    const reason = typeof run === "string" ? run : "failure" in run.probe && run.probe.failure;
    assert.ok(!Deno.env.get("CI"), `Cannot try the webgpu provider: ${reason}`);
    return console.log(`  skipped: the webgpu provider does not open (${reason})`);
  }
  const { probe, logits, tokens } = run;
  assert.ok(logits && tokens);
  // Measured on SwiftShader: 1.1e-6 and 1.0e-6.
  assert.ok(probe.difference < 1e-5, `a small model is off by ${probe.difference}`);
  assert.ok(logits.difference <= 1e-5 * logits.largest, `logits are off by ${logits.difference} of ${logits.largest}`);
  assert.deepEqual(tokens.webgpu, tokens.cpu);
});

/** @returns what the provider made, or why nothing could be tried */
async function tryProvider(): Promise<ProviderRun | string> {
  const mayRun = (await Deno.permissions.query({ name: "run", command: Deno.execPath() })).state === "granted";
  if (!mayRun) return "the test may not start programs (--allow-run)";
  const run = await startProcess({});
  const driver = findDriver();
  if (!("failure" in run.probe) || driver === undefined) return run;
  return await startProcess(driverEnvironment(driver));
}

async function startProcess(env: Readonly<Record<string, string>>): Promise<ProviderRun> {
  const program = join(dirname(fileURLToPath(import.meta.url)), "webgpu_provider_child_test_support.ts");
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--allow-read", "--allow-env", "--allow-ffi", "--allow-sys", program],
    env: { NO_COLOR: "1", ...env },
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
