/** A sweep of a small real model on the command line: planned, killed, resumed, with points that fail, and shown again. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../datasets/random.ts";
import { readSweepRecord } from "../runner/sweep/sweep_folder.ts";
import { project, runsIn, runTask, startUntil, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { writeRandomRecipe } from "./small_models_test_support.ts";

/** Steps of one point of this model. */
const STEPS = 14;

/** Three recipes that can be, and one whose groups of seven do not fit the columns. */
const SWEEP = `extends: ./small.yaml
name: small
stages: { calibrate: { inputs: original } }
matrix:
  stages.coarse-search.keep: [4, 5]
include:
  - { stages.coarse-search.of: 7, stages.coarse-search.keep: 3, stages.spbo.group_size: 126 }
  - stages.spbo.resign: 3
`;

/** Writes the sweep and what it extends. @returns arguments of the command */
async function prepare(folder: string) {
  await writeRandomRecipe(folder, { model: join(project, "models", "testdata", "qwen3"), name: "small" });
  const path = join(folder, "sweep.yaml");
  writeFileSync(path, SWEEP);
  const runs = join(folder, "runs");
  return { runs, path, args: [path, "--cache", join(folder, "cache"), "--runs", runs] };
}

/** The only sweep in a folder of runs. */
function onlySweep(runs: string): string {
  const [name, ...more] = readdirSync(join(runs, "sweeps"));
  assert.deepEqual(more, []);
  return join(runs, "sweeps", name);
}

Deno.test("sweep plans, survives kills, tells of the point that cannot be, and shows its results again", async (test) => {
  using folder = temporaryFolder();
  const { args, runs } = await prepare(folder.path);
  const cache = args.slice(0, 3);

  await test.step("plan says what is shared, and which point cannot run", async () => {
    const { code, out } = await runTask("plan", [...cache, "--exit-code"]);
    assert.equal(code, 10);
    const rows = out.split("\n").filter((line) => / {2}(will run|cannot run) /.test(line));
    assert.deepEqual(rows.map((row) => row.split(/ {2,}/).slice(0, 3)), [
      ["keep 4", "will run", `${STEPS}`],
      ["keep 5", "will run", "8"],
      ["keep 3, of 7, group_size 126", "cannot run", "–"],
      ["resign 3", "will run", "7"],
    ]);
    assert.match(out, /^keep 3, of 7, group_size 126: Cannot /m);
    assert.match(
      out,
      /^4 points, 1 calibration, 13 of 42 steps shared, 1 cannot run, 29 to run, about\s/m,
    );
  });

  await test.step("killed at random moments, it goes on and does nothing twice", async () => {
    const random = seededRandom(3, "kills");
    let kills = 0;
    for (let ended = false; kills < 5 && !ended;) {
      const process = await startUntil("sweep", args, kills === 0 ? 0 : 1 + random.below(6));
      process.status.then(() => ended = true);
      await new Promise((done) => setTimeout(done, random.below(kills === 0 ? 900 : 40)));
      if (!ended) process.kill("SIGKILL");
      await process.stderr.cancel();
      const { code } = await process.status;
      ended = code === 8;
      if (!ended) kills++;
    }
    assert.ok(kills >= 3, `${kills} kills`);
    const { code, out } = await runTask("sweep", args);
    assert.equal(code, 8, out);
    const path = onlySweep(runs);
    const done = runsIn(join(path, "points")).flatMap(({ events }) =>
      events.flatMap((event) => event.type === "step-finished" && event.reused !== true ? [event.step] : [])
    );
    const { points, steps } = readSweepRecord(path);
    assert.deepEqual(steps, { all: 42, different: 29 });
    // A kill between a step's end and its line in the journal leaves a result that nobody tells of.
    assert.ok(done.length <= steps.different && done.length >= steps.different - kills, `${done.length} steps`);
    assert.deepEqual(points.map(({ state }) => state), ["finished", "finished", "failed", "finished"]);
    const [, , failed] = points;
    assert.equal(failed.exit, 3);
    assert.match(failed.error ?? "", /^Cannot prune .*7/);
    assert.match(out, /^points {2}3 finished, 1 failed$/m);
    assert.match(out, /^time {4}.*, \d\.\d\d of the .* that they take alone$/m);
  });

  await test.step("asked again it shows the results at once, with the files that are there", async () => {
    const path = onlySweep(runs), before = readFileSync(join(path, "sweep.json"), "utf8");
    const { code, out } = await runTask("sweep", [...args, "--retry-failed"]);
    assert.equal(code, 8);
    assert.match(out, /^points {2}3 finished, 1 failed: all from before$/m);
    assert.equal(readFileSync(join(path, "sweep.json"), "utf8"), before);
    assert.deepEqual(readdirSync(path).filter((name) => !name.startsWith(".")).sort(), [
      ...["leaderboard.csv", "leaderboard.json", "leaderboard.md", "points", "report.html", "sweep.json"],
      "sweep.lock.yaml",
    ]);
    assert.deepEqual((await runTask("plan", [...cache, "--exit-code"])).code, 0);
  });

  await test.step("--only leaves out the point that fails; nothing is made again", async () => {
    const out = await succeed("sweep", [...args, "--only", "keep 4", "--only", "RESIGN*", "--json"]);
    assert.equal(out.trim().split("\n").at(-1), onlySweep(runs));
    assert.ok(!out.includes("step-finished"));
  });

  await test.step("a point's metrics are those of its recipe run alone", async () => {
    const alone = join(folder.path, "alone.yaml");
    writeFileSync(alone, SWEEP.slice(0, SWEEP.indexOf("matrix:")));
    const [cached, other] = [args.slice(1, 3), join(folder.path, "runs-alone")];
    const out = await succeed("run", [
      ...[alone, ...cached, "--runs", other, "--set", "stages.coarse-search.keep=5"],
      "--json",
    ]);
    const single = JSON.parse(readFileSync(join(out.trim().split("\n").at(-1)!, "metrics.json"), "utf8"));
    const metrics = readSweepRecord(onlySweep(runs)).points[1].metrics as Record<string, unknown>;
    assert.deepEqual(metrics.perplexity, single.perplexity);
    assert.equal(single.steps.run, 0);
  });

  await test.step("where all points are finished, the part of the time that single runs take is told once", async () => {
    const both = join(folder.path, "both.yaml");
    writeFileSync(both, SWEEP.slice(0, SWEEP.indexOf("include:")));
    const out = await succeed("sweep", [both, ...args.slice(1, 3), "--runs", join(folder.path, "runs-both")]);
    assert.equal(out.replaceAll(/\s+/g, " ").match(/\d\.\d\d of the/g)?.length, 1, out);
    assert.match(out, /^points {2}2 finished$/m);
  });

  await test.step("a result that misses what is expected ends with 7, unless a point has failed", async () => {
    const missing = [
      ...cache,
      "--runs",
      join(folder.path, "runs-expect"),
      "--set",
      "expect.heldout={value: 1, within: 0.1}",
    ];
    const missed = await runTask("sweep", [...missing, "--only", "keep 4"]);
    assert.equal(missed.code, 7);
    assert.match(missed.err, /^warning: keep 4 misses what its recipe expects$/m);
    assert.equal((await runTask("sweep", missing)).code, 8);
  });
});

Deno.test("run refuses a sweep, sweep a recipe, and both what is wrong in it", async () => {
  using folder = temporaryFolder();
  const { path, args } = await prepare(folder.path);
  const { code, err } = await runTask("run", args);
  assert.equal(code, 2);
  assert.match(err, /^error: this recipe is a sweep, and one recipe is wanted here$/m);
  const recipe = await runTask("sweep", [join(folder.path, "small.yaml"), ...args.slice(1)]);
  assert.deepEqual([recipe.code, recipe.out], [2, ""]);
  assert.match(
    recipe.err,
    /^error: Cannot sweep .*small\.yaml as it has neither `matrix` nor `include`: deno task run/,
  );
  const only = await runTask("sweep", [...args, "--only", "kep 4"]);
  assert.equal(only.code, 2);
  assert.match(only.err, /did you mean "keep 4"\?/);
  writeFileSync(path, SWEEP.replace("[4, 5]", "[4, 50]"));
  for (const task of ["sweep", "plan"]) {
    const wrong = await runTask(task, task === "plan" ? args.slice(0, 3) : args);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /keep cannot be above of: 50 of every 8\n --> .*sweep\.yaml:5:34\n/);
  }
  assert.deepEqual(readdirSync(folder.path).filter((name) => name === "runs"), []);
});
