/** `--with`: another model and other texts under a recipe's method, by the command line. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import {
  lastRun,
  linesOf,
  metricsOf,
  project,
  runTask,
  startTask,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models } from "./small_models_test_support.ts";

/** The quickstart's recipe, and a smaller model with less text to lay on it. */
function settle(folder: string) {
  const model = join(folder, "small"), top = join(folder, "small texts.yaml");
  mkdirSync(model);
  cutModel(models.llama, model, 2);
  const from = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  writeFileSync(
    top,
    stringify({
      model: { path: "./small" },
      stages: {
        calibrate: { dataset: from("calibration"), samples: 4, length: 64 },
        evaluate: { perplexity: [{ name: "short", dataset: from("heldout"), samples: 4, length: 64 }] },
      },
    }),
  );
  const runs = join(folder, "runs"), places = ["--cache", join(folder, "cache")];
  return { top, runs, places, recipe: join(project, "configs", "quickstart.yaml") };
}

Deno.test("run --with makes a recipe's method of another model and its texts; what is interrupted goes on with the same", async () => {
  using temporary = temporaryFolder();
  const { top, runs, places, recipe } = settle(temporary.path);
  const args = [recipe, "--with", top, "--device", "cpu", "--allow-plugins", ...places];
  const planned = JSON.parse(await succeed("plan", [...args, "--json"]));
  assert.deepEqual([planned.recipe, planned.model], ["quickstart with small texts", "small"]);

  const process = startTask("run", [...args, "--runs", runs, "--json"]);
  let finished = 0;
  for await (const line of linesOf(process.stdout)) {
    if (line.includes('"step-finished"') && ++finished === 2) process.kill("SIGINT");
  }
  await process.stderr.cancel();
  await process.status;
  const last = lastRun(runs).events.at(-1);
  assert.ok(last?.type === "run-interrupted", JSON.stringify(last));
  const words = [...last.next.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);
  assert.deepEqual(words.slice(0, 6), ["deno", "task", "run", recipe, "--with", top]);
  assert.ok(words.includes("--allow-plugins"));

  const out = await succeed("run", words.slice(3));
  const run = lastRun(runs), { perplexity, keep } = metricsOf(run);
  assert.ok(!run.finished.includes("calibrate.windows"), run.finished.join());
  assert.deepEqual([Object.keys(perplexity), keep?.length], [["short"], 2]);
  assert.match(run.path, /-quickstart-with-small-texts$/);
  assert.match(out, /Done: partly from the cache/);
  const lock = await Deno.readTextFile(join(run.path, "recipe.lock.yaml"));
  assert.match(lock, /path: \.\.\/\.\.\/small\n/);
});

Deno.test("run --with of what is no recipe ends with 2, and names the file that is meant", async () => {
  using temporary = temporaryFolder();
  const { top, places, recipe } = settle(temporary.path);
  const { code, err } = await runTask("run", [recipe, "--with", top.replace("texts", "text"), ...places]);
  assert.equal(code, 2);
  assert.match(
    err.replaceAll(/\s+/g, " "),
    /^error: cannot read recipe `[^`]*small text\.yaml`: there is no such file.*did you mean `[^`]*small texts\.yaml`/,
  );
});
