/** A run whose GPU is lost ends with a clear failure, and goes on from its last finished block. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasAdapter } from "../kernels/gpu/webgpu_test_support.ts";
import {
  lastRun,
  metricsOf,
  type Outcome,
  project,
  succeed,
  tasks,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

// Without an adapter the test support says why; in CI that is a failure.
const ignore = !hasAdapter && !Deno.env.get("CI");

/** Runs the command line with its own permissions; once `step` is finished, its GPU is lost. */
async function loseAfter(step: string, args: readonly string[]): Promise<Outcome> {
  const [deno, ...words] = tasks.pbs2p.command.replace("$PBS2P_NET", "").split(" "), main = words.pop();
  assert.deepEqual([deno, main], ["deno", "cli/main.ts"]);
  const child = fileURLToPath(new URL("device_loss_child_test_support.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...words, child, step, ...args],
    cwd: project,
    env: { NO_COLOR: "1", INIT_CWD: project, PBS2P_DEBUG: "", PBS2P_CACHE: "", PBS2P_RUNS: "" },
    stdin: "null",
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

Deno.test({ name: "run on a GPU that is lost fails by the kernel and resumes after it [webgpu]", ignore }, async () => {
  using folder = temporaryFolder();
  const model = join(folder.path, "model");
  cutModel(models.llama, model, 2);
  // What is quick on software devices.
  const spbo = { salient: false, split_points: 0, resign: 0, solver: "alternate", iterations: 1 };
  const stages = { spbo, compensate: { mode: "diagonal" } };
  const recipe = writeRecipe(folder.path, { model, windows: models.llama, stages });
  const runs = join(folder.path, "runs");
  const args = [recipe, "--device", "webgpu", "--cache", join(folder.path, "cache"), "--runs", runs];

  const { code, err } = await loseAfter("calibrate[1]", ["run", ...args, "--json"]);
  assert.equal(code, 5, err);
  assert.match(
    err,
    /error: Cannot complete step spbo\[1\]: .*Cannot finish "\w[^"]*".* as the WebGPU device was lost .*run it again/s,
  );
  const failed = lastRun(runs);
  assert.ok(failed.finished.includes("pack[0]") && !failed.finished.includes("spbo[1]"), failed.finished.join());
  assert.ok(!existsSync(join(failed.path, "metrics.json")), "no result is claimed");
  const last = failed.events.at(-1);
  assert.equal(last?.type, "run-failed");

  await succeed("run", args);
  const resumed = lastRun(runs), done = [...failed.finished, ...resumed.finished];
  assert.ok(resumed.finished.includes("spbo[1]"));
  assert.deepEqual(done.filter((id, at) => done.indexOf(id) !== at), [], "nothing is done twice");
  assert.ok(metricsOf(resumed).perplexity.heldout.compressed < 1e4);
});
