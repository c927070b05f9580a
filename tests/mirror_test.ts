/** A mirror made and used through the real command line, with its permissions; and the notice at the end. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Notice } from "../cli/notify.ts";
import { serveFolder } from "../runner/mirror/mirror_test_support.ts";
import {
  assertSameBytes,
  lastRun,
  metricsOf,
  modelBytes,
  runTask,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

Deno.test("a newcomer takes the calibration, or all, from a mirror, to the same bytes", async (test) => {
  using temporary = temporaryFolder();
  const folder = temporary.path, model = join(folder, "model");
  cutModel(models.llama, model, 2);
  const small = { model, windows: models.llama, name: "small", stages: { calibrate: { inputs: "original" } } };
  const recipe = writeRecipe(folder, small);
  const at = (name: string) => ["--cache", join(folder, name, "cache"), "--runs", join(folder, name, "runs")];
  const mirror = join(folder, "mirror"), net = ",127.0.0.1";
  await succeed("run", [recipe, ...at("maker")]);
  const made = lastRun(join(folder, "maker", "runs"));
  await using server = serveFolder(mirror);
  const url = server.url.href;
  let pin = "";

  await test.step("cache export makes a mirror of one run, and says how to name it", async () => {
    const out = await succeed("cache", ["export", mirror, "--run", "last", ...at("maker")]);
    assert.match(out, /^\d+ steps \(.* MiB\) in /);
    [, pin] = /^#sha256=([0-9a-f]{64})$/m.exec(out) ?? [];
    assert.ok(existsSync(join(mirror, "index.json")) && pin);
    const wrong = await runTask("cache", ["export", mirror, "--stage", "calibrat", ...at("maker").slice(0, 2)]);
    assert.deepEqual([wrong.code, /Cannot export stage calibrat: the stages are/.test(wrong.err)], [2, true]);
  });

  await test.step("plan says what comes from the mirror, and its bytes", async () => {
    const args = [recipe, ...at("new").slice(0, 2), "--cache-from", url];
    const out = await succeed("plan", args, { net });
    assert.match(out, /pack {2}from the mirror 127\.0\.0\.1:\d+, \d+\.\d [KM]iB/);
    assert.match(out, /\d+ from the mirror \(.*\), 0 cached: nothing to compute\./);
    const { totals } = JSON.parse(await succeed("plan", [...args, "--json"], { net }));
    assert.equal(totals.run, 0);
    assert.ok(totals.fetch.steps > 3 && totals.fetch.bytes > 100_000);
    assert.equal((await runTask("plan", [...args, "--exit-code"], { net })).code, 10);
  });

  await test.step("a run on a new cache computes nothing, and its packed model has the same bytes", async () => {
    const env = { PBS2P_CACHE_FROM: `${url}#sha256=${pin}` };
    const out = await succeed("run", [recipe, ...at("new")], { net, env });
    assert.match(out, /Done: all from the cache, \d+ steps of it from the mirror, in/);
    const done = lastRun(join(folder, "new", "runs"));
    assertSameBytes(modelBytes(done), modelBytes(made), "the packed model");
    assert.deepEqual(metricsOf(done).perplexity, metricsOf(made).perplexity);
    assert.match(await succeed("cache", ["ls", ...at("new").slice(0, 2)]), /127\.0\.0\.1:\d+/);
    await succeed("cache", ["verify", ...at("new").slice(0, 2)]);
    const again = await succeed("run", [recipe, ...at("new")]);
    assert.match(again, /Done: all from the cache, in/);
  });

  await test.step("with other settings no step of the calibration runs, and --notify tells the end", async () => {
    const notices: Notice[] = [];
    const hook = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      notices.push(await request.json());
      return new Response();
    });
    const notify = ["--notify", `http://127.0.0.1:${hook.addr.port}/x`];
    const other = [recipe, "--set", "stages.spbo.resign=2"];
    await succeed("run", [...other, ...at("maker")]);
    await succeed("run", [...other, ...at("newer"), "--cache-from", url, ...notify], { net });
    const failed = await runTask("run", [
      recipe,
      "--set",
      `model.path=${join(folder, "gone")}`,
      ...at("newer"),
      ...notify,
    ], { net });
    await hook.shutdown();
    const done = lastRun(join(folder, "newer", "runs"));
    const ran = done.events.flatMap((event) =>
      event.type === "step-finished" && event.from === undefined ? [event.step] : []
    );
    assert.ok(ran.includes("spbo[0]"));
    assert.deepEqual(ran.filter((id) => id.startsWith("calibrate")), []);
    assertSameBytes(modelBytes(done), modelBytes(lastRun(join(folder, "maker", "runs"))), "the packed model");
    const [well, bad] = notices;
    assert.deepEqual([well.outcome, well.exit, well.recipe, well.model, well.error], [
      "well",
      0,
      "small",
      "model",
      null,
    ]);
    assert.deepEqual(well.perplexity, metricsOf(done).perplexity);
    assert.ok(well.bits && well.bits.stored > 1 && well.run);
    assert.equal(failed.code, bad.exit);
    assert.deepEqual([notices.length, bad.outcome, bad.run], [2, "failed", null]);
    assert.ok(bad.error && !JSON.stringify(bad).includes(folder), bad.error ?? "");
  });

  await test.step("a mirror that is gone costs a warning; a host that is not allowed, or no address, is refused", async () => {
    await server[Symbol.asyncDispose]();
    const gone = await runTask("run", [recipe, ...at("new"), "--cache-from", url], { net });
    assert.equal(gone.code, 0);
    assert.match(gone.err, /warning: The cache mirror 127\.0\.0\.1:\d+ cannot be reached: .*it is left alone/);
    const args = ["plan", [recipe, ...at("new").slice(0, 2), "--cache-from"]] as const;
    const closed = await runTask(args[0], [...args[1], "https://mirror.example:8443/x?s3cr3t"]);
    assert.equal(closed.code, 2);
    assert.match(
      closed.err,
      /Cannot use --cache-from with mirror\.example:8443 .* PBS2P_NET=,mirror\.example \(with the comma\)/s,
    );
    assert.doesNotMatch(closed.err, /s3cr3t/);
    assert.equal((await runTask(args[0], [...args[1], "mirror"])).code, 2);
  });
});
