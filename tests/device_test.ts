/** `--device` and `--forward` on the command line, and what a run's record says of them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { Finding } from "../cli/finding.ts";
import { readRun } from "../runner/history.ts";
import type { DeviceRecord } from "../runner/stage.ts";
import { lastRun, runTask, succeed, type Surroundings, temporaryFolder } from "./command_line_test_support.ts";
import { models, writeRecipe } from "./small_models_test_support.ts";

/** One that no build of onnxruntime has on this system. */
const MISSING = Deno.build.os === "darwin" ? "dml" : "coreml";

Deno.test("run says where kernels and forward passes run, and why: on the terminal, in journal, lock and runs show", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const recipe = writeRecipe(folder, { model: models.llama, stages: { calibrate: { samples: 2, length: 16 } } });
  const places = ["--cache", join(folder, "cache"), "--runs", join(folder, "runs")];
  const out = await succeed("run", [
    recipe,
    "--until",
    "calibrate",
    "--set",
    "stages.calibrate.inputs=original",
    ...places,
  ]);
  const { path, events: [started] } = lastRun(join(folder, "runs"));
  assert.ok(started.type === "run-started");
  const { device } = started;
  // This machine may have a GPU.
  assert.match(device.why, /^auto: /);
  assert.match(device.forward?.why ?? "", /^auto: /);
  assert.ok(device.name !== "" && ["cpu", "webgpu"].includes(device.kind), JSON.stringify(device));
  const { lock }: { lock: { device: DeviceRecord } } = parse(readFileSync(join(path, "recipe.lock.yaml"), "utf8"));
  assert.deepEqual(lock.device, device);
  const words = out.replace(/\s+/g, " ");
  assert.ok(words.includes(`kernels on ${device.kind} (${device.why})`), out);
  assert.ok(words.includes(`forward passes on ${device.forward?.provider} (${device.forward?.why})`), out);
  const indented = out.split("\n").filter((line) => line.startsWith("  "));
  assert.ok(indented.length >= 2 && indented.every((line) => [...line].length <= 80), out);
  const shown = (await succeed("runs", ["show", "last", "--runs", join(folder, "runs")])).replace(/\s+/g, " ");
  assert.ok(shown.includes(`device ${device.kind} (${device.name}): ${device.why}`), shown);
  assert.ok(shown.includes(`forward ${device.forward?.provider}: ${device.forward?.why}`), shown);
  assert.deepEqual(readRun(join(folder, "runs"), "last").device, device);
});

Deno.test("plan chooses as run does and names it; a provider that is not there is refused, not replaced", async () => {
  using temporary = temporaryFolder();
  const places = ["--cache", join(temporary.path, "cache")];
  const plan = async (...options: string[]): Promise<DeviceRecord> =>
    JSON.parse(await succeed("plan", ["configs/quickstart.yaml", "--json", ...options, ...places])).device;
  const cpu = await plan("--device", "cpu", "--forward", "cpu");
  assert.deepEqual({ ...cpu, name: "" }, {
    ...{ kind: "cpu", name: "", why: "asked for with --device cpu" },
    forward: { provider: "cpu", why: "asked for with --forward cpu" },
  });
  assert.match((await plan("--device", "cpu")).forward?.why ?? "", /^auto: the kernels run on the CPU too$/);
  for (const command of ["plan", "run"]) {
    const { code, err } = await runTask(command, ["configs/quickstart.yaml", "--forward", MISSING, ...places]);
    assert.equal(code, 3, err);
    const words = err.replace(/\s+/g, " ");
    assert.match(
      words,
      new RegExp(`onnxruntime's ${MISSING} provider: .* no such provider \\(it has .*cpu.*--forward cpu`),
    );
  }
});

Deno.test("generate writes with the cpu provider, and refuses one that is not there", async () => {
  const args = [models.llama, "--prompt", "The people", "--max-tokens", "2"];
  assert.match(await succeed("generate", args), /^The people/);
  const twice = await runTask("generate", [models.llama, "--prompt", "<s>The people", "--max-tokens", "2"]);
  assert.match(twice.err, /^the prompt spells <s> itself, .* it begins with two\n$/);
  const { code, err } = await runTask("generate", [...args, "--forward", MISSING]);
  assert.equal(code, 3, err);
  assert.match(err, /no such provider/);
});

/** No adapter is found where the system's own backends are not asked. */
const NO_ADAPTER = { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" };

Deno.test("without an adapter auto is the CPU, webgpu is refused with what to do, and doctor gives the same advice", async () => {
  using temporary = temporaryFolder();
  const args = ["configs/quickstart.yaml", "--json", "--cache", join(temporary.path, "cache")];
  const { device }: { device: DeviceRecord } = JSON.parse(await succeed("plan", args, { env: NO_ADAPTER }));
  assert.deepEqual([device.kind, device.why], ["cpu", "auto: no WebGPU adapter was found"]);
  const { code, err } = await runTask("plan", [...args, "--device", "webgpu"], { env: NO_ADAPTER });
  assert.equal(code, 3, err);
  assert.match(err.replace(/\s+/g, " "), /no adapter was found: install a driver .* or use --device cpu/);
  const findings = await doctor(["--no-measure"], { env: NO_ADAPTER });
  assert.equal(findings.WebGPU.value, "no adapter");
  assert.match(findings.WebGPU.advice ?? "", /the CPU does it all; for a GPU install/);
});

Deno.test("doctor shows the adapter, rates, providers and what auto makes of them", async () => {
  using temporary = temporaryFolder();
  const found = await doctor(["--cache", temporary.path]);
  const { cpu } = found.Products.facts as { cpu: { gflops: number } };
  assert.ok(cpu.gflops > 0.1 && Number.isFinite(cpu.gflops));
  const forward = found.Forward.facts as { provider: string; usable: boolean; problem?: string }[];
  assert.deepEqual(forward.find(({ provider }) => provider === "cpu"), { provider: "cpu", usable: true });
  for (const { usable, problem } of forward) assert.ok(usable || problem !== undefined && !problem.includes("\n"));
  const { device } = found.Auto.facts as { device: { kind: string; software: boolean } };
  if (found.WebGPU.value === "no adapter") return assert.equal(device.kind, "cpu");
  const { software, limits } = found.WebGPU.facts as { software: boolean; limits: Record<string, number> };
  assert.equal(device.kind, software ? "cpu" : "webgpu");
  assert.ok(Object.values(limits).length === 4 && Object.values(limits).every((limit) => limit > 0));
  assert.ok(found.Products.lines?.some((line) => /^webgpu \S+ [GT]FLOP\/s/.test(line)), `${found.Products.lines}`);
});

Deno.test("doctor fits 80 columns", async () => {
  const out = await succeed("doctor", ["--no-measure"]);
  for (const line of out.split("\n")) assert.ok([...line].length <= 80 || /\S{60}/.test(line), line);
  assert.match(out, /^Auto {9}kernels on \w+, forward passes on \w+$/m);
});

/** What `doctor --json` says, by name. */
async function doctor(args: readonly string[], surroundings?: Surroundings): Promise<Record<string, Finding>> {
  const findings: Finding[] = JSON.parse(await succeed("doctor", ["--json", ...args], surroundings));
  return Object.fromEntries(findings.map((finding) => [finding.name, finding]));
}
