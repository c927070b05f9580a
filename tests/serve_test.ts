/** `task serve` as people start it, with the permissions of its task: it shows what another process does, and ends when it is told to. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { writeRunWithModel } from "../server/scene_test_support.ts";
import { linesOf, runTask, startTask, temporaryFolder } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** A server in a process of its own. */
async function startServer(folder: string, ...args: readonly string[]) {
  const places = ["--runs", join(folder, "runs"), "--cache", join(folder, "cache")];
  const child = startTask("serve", ["--port", "0", "--json", ...places, ...args]);
  const lines = linesOf(child.stdout);
  const { value, done } = await lines.next();
  if (done) assert.fail(new TextDecoder().decode((await child.output()).stderr));
  const { url }: { url: string } = JSON.parse(value);
  return {
    url,
    /** Ends it as Ctrl-C does. @returns its exit code and what it complained of */
    async end() {
      child.kill("SIGINT");
      for await (const _ of lines);
      const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
      return { code, err };
    },
  };
}

/** The journal of the only run in a folder of runs, as far as it has come. */
function journalIn(runs: string): string {
  const [run] = existsSync(runs) ? readdirSync(runs) : [];
  const journal = join(runs, run ?? "", "events.ndjson");
  return run !== undefined && existsSync(journal) ? readFileSync(journal, "utf8") : "";
}

Deno.test("serve shows a run of another process from its beginning to its end, and Ctrl-C ends it", async () => {
  using folder = temporaryFolder();
  await writeTinyModel(join(folder.path, "model"));
  const recipe = writeTinyRecipe(folder.path, tinyRecipe(join(folder.path, "model")));
  const server = await startServer(folder.path);
  assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  const ask = async (path: string) => await fetch(new URL(path, server.url));
  assert.match(await (await ask("/")).text(), /No runs yet/);
  const stream = await ask("/api/live");
  const run = runTask("run", [
    recipe,
    "--runs",
    join(folder.path, "runs"),
    "--cache",
    join(folder.path, "cache"),
    "--device",
    "cpu",
  ]);
  const states: string[] = [];
  let id = "";
  for await (const line of linesOf(stream.body ?? new ReadableStream())) {
    const found = /^data: (\{.*"state":"(\w+)".*)$/.exec(line);
    if (found === null) continue;
    id = JSON.parse(found[1]).id;
    if (states.at(-1) !== found[2]) states.push(found[2]);
    if (found[2] === "finished") break;
  }
  assert.equal((await run).code, 0);
  assert.equal(states.at(-1), "finished", states.join());
  const [page, report, detail, recipeOf, cache] = await Promise.all([
    ...[ask(`/runs/${id}`), ask(`/runs/${id}/report`)].map(async (answer) => await (await answer).text()),
    ...[ask(`/api/runs/${id}`), ask(`/api/runs/${id}/recipe`), ask("/api/cache")].map(async (answer) =>
      await (await answer).json()
    ),
  ]);
  for (const text of [page, report, JSON.stringify([detail, recipeOf, cache])]) {
    assert.ok(!text.includes(folder.path), "an absolute path");
  }
  assert.match(page, /Error per layer/);
  assert.match(report, /Perplexity/);
  assert.equal(detail.summary.progress.done, detail.summary.progress.total);
  assert.ok(detail.summary.result.perplexity.heldout.compressed > 1);
  assert.deepEqual([recipeOf.origins["stages.spbo.iterations"].file, recipeOf.origins["stages.calibrate.seed"]], [
    "…/recipe.yaml",
    "default",
  ]);
  assert.equal(cache.runs[0].id, id);
  const { code, err } = await server.end();
  assert.deepEqual([code, err], [0, ""]);
});

Deno.test("serve with a token lets in who has it, by the address that it prints", async () => {
  using folder = temporaryFolder();
  const server = await startServer(folder.path, "--token", "a-token-of-16-letters");
  const { origin, searchParams } = new URL(server.url);
  assert.equal(searchParams.get("token"), "a-token-of-16-letters");
  const refused = await fetch(origin);
  assert.equal(refused.status, 401);
  assert.match(await refused.text(), /^Cannot answer without the token/);
  const login = await fetch(server.url, { redirect: "manual" });
  const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
  await login.body?.cancel();
  assert.equal((await (await fetch(`${origin}/api/runs`, { headers: { cookie } })).json()).runs.length, 0);
  const port = new URL(server.url).port;
  const second = await runTask("serve", ["--port", port, "--runs", join(folder.path, "runs")]);
  assert.deepEqual([second.code, second.out], [2, ""]);
  assert.match(
    second.err,
    /error: Cannot listen on 127\.0\.0\.1, port \d+: another program listens there: choose another port/,
  );
  assert.equal((await server.end()).code, 0);
});

Deno.test("serve lets a run's models write, with the permissions of its task", async () => {
  using folder = temporaryFolder();
  const run = writeRunWithModel(join(folder.path, "runs"), 1);
  const server = await startServer(folder.path);
  const texts = await Promise.all(["packed", "original"].map(async (side) => {
    const answer = await fetch(new URL(`/api/runs/${run}/${side}/text`, server.url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "The people", maxTokens: 3 }),
    });
    return (await answer.text()).split("\n").filter((line) => line.includes('"text"')).map((line) =>
      JSON.parse(line).text
    );
  }));
  assert.deepEqual(texts, [[" of", " the", " United"], [" of", " the", " United"]]);
  const { code, err } = await server.end();
  assert.deepEqual([code, err], [0, ""]);
});

Deno.test({
  name: "serve --allow-run starts a run for who has the token, and Ctrl-C stops it cleanly",
  ignore: Deno.build.os === "windows" &&
    (console.log("skipped: Windows does not send SIGINT to another process"), true),
  async fn() {
    using folder = temporaryFolder();
    const server = await startServer(folder.path, "--allow-run"), { origin, searchParams } = new URL(server.url);
    const headers = { "content-type": "application/json", authorization: `Bearer ${searchParams.get("token")}` };
    const start = async (headers: Readonly<Record<string, string>>) =>
      await fetch(`${origin}/api/jobs`, { method: "POST", headers, body: JSON.stringify({ file: "quickstart.yaml" }) });
    const refused = await start({ ...headers, authorization: "" });
    assert.equal(refused.status, 401);
    await refused.body?.cancel();
    const started = await start(headers);
    assert.equal(started.status, 201);
    await started.body?.cancel();
    const journal = () => journalIn(join(folder.path, "runs"));
    for (let looks = 0; !journal().includes('"type":"step-finished"'); looks++) {
      assert.ok(looks < 1200, "nothing comes of it");
      await pause(50);
    }
    const { code, err } = await server.end();
    assert.deepEqual([code, err], [0, "Stopping what was started here; Ctrl-C again does not wait for it.\n"]);
    assert.match(journal().trimEnd().split("\n").at(-1) ?? "", /"type":"run-interrupted"/);
  },
});

Deno.test("serve refuses what it cannot do in one sentence", async () => {
  using folder = temporaryFolder();
  Deno.writeTextFileSync(join(folder.path, "file"), "");
  const cases: [readonly string[], number, RegExp][] = [
    [["--token", "short"], 2, /^error: Cannot use this --token: it must have 16 characters or more/],
    [["--port", "x"], 2, /It must be a whole number\s+from 0 to 65535/],
    [["--host", "0.0.0.0", "--port", "0"], 2, /^error: Cannot listen on 0\.0\.0\.0, port 0: .*PBS2P_NET=,0\.0\.0\.0/],
    [["--runs", join(folder.path, "file")], 3, /^error: Cannot look for runs in /],
  ];
  for (const [args, code, says] of cases) {
    const outcome = await runTask("serve", ["--cache", join(folder.path, "cache"), ...args]);
    assert.match(outcome.err, says);
    assert.equal(outcome.code, code, args.join(" "));
    assert.doesNotMatch(outcome.err, /\n\s+at /);
  }
});
