/**
 * The conformance suite on SwiftShader, the software Vulkan that comes with Chrome and Chromium: a second compiler and
 * another set of limits beside the machine's own adapter. Drivers are read once per process, so it runs in one of its
 * own.
 */
import assert from "node:assert/strict";
import { deviceTestFiles, TESTED_ADAPTER, thorough } from "./device_test_support.ts";
import { DRIVER, driverEnvironment, findDriver } from "./gpu/swiftshader_test_support.ts";

const ADAPTER = "SwiftShader";

const driver = findDriver() ?? "";
const env = driverEnvironment(driver);
const reason = thorough ? obstacle() : undefined;

if (reason !== undefined) console.log(`Tests on SwiftShader are skipped: ${reason}`);

Deno.test({
  name: "every operation conforms on SwiftShader [webgpu, SwiftShader]",
  ignore: !thorough || reason !== undefined && (Deno.build.os === "darwin" || !Deno.env.get("CI")),
}, async (t) => {
  assert.equal(reason, undefined);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--no-check", "--no-prompt", "--reporter=tap", `--filter=[webgpu, ${ADAPTER}]`],
      ...["--allow-read", "--allow-env", "--allow-ffi", "--allow-sys"],
      ...deviceTestFiles().map(({ path }) => path),
    ],
    env: { ...env, [TESTED_ADAPTER]: ADAPTER },
  }).output();
  const text = new TextDecoder().decode(stdout);
  let tests = 0, steps: Outcome[] = [];
  for (const [, indent, failed, title] of text.matchAll(/^( *)(not )?ok \d+ - (.+)$/gm)) {
    const outcome = { title, failed: failed !== undefined };
    if (indent !== "") {
      steps.push(outcome);
      continue;
    }
    await t.step(title, async (t) => {
      for (const { title, failed } of steps) await t.step(title, () => assert.ok(!failed, `${title} fails`));
      assert.ok(!outcome.failed, `${title} fails`);
    });
    steps = [];
    tests++;
  }
  assert.ok(tests >= 10, `${tests} tests ran`);
  assert.equal(code, 0, `${text}\n${new TextDecoder().decode(stderr)}`);
});

/** One line of the other process's report. */
interface Outcome {
  readonly title: string;
  readonly failed: boolean;
}

/** Why another process cannot compute on SwiftShader. */
function obstacle(): string | undefined {
  // WebGPU is Metal there, which no Vulkan driver changes.
  if (Deno.build.os === "darwin") return "WebGPU does not use Vulkan on macOS";
  if (driver === "") return `no ${DRIVER} was found: install Chromium or Chrome`;
  const code = "console.log((await navigator.gpu.requestAdapter())?.info.description ?? 'none')";
  try {
    const { stdout } = new Deno.Command(Deno.execPath(), { args: ["eval", code], env }).outputSync();
    const found = new TextDecoder().decode(stdout).trim();
    return found.includes(ADAPTER) ? undefined : `with ${driver} the adapter is ${found}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
