/** Runs that are killed, interrupted or made with fewer cores come to the same bytes, and do nothing twice. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../datasets/random.ts";
import {
  assertSameBytes,
  lastRun,
  metricsOf,
  modelBytes,
  type RunFolder,
  runsIn,
  runTask,
  startUntil,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

const BLOCKS = 2;

/** Everything of a result that may not depend on how it came about. */
function assertSameResult(run: RunFolder, expected: RunFolder): void {
  assertSameBytes(modelBytes(run), modelBytes(expected), "the packed model");
  const [a, b] = [metricsOf(run), metricsOf(expected)];
  assert.deepEqual([a.perplexity, a.layer_error, a.keep, a.bits], [b.perplexity, b.layer_error, b.keep, b.bits]);
}

Deno.test("run comes to the same bytes when it is undisturbed, killed, interrupted, or has one core", async (test) => {
  using folder = temporaryFolder();
  const model = join(folder.path, "model");
  cutModel(models.llama, model, BLOCKS);
  const recipe = writeRecipe(folder.path, { model, windows: models.llama });
  const places = (name: string) => {
    const [cache, runs] = ["cache", "runs"].map((kind) => join(folder.path, `${kind}-${name}`));
    return { cache, runs, args: [recipe, "--cache", cache, "--runs", runs] };
  };
  const undisturbed = places("undisturbed");
  await succeed("run", undisturbed.args);
  const expected = lastRun(undisturbed.runs);

  await test.step("killed at random moments: what is finished is not done again", async () => {
    const { args, runs, cache } = places("killed");
    const random = seededRandom(1, "kills");
    let kills = 0;
    // The first one while it starts; on a fast machine the last one may come too late.
    for (let ended = false; kills < 4 && !ended;) {
      const process = await startUntil("run", args, kills === 0 ? 0 : 1 + random.below(3));
      process.status.then(() => ended = true);
      await new Promise((done) => setTimeout(done, random.below(kills === 0 ? 600 : 60)));
      if (!ended) process.kill("SIGKILL");
      await process.stderr.cancel();
      ended = (await process.status).success;
      if (!ended) kills++;
    }
    assert.ok(kills >= 3, `${kills} kills`);
    await succeed("run", args);
    const all = runsIn(runs);
    assert.ok(all.length >= 3);
    const done = all.flatMap(({ finished }) => finished);
    assert.deepEqual(done.filter((id, at) => done.indexOf(id) !== at), [], "steps were done twice");
    // A kill between a step's end and its line in the journal leaves a result that nobody tells of.
    const untold = expected.finished.filter((id) => !done.includes(id));
    assert.ok(untold.length <= kills, untold.join());
    assertSameResult(lastRun(runs), expected);
    assert.deepEqual(readdirSync(join(cache, "tmp")), []);
    assert.match(await succeed("cache", ["verify", "--cache", cache]), /all sound/);
  });

  await test.step({
    name: "interrupted: it ends with 130, says how to go on, and goes on",
    ignore: Deno.build.os === "windows" &&
      (console.log("skipped: Windows does not send SIGINT to another process"), true),
    fn: async () => {
      const { args, runs, cache } = places("interrupted");
      const process = await startUntil("run", args, 4);
      process.kill("SIGINT");
      const err = new TextDecoder().decode(await new Response(process.stderr).bytes());
      assert.equal((await process.status).code, 130);
      assert.match(err, /To go on, give the same command again/);
      const stopped = lastRun(runs);
      const last = stopped.events.at(-1);
      assert.ok(
        last?.type === "run-interrupted" && last.next.startsWith(`deno task run ${recipe}`),
        JSON.stringify(last),
      );
      assert.ok(!existsSync(join(stopped.path, "metrics.json")));
      assert.deepEqual(readdirSync(join(cache, "tmp")), []);
      const [, , task, ...words] = last.next.split(" ");
      await succeed(task, words);
      const resumed = lastRun(runs);
      assert.deepEqual([...stopped.finished, ...resumed.finished].toSorted(), expected.finished.toSorted());
      assertSameResult(resumed, expected);
    },
  });

  await test.step({
    name: "on one core, with one worker",
    ignore: !existsSync("/usr/bin/taskset") && (console.log("skipped: there is no taskset here"), true),
    fn: async () => {
      const { args, runs } = places("one-core");
      const { code, err } = await runTask("run", args, { before: ["/usr/bin/taskset", "-c", "0"] });
      assert.equal(code, 0, err);
      assertSameResult(lastRun(runs), expected);
    },
  });

  await test.step("made again with --from: the stages before it stay, the result too", async () => {
    const { args, runs } = undisturbed;
    await succeed("run", [...args, "--from", "pack"]);
    const again = lastRun(runs);
    const stages = new Set(again.finished.map((id) => id.split(/[.[]/)[0]));
    assert.ok(stages.has("pack") && stages.has("evaluate") && !stages.has("coarse-search"), [...stages].join());
    assert.equal(again.events.filter(({ type }) => type === "warning").length, 0);
    assertSameResult(again, expected);
  });

  await test.step("stopped with --until: no result is claimed, and the next run goes on from there", async () => {
    const { args, runs } = places("until");
    assert.match(await succeed("run", [...args, "--until", "coarse-search"]), /stopped after coarse-search/);
    const first = lastRun(runs);
    assert.ok(!existsSync(join(first.path, "metrics.json")));
    await succeed("run", args);
    assert.deepEqual([...first.finished, ...lastRun(runs).finished].toSorted(), expected.finished.toSorted());
    assertSameResult(lastRun(runs), expected);
  });
});
