/** The application without a browser: who is let in, what is told, and that nothing of the machine is. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openArithmetic, recipeWith } from "../runner/arithmetic_test_support.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { buildApp } from "./app.ts";
import { writeRun, writeSweep } from "./folders_test_support.ts";
import { scene } from "./scene_test_support.ts";

const STATUS: readonly (readonly [string, string, Readonly<Record<string, string>>, number])[] = [
  ["a program on this machine", "/api/runs", {}, 200],
  ["the page itself", "/api/runs", { "sec-fetch-site": "same-origin", origin: "http://localhost:8433" }, 200],
  ["an address that was typed", "/", { "sec-fetch-site": "none", "sec-fetch-mode": "navigate" }, 200],
  ["a link elsewhere", "/", {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  }, 200],
  ["another name for this machine", "/", { host: "evil.example:8433" }, 421],
  ["no name", "/", { host: "" }, 421],
  ["a script elsewhere", "/api/runs", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" }, 403],
  ["a frame elsewhere", "/", {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "iframe",
  }, 403],
  ["a link elsewhere to the API", "/api/runs", {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  }, 403],
  ["another port of this machine", "/api/runs", { "sec-fetch-site": "same-site" }, 403],
  ["an older browser elsewhere", "/api/runs", { origin: "http://evil.example" }, 403],
  ["a page without an origin", "/api/runs", { origin: "null" }, 403],
  ["another port in an older browser", "/api/runs", { origin: "http://localhost:1" }, 403],
  ["a form elsewhere", "/", { method: "POST", "sec-fetch-site": "cross-site" }, 403],
  ["whoever wants to write", "/api/runs", { method: "POST" }, 405],
  ["a form elsewhere for a text", "/api/runs/x/packed/text", { method: "POST", "sec-fetch-site": "cross-site" }, 403],
  ["a page elsewhere for a text", "/api/runs/x/packed/text", { method: "POST", origin: "http://evil.example" }, 403],
  ["a form without JSON", "/api/runs/x/packed/text", { method: "POST", "content-type": "text/plain" }, 415],
  ["whoever wants to delete", "/api/runs", { method: "DELETE" }, 405],
  ["who only asks for the head", "/api/runs", { method: "HEAD" }, 200],
];

Deno.test("buildApp() lets in this machine's own pages and programs, and no other site", async () => {
  using on = scene();
  for (const [who, path, headers, status] of STATUS) {
    const answer = await on.ask(path, headers);
    assert.equal(answer.status, status, who);
    assert.ok(answer.headers.get("content-security-policy")?.includes("script-src 'self'"), who);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff", who);
    assert.equal(answer.headers.get("access-control-allow-origin"), null, who);
  }
});

Deno.test("buildApp() asks for the token where there is one, keeps it out of addresses and cookies", async () => {
  const token = "correct-horse-battery";
  using on = scene({ token, hosts: undefined });
  assert.equal((await on.ask("/api/runs", { host: "box.lan" })).status, 401);
  assert.equal((await on.ask("/assets/app.js")).status, 401);
  for (const wrong of ["", "correct-horse-batter", `${token}x`, "Correct-horse-battery"]) {
    assert.equal((await on.ask("/api/runs", { authorization: `Bearer ${wrong}` })).status, 401, wrong);
    assert.equal((await on.ask(`/?token=${wrong}`)).status, 401, wrong);
  }
  assert.equal((await on.ask("/api/runs", { authorization: `Bearer ${token}`, host: "box.lan" })).status, 200);
  const login = await on.ask(`/cache?token=${token}&x=1`);
  assert.deepEqual([login.status, login.headers.get("location")], [303, "/cache?x=1"]);
  const set = login.headers.get("set-cookie") ?? "";
  assert.match(set, /; HttpOnly/);
  assert.match(set, /SameSite=Strict/);
  assert.ok(!set.includes(token));
  const [cookie] = set.split(";");
  assert.equal((await on.ask("/api/runs", { cookie })).status, 200);
  assert.equal((await on.ask("/api/runs", { cookie: `${cookie}0` })).status, 401);
});

Deno.test("buildApp() gives no file but runs' own: not by dots, links, encodings or damaged names", async () => {
  using on = scene();
  const run = writeRun(on.runs, 1);
  const outside = join(on.folder, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "events.ndjson"), Deno.readTextFileSync(join(on.runs, run, "events.ndjson")));
  writeFileSync(join(on.folder, "report.html"), "secret");
  symlinkSync(outside, join(on.runs, "20260101-000000000-aaaaaa-link"));
  mkdirSync(join(on.runs, "20260101-000000000-bbbbbb-link"));
  symlinkSync(join(outside, "events.ndjson"), join(on.runs, "20260101-000000000-bbbbbb-link", "events.ndjson"));
  symlinkSync(join(on.folder, "report.html"), join(on.runs, run, "report.html"));
  const names = [
    ...[
      "..",
      ".",
      "%2e%2e",
      "..%2foutside",
      "..%2Foutside",
      "%2e%2e%2foutside",
      "..\\outside",
      "..%5coutside",
      "%00",
      "a:b:c",
    ],
    ...[
      "sweeps",
      "sweeps:x",
      ":",
      `${run}%00`,
      `${run}%2f..`,
      "20260101-000000000-aaaaaa-link",
      "20260101-000000000-bbbbbb-link",
      "x".repeat(500),
    ],
  ];
  for (const name of names) {
    for (
      const path of [
        `/runs/${name}`,
        `/runs/${name}/report`,
        `/runs/${name}/try`,
        `/api/runs/${name}/recipe`,
        `/api/runs/${name}/live`,
        `/sweeps/${name}`,
        `/assets/${name}`,
      ]
    ) {
      const { status } = await on.ask(path);
      assert.ok(
        status === 404 || status === 400 || (name === ".." || name === "." || name === "%2e%2e"),
        `${path}: ${status}`,
      );
    }
  }
  assert.equal((await on.ask(`/runs/${run}/report`)).status, 404, "a report that is a link");
  assert.equal((await on.ask("/assets/..%2f..%2fdeno.json")).status, 404);
  assert.deepEqual((await on.json("/api/runs")).runs.map(({ id }: { id: string }) => id), [run]);
  assert.deepEqual(on.errors, []);
});

Deno.test("buildApp() tells no absolute path and no token, on any page or in any answer", async () => {
  using on = scene();
  const runs = [
    writeRun(on.runs, 1),
    writeRun(on.runs, 2, { end: "failed" }),
    writeRun(on.runs, 3, { end: "unfinished" }),
  ];
  const sweep = writeSweep(on.runs);
  mkdirSync(join(on.runs, "20260101-000000000-cccccc-damaged"));
  writeFileSync(join(on.runs, "20260101-000000000-cccccc-damaged", "events.ndjson"), "{}\n{}\n");
  const { runs: listed, unread } = await on.json("/api/runs");
  assert.deepEqual(listed.map(({ state }: { state: string }) => state), ["silent", "failed", "finished"]);
  assert.equal(unread.length, 1);
  const paths = [
    ...["/", "/cache", "/api/runs", "/api/cache", "/api/openapi.json", `/sweeps/${sweep}`, `/api/sweeps/${sweep}`],
    ...[`/compare?run=${runs[0]}&run=${runs[1]}`, `/api/compare?run=${runs[0]}&run=${runs[1]}`, "/compare", "/nowhere"],
    ...["/runs/20260101-000000000-cccccc-damaged", "/api/runs/20260101-000000000-cccccc-damaged"],
    ...runs.flatMap((id) => [`/runs/${id}`, `/runs/${id}/parts`, `/parts/rows?run=${id}`]),
    ...runs.flatMap((id) => ["", "/steps", "/events", "/recipe"].map((part) => `/api/runs/${id}${part}`)),
  ];
  for (const path of paths) {
    const text = await (await on.ask(path)).text();
    for (const leak of ["/home", "someone/", "hf_abc", on.folder, "/tmp/"]) {
      assert.ok(!text.includes(leak), `${path}: ${leak}`);
    }
  }
  const { recipe, origins } = await on.json(`/api/runs/${runs[0]}/recipe`);
  assert.deepEqual([recipe.model.path, origins["model.path"].file], ["…/model", "…/a.yaml"]);
});

Deno.test("the API answers as OpenAPI says, and refuses what it cannot understand", async () => {
  using on = scene();
  const run = writeRun(on.runs, 1), other = writeRun(on.runs, 2, { recipe: "other" });
  const sweep = writeSweep(on.runs);
  const { openapi, info, paths } = await on.json("/api/openapi.json");
  assert.deepEqual([openapi, info.version], ["3.1.0", "1.2.3"]);
  assert.deepEqual(Object.keys(paths).sort(), [
    ...[
      "/cache",
      "/compare",
      "/jobs",
      "/jobs/{job}",
      "/jobs/{job}/stop",
      "/live",
      "/recipes",
      "/recipes/check",
      "/recipes/plan",
      "/recipes/schema",
      "/recipes/text",
      "/runs",
      "/runs/{run}",
      "/runs/{run}/events",
      "/runs/{run}/live",
    ],
    ...["/runs/{run}/recipe", "/runs/{run}/steps", "/runs/{run}/{side}/text", "/sweeps/{sweep}"],
  ]);
  const detail = await on.json(`/api/runs/${run}`);
  assert.equal(detail.summary.state, "finished");
  assert.deepEqual(detail.blocks.length, 6);
  assert.equal(detail.metrics.perplexity.heldout.compressed, 37.161);
  const { steps } = await on.json(`/api/runs/${run}/steps`);
  assert.deepEqual([steps.length, steps[0].state, steps[1].state], [30, "cached", "done"]);
  assert.match(steps[1].because, /stages\.spbo\.iterations 15 → 20, a\.yaml line 7/);
  const first = await on.json(`/api/runs/${run}/events?most=2`);
  const second = await on.json(`/api/runs/${run}/events?after=${first.position}&most=1`);
  assert.deepEqual([first.events.length, first.events[0].type, first.events[0].folder], [2, "run-started", undefined]);
  assert.equal(second.events[0].type, "step-finished");
  const until = await on.json(`/api/runs/${run}/events?until=${first.position}`);
  assert.deepEqual(until, first);
  const compared = await on.json(`/api/compare?run=${run}&run=${other}`);
  assert.deepEqual([compared.runs.length, compared.places.length], [2, 6]);
  assert.deepEqual(compared.recipe, [{ field: "seed", values: [1, 2] }]);
  const board = await on.json(`/api/sweeps/${sweep}`);
  const failed = board.points.find(({ label }: { label: string }) => label === "of 24");
  assert.equal((await on.json(`/api/runs/${failed.run}`)).summary.state, "failed");
  for (
    const [path, status] of [
      ...[["/api/runs/none", 404], ["/api/compare", 400], ["/api/compare?run=none", 404], ["/api/cache", 404], [
        "/api/x",
        404,
      ]],
      ...[[`/api/runs/${run}/events?most=0`, 400], [`/api/runs/${run}/events?after=x`, 400], [
        `/api/runs/${run}/events?most=1e9`,
        400,
      ]],
    ] as [string, number][]
  ) {
    const answer = await on.ask(path);
    assert.equal(answer.status, status, path);
    assert.match((await answer.json()).error, /^Cannot /, path);
  }
  assert.deepEqual(on.errors, []);
});

Deno.test("points of a sweep that go on are shown with it, in the list and on its page, and those that are over are not", async () => {
  using on = scene();
  const sweep = writeSweep(on.runs), points = join(on.runs, "sweeps", sweep, "points");
  const read = async () => (await on.json("/api/runs")).sweeps[0].running;
  assert.deepEqual(await read(), []);
  const run = writeRun(points, 3, { recipe: "of-16", end: "unfinished", at: Date.now() - 15_000 });
  writeRun(points, 4, { recipe: "killed", end: "unfinished", at: Date.now() - 3_600_000 });
  const [going, ...others] = await read();
  assert.deepEqual([going.id, going.state, going.progress.done, others], [`${sweep}:${run}`, "running", 15, []]);
  assert.deepEqual((await on.json("/api/runs")).runs, [], "a point is no run of the list");
  for (const path of ["/", "/parts/sweeps", `/sweeps/${sweep}`, `/parts/running/${sweep}`]) {
    const page = await (await on.ask(path)).text();
    assert.match(page, new RegExp(`<a href="/runs/${sweep}:${run}">of-16</a>`), path);
    assert.match(page, /15\/30, [\d.]+ s left/, path);
    assert.doesNotMatch(page, /killed/, path);
  }
  assert.match(await (await on.ask("/")).text(), /1 running/);
  assert.doesNotMatch(await (await on.ask("/parts/running/none")).text(), /<table/);
  assert.deepEqual(on.errors, []);
});

Deno.test("the API tells of real runs what the cache holds for them, and where their values are stated", async () => {
  using on = scene();
  const cache = await openCache(on.cache),
    recipe = recipeWith(),
    sources = new Map([["stages.spbo.resign", "default"]]);
  const run = async (changes: typeof recipe) => {
    const subject = openArithmetic(changes, { blocks: 2 }), plan = await makePlan(subject, cache, { recipe: changes });
    return await executeRun(plan, subject, { cache, recipe: changes, runsDir: on.runs, sources });
  };
  await run(recipe);
  await run(recipeWith({ spbo: { iterations: 3 } }));
  cache.close();
  const { kinds, runs, unused, bytes } = await on.json("/api/cache");
  assert.deepEqual(runs.length, 2);
  assert.equal(unused, 0);
  const stats = kinds.find(({ stage, output }: { stage: string; output: string }) =>
    `${stage} ${output}` === "calibrate stats"
  );
  assert.equal(stats.runs, 2, "the first block's statistics are of both runs");
  assert.ok(runs.every(({ bytes: held, alone }: { bytes: number; alone: number }) => alone < held && held < bytes));
  const [{ id }] = (await on.json("/api/runs")).runs;
  const { steps } = await on.json(`/api/runs/${id}/steps`);
  const forward = steps.find((step: { id: string }) => step.id === "forward[0]");
  assert.deepEqual(forward.inputs.toSorted(), ["embed", "spbo[0]"]);
  assert.ok(forward.memory > 1e6 && forward.key.length === 64);
  assert.deepEqual((await on.json(`/api/runs/${id}/recipe`)).origins, { "stages.spbo.resign": "default" });
  assert.match(await (await on.ask("/cache")).text(), /By kind/);
});

Deno.test("buildApp() shows what journals say as text, and damaged ones as what is wrong with them", async () => {
  using on = scene();
  const evil = `"><img src=x onerror=alert(1)><script>alert(1)</script>`;
  const run = writeRun(on.runs, 1, { end: "unfinished", recipe: "mine" }),
    journal = join(on.runs, run, "events.ndjson");
  const [first] = Deno.readTextFileSync(journal).split("\n"), started = JSON.parse(first);
  const step = {
    ...started.steps[0],
    id: evil,
    stage: evil,
    block: 1e9,
    state: "run",
    why: { field: evil, before: evil, now: evil },
  };
  const events = [
    {
      ...started,
      recipe: evil,
      model: evil,
      method: evil,
      device: { kind: evil, name: evil, why: evil },
      steps: [step],
    },
    { at: started.at, type: "step-started", step: evil, stage: evil },
    { at: started.at, type: "step-progress", step: evil, done: 1, total: 2, note: evil },
    {
      at: started.at,
      type: "step-measured",
      step: evil,
      values: { errors: { [evil]: 1, b: "x", c: null }, keep: evil, measured: [evil], bits: 7 },
    },
    { at: started.at, type: "warning", message: evil },
    { at: started.at, type: "run-failed", error: { name: evil, message: evil }, exit: 1 },
  ];
  Deno.writeTextFileSync(journal, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  for (
    const path of [
      "/",
      `/runs/${run}`,
      `/runs/${run}/parts`,
      `/parts/rows?run=${run}`,
      `/compare?run=${run}&run=${run}`,
      "/cache",
    ]
  ) {
    const text = await (await on.ask(path)).text();
    assert.ok(!/<img|<script>/.test(text), path);
  }
  for (const path of [`/api/runs/${run}`, `/api/runs/${run}/steps`, `/api/runs/${run}/events`]) await on.json(path);
  const bad = [
    { type: "step-measured", step: "a", values: 7 },
    { type: "step-measured", values: {} },
    { type: "step-failed", step: "a" },
    { type: "warning" },
    { type: "step-progress", step: "a", done: "x", total: 1 },
    { ...started, steps: [{ ...started.steps[0], block: -1 }] },
  ];
  for (const event of bad) {
    Deno.writeTextFileSync(journal, `${first}\n${JSON.stringify({ at: 1, ...event })}\n{}\n`);
    const fresh = buildApp({ runs: on.runs, cache: on.cache });
    const answer = await fresh.request(`/api/runs/${run}`);
    assert.equal(answer.status, 500, JSON.stringify(event));
    assert.match(
      (await answer.json()).error,
      /^Cannot read …\/events\.ndjson: what follows byte \d+ is not an event of a run$/,
    );
  }
  assert.deepEqual(on.errors, []);
});
