/** Runs that are started, stopped and gone on with from pages: real commands in processes of their own. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stringify } from "yaml";
import { launcher } from "../cli/launch.ts";
import { buildApp } from "../server/app.ts";
import { Jobs } from "../server/jobs.ts";
import { temporaryFolder } from "./command_line_test_support.ts";
import { models } from "./small_models_test_support.ts";

const TOKEN = "correct-horse-battery";

/** A recipe of some seconds. */
function recipe(samples = 24): Record<string, unknown> {
  const windows = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  return {
    model: { path: models.llama },
    stages: {
      calibrate: { dataset: windows("calibration"), samples, length: 256 },
      gptq: { bits: 3 },
      compensate: { mode: "columnwise", damping: 0.01 },
      pack: {},
      evaluate: { perplexity: [{ name: "heldout", dataset: windows("heldout"), samples: 8, length: 256 }] },
    },
  };
}

interface Job {
  readonly id: string;
  readonly state: string;
  readonly run?: string;
  readonly sweep?: string;
  readonly exit?: number;
  readonly words?: string;
  readonly log: readonly string[];
  readonly error?: string;
}

/** The application over folders of its own. */
function serving(folder: string, name: string, { allowed = true } = {}) {
  const configs = join(folder, "configs"), runs = join(folder, name, "runs"), cache = join(folder, name, "cache");
  mkdirSync(configs, { recursive: true });
  writeFileSync(join(configs, "small.yaml"), stringify(recipe()));
  writeFileSync(
    join(configs, "sweep.yaml"),
    stringify({ ...recipe(4), name: "sweep", matrix: { "stages.gptq.bits": [2, 3] } }),
  );
  writeFileSync(join(configs, "plugin.yaml"), stringify({ ...recipe(), use: ["./mine.ts"] }));
  if (!existsSync(join(configs, "model"))) symlinkSync(models.llama, join(configs, "model"));
  writeFileSync(join(folder, "outside.yaml"), stringify(recipe()));
  const jobs = allowed ? new Jobs({ launch: launcher(), limit: 1, patience: 0 }) : undefined;
  const app = buildApp({
    ...{ runs, cache, configs, token: TOKEN, hosts: ["localhost"] },
    ...(jobs === undefined ? {} : { jobs }),
  });
  const ask = async (path: string, headers: Readonly<Record<string, string>> = {}) =>
    await app.request(path, { headers: { host: "localhost", authorization: `Bearer ${TOKEN}`, ...headers } });
  const post = async (path: string, body: unknown = {}, headers: Readonly<Record<string, string>> = {}) =>
    await app.request(path, {
      method: "POST",
      headers: {
        ...{ host: "localhost", authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        ...headers,
      },
      body: JSON.stringify(body),
    });
  const start = async (wanted: unknown): Promise<Job> => {
    const answer = await post("/api/jobs", wanted), said = await answer.json();
    assert.equal(answer.status, 201, JSON.stringify(said));
    return said;
  };
  const until = async (id: string, holds: (job: Job) => boolean): Promise<Job> => {
    for (let looks = 0;; looks++) {
      const job: Job = await (await ask(`/api/jobs/${id}`)).json();
      if (holds(job)) return job;
      assert.ok(looks < 2400 && job.state !== "ended", JSON.stringify(job));
      await pause(50);
    }
  };
  /** Waits until a job has done something. @returns its run */
  const working = async (id: string): Promise<string> => {
    const { run = "" } = await until(id, ({ run }) => run !== undefined), journal = join(runs, run, "events.ndjson");
    for (let looks = 0; !existsSync(journal) || !readFileSync(journal, "utf8").includes("step-finished"); looks++) {
      assert.ok(looks < 1200);
      await pause(20);
    }
    return run;
  };
  const ended = (id: string) => until(id, ({ state }) => state === "ended");
  const packed = (run = "") => readFileSync(join(runs, run, "model", "model.safetensors"));
  return { runs, ask, post, start, until, working, ended, packed, jobs };
}

Deno.test("a run is started from a page, stopped, and gone on with to the same bytes", async () => {
  using temporary = temporaryFolder();
  const here = serving(temporary.path, "here"), there = serving(temporary.path, "there");
  const whole = await there.ended((await there.start({ file: "small.yaml" })).id);
  assert.deepEqual([whole.exit, whole.log], [0, []]);

  const { id } = await here.start({ file: "small.yaml" });
  const run = await here.working(id);
  assert.match(
    await (await here.ask(`/runs/${run}`)).text(),
    new RegExp(`<button type="button" data-stop="${id}">Stop`),
  );
  assert.equal((await here.post(`/api/jobs/${id}/stop`)).status, 200);
  const stopped = await here.ended(id);
  assert.deepEqual([stopped.exit, existsSync(join(here.runs, run, "model"))], [130, false]);

  const page = await (await here.ask(`/runs/${run}`)).text();
  assert.match(page, /data-start="[^"]*"[^>]*>Go on</);

  // At once: nothing of it has a chance to put anything in order.
  const killed = await here.start({ run });
  const broken = await here.working(killed.id);
  const twice = await here.post("/api/jobs", { run: broken });
  assert.deepEqual([twice.status, /it goes on already/.test((await twice.json()).error)], [422, true]);
  for (const state of ["stopping", "stopping"]) {
    assert.equal((await (await here.post(`/api/jobs/${killed.id}/stop`)).json()).state, state);
  }
  const { exit, words } = await here.ended(killed.id);
  // It may have stopped cleanly before it was told the second time.
  assert.ok(exit === 137 || exit === 130, `${exit}`);
  assert.match(words ?? "", /it can go on where it ended$/);
  assert.match(await (await here.ask(`/runs/${broken}`)).text(), /data-start="[^"]*"[^>]*>Go on</);

  const again = await here.ended((await here.start({ run: broken })).id);
  assert.equal(again.exit, 0);
  assert.notEqual(again.run, run);
  assert.ok(here.packed(again.run).equals(there.packed(whole.run)));
  const finished = readFileSync(join(here.runs, again.run ?? "", "events.ndjson"), "utf8").trimEnd().split("\n").at(-1);
  assert.ok(JSON.parse(finished ?? "").cached > 0, finished);
  assert.doesNotMatch(await (await here.ask(`/runs/${again.run}`)).text(), /data-start=/);
  // A list for people, without paths of this machine.
  const list = await (await here.ask("/parts/jobs")).text();
  assert.match(list, /Started here/);
  assert.ok(!list.includes(temporary.path));
});

Deno.test("a text that was edited is run as it stands, a sweep is swept and gone on with", async () => {
  using temporary = temporaryFolder();
  const here = serving(temporary.path, "here");
  const edited = await here.ended((await here.start({ file: "small.yaml", text: stringify(recipe(4)) })).id);
  assert.equal(edited.exit, 0);
  assert.match(readFileSync(join(here.runs, edited.run ?? "", "recipe.lock.yaml"), "utf8"), /samples: 4\b/);

  const swept = await here.ended((await here.start({ file: "sweep.yaml" })).id);
  assert.equal(swept.exit, 0);
  const { points } = await (await here.ask(`/api/sweeps/${swept.sweep}`)).json();
  assert.deepEqual(points.map(({ state }: { state: string }) => state), ["finished", "finished"]);
  const again = await here.ended((await here.start({ sweep: swept.sweep })).id);
  assert.deepEqual([again.exit, again.sweep], [0, swept.sweep]);

  // Of another folder than its paths are relative to.
  const text = "extends: ./sweep.yaml\nname: other\nmatrix: { stages.gptq.bits: [2], model.path: [./model] }\n";
  const other = await here.ended((await here.start({ file: "sweep.yaml", text: text.replace("sweep", "small") })).id);
  assert.equal(other.exit, 0, `${other.log}`);
  const record = await (await here.ask(`/api/sweeps/${other.sweep}`)).json();
  assert.deepEqual(record.points.map(({ state }: { state: string }) => state), ["finished"]);
  const further = await here.ended((await here.start({ sweep: other.sweep })).id);
  assert.deepEqual([further.exit, further.sweep], [0, other.sweep]);

  // With a value that no recipe states it is another sweep, which only its own command goes on with.
  const set = [{ path: "stages.evaluate.perplexity", value: [] }];
  const valued = await here.ended((await here.start({ file: "sweep.yaml", set, device: "cpu" })).id);
  assert.equal(valued.exit, 0, `${valued.log}`);
  assert.notEqual(valued.sweep, swept.sweep);
  const refused = await here.post("/api/jobs", { sweep: valued.sweep });
  assert.equal(refused.status, 422);
  assert.match((await refused.json()).error, /no recipe of configs\/ asks for what it did/);
});

const refused: readonly (readonly [string, unknown, number, RegExp])[] = [
  ["a recipe that is not there", { file: "nowhere.yaml" }, 404, /Cannot find/],
  ["a way out of configs/", { file: "../outside.yaml" }, 404, /Cannot find/],
  ["a run that is not there", { run: "../../etc" }, 404, /Cannot find/],
  ["a sweep that is not there", { sweep: ".." }, 404, /Cannot find/],
  ["nothing", {}, 404, /Cannot find/],
  ["what it does not know", { command: "rm" }, 400, /Cannot understand/],
  ["a recipe with mistakes", { file: "small.yaml", text: "model: {}\n" }, 422, /Cannot start this recipe: /],
  [
    "a recipe that extends what lies elsewhere",
    { file: "small.yaml", text: "extends: ../outside.yaml\n" },
    422,
    /outside of configs/,
  ],
  ["code that a recipe names", { file: "plugin.yaml" }, 422, /code that a recipe names is not run here/],
  [
    "a value of a key that there is not",
    { file: "small.yaml", set: [{ path: "stages.gptq.bit", value: 3 }] },
    422,
    /bit/,
  ],
  ["code that is set", { file: "small.yaml", set: [{ path: "use", value: ["./mine.ts"] }] }, 422, /Cannot start this/],
  ["another recipe that is set", { file: "small.yaml", set: [{ path: "extends", value: "x" }] }, 422, /cannot be set/],
  ["what would be another option", { file: "small.yaml", set: [{ path: "a b", value: 1 }] }, 400, /Cannot understand/],
  ["a path without a value", { file: "small.yaml", set: [{ path: "a" }] }, 400, /must be given/],
  ["a device that there is not", { file: "small.yaml", device: "tpu" }, 400, /Cannot understand device/],
];

for (const [what, wanted, status, says] of refused) {
  Deno.test(`nothing is started of ${what}`, async () => {
    using temporary = temporaryFolder();
    const here = serving(temporary.path, "here"), answer = await here.post("/api/jobs", wanted);
    const { error } = await answer.json();
    assert.equal(answer.status, status, error);
    assert.match(error, says);
    assert.ok(!error.includes(temporary.path), error);
    assert.deepEqual(here.jobs?.list(), []);
  });
}

Deno.test("whoever may not start runs is refused, and nobody may where the server was not started so", async () => {
  using temporary = temporaryFolder();
  const here = serving(temporary.path, "here"), wanted = { file: "small.yaml" };
  for (const path of ["/api/jobs", "/api/jobs/1/stop"]) {
    const status = async (headers: Readonly<Record<string, string>>) => (await here.post(path, wanted, headers)).status;
    assert.equal(await status({ authorization: "" }), 401);
    assert.equal(await status({ authorization: "Bearer another-token-here" }), 401);
    assert.equal(await status({ "sec-fetch-site": "cross-site" }), 403);
    assert.equal(await status({ origin: "http://evil.example" }), 403);
    assert.equal(await status({ host: "evil.example" }), 421);
    assert.equal(await status({ "content-type": "text/plain" }), 415);
    assert.equal((await here.ask(path, {})).status, path.endsWith("stop") ? 404 : 200);
  }
  assert.deepEqual(here.jobs?.list(), []);

  const shut = serving(temporary.path, "shut", { allowed: false });
  for (const path of ["/api/jobs", "/api/jobs/1/stop"]) {
    const answer = await shut.post(path, wanted);
    assert.equal(answer.status, 403);
    assert.match((await answer.json()).error, /started without --allow-run/);
  }
  assert.deepEqual(await (await shut.ask("/api/jobs")).json(), { allowed: false, jobs: [] });
  for (const path of ["/", "/recipes/edit?file=small.yaml"]) {
    assert.doesNotMatch(await (await shut.ask(path)).text(), /jobs\.js|data-run-it/);
    assert.match(await (await here.ask(path)).text(), /jobs\.js/);
  }
});
