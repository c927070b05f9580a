/** Texts of runs' models: streamed, bounded, one at a time, stopped when nobody listens; and what cannot be done in a sentence. */
import assert from "node:assert/strict";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOCK } from "../runner/journal.ts";
import { writeRun } from "./folders_test_support.ts";
import { RunStore } from "./run_store.ts";
import { MODEL, scene, writeRunWithModel } from "./scene_test_support.ts";
import type { TextEvent } from "./text_schemas.ts";
import { Writers } from "./writers.ts";

/** Events of an answer. */
async function events(answer: Response): Promise<TextEvent[]> {
  return (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
}

const textOf = (events: readonly TextEvent[]) =>
  events.map((event) => event.type === "text" ? event.text : "").join("");

Deno.test("a text comes token by token, the same of both models where they are the same, and says what it took", async () => {
  using on = scene();
  const run = writeRunWithModel(on.runs, 1), wanted = { prompt: "The people", maxTokens: 4 };
  const answers = await Promise.all(
    ["packed", "original"].map((side) => on.post(`/api/runs/${run}/${side}/text`, wanted)),
  );
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type") ?? "", /^application\/x-ndjson/);
    const told = await events(answer), last = told.at(-1);
    assert.equal(textOf(told), " of the United States");
    assert.deepEqual(told.map(({ type }) => type), ["begin", "text", "text", "text", "text", "end"]);
    assert.ok(last?.type === "end" && last.why === "limit" && last.tokens === 4, JSON.stringify(last));
    assert.ok((last.first ?? 0) > 0 && last.seconds >= (last.first ?? 0) && (last.rate ?? 0) > 0, JSON.stringify(last));
  }
  const draw = async (seed: number) =>
    textOf(await events(await on.post(`/api/runs/${run}/packed/text`, { ...wanted, temperature: 2, seed })));
  const [first, again, other] = [await draw(1), await draw(1), await draw(2)];
  assert.equal(first, again);
  assert.notEqual(first, other);
  const page = await (await on.ask(`/runs/${run}/try`)).text();
  assert.match(page, /data-side="packed" data-able="yes"/);
  assert.match(page, /data-side="original" data-able="yes"/);
  assert.ok(!page.includes(on.folder));
  assert.match(await (await on.ask(`/runs/${run}`)).text(), new RegExp(`href="/runs/${run}/try"`));
  assert.deepEqual(on.errors, []);
});

Deno.test("a model writes one text at a time, and stops when nobody listens", async () => {
  using on = scene();
  const run = writeRunWithModel(on.runs, 1), path = `/api/runs/${run}/packed/text`;
  const long = await on.post(path, { prompt: "The people", maxTokens: 500 });
  const reader = (long.body ?? new ReadableStream()).getReader();
  // Three tokens are there: it writes.
  for (let lines = 0; lines < 4;) lines += new TextDecoder().decode((await reader.read()).value).split("\n").length - 1;
  const second = await on.post(path, { prompt: "The people", maxTokens: 1 });
  assert.deepEqual([second.status, second.headers.get("retry-after")], [429, "5"]);
  assert.match((await second.json()).error, /^Cannot write now: this run's packed model is writing another text/);
  assert.equal((await on.post(`/api/runs/${run}/original/text`, { prompt: "The", maxTokens: 1 })).status, 200);
  await reader.cancel();
  const since = performance.now();
  let status = 429;
  while (status === 429 && performance.now() - since < 20_000) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answer = await on.post(path, { prompt: "The people", maxTokens: 1 });
    ({ status } = answer);
    await answer.text();
  }
  assert.equal(status, 200);
  // 500 tokens take this model longer than that.
  assert.ok(performance.now() - since < 5000, `free after ${performance.now() - since} ms`);
  assert.deepEqual(on.errors, []);
});

Deno.test("what is asked of models is bounded, and refused in one sentence", async () => {
  using on = scene();
  const run = writeRunWithModel(on.runs, 1), path = `/api/runs/${run}/packed/text`;
  const cases: readonly (readonly [string, unknown, number, RegExp])[] = [
    [path, { prompt: "x".repeat(20_001) }, 400, /^Cannot understand prompt/],
    [path, { prompt: "x", maxTokens: 2049 }, 400, /^Cannot understand maxTokens/],
    [path, { prompt: "x", maxTokens: 0 }, 400, /^Cannot understand maxTokens/],
    [path, { prompt: "x", temperature: -1 }, 400, /^Cannot understand temperature/],
    [path, { prompt: "x", seed: 0.5 }, 400, /^Cannot understand seed/],
    [path, { prompt: "x", model: "/etc/passwd" }, 400, /^Cannot understand/],
    [path, { maxTokens: 1 }, 400, /^Cannot understand prompt/],
    [path, "{", 400, /^Cannot /],
    [path, `"${"x".repeat(300 * 1024)}"`, 413, /^Cannot take in more than 256 KiB/],
    [`/api/runs/${run}/other/text`, { prompt: "x" }, 405, /./],
    ["/api/runs/none/packed/text", { prompt: "x" }, 404, /^Cannot find this run/],
    ["/api/runs/..%2f..%2fetc/packed/text", { prompt: "x" }, 404, /^Cannot find this run/],
  ];
  for (const [where, body, status, says] of cases) {
    const answer = await on.post(where, body), text = await answer.text();
    assert.equal(answer.status, status, `${where}: ${text}`);
    assert.match(status === 405 ? text : JSON.parse(text).error, says);
  }
  // Five tokens a line: more than the model's 512 positions.
  const long = await events(await on.post(path, { prompt: "one two three four five\n".repeat(400) }));
  assert.deepEqual(long.map(({ type }) => type), ["error"]);
  assert.match(
    long[0].type === "error" ? long[0].error : "",
    /^Cannot continue a prompt of \d+ tokens as the model has 512/,
  );
  const short = await events(await on.post(path, { prompt: "The", maxTokens: 1 }));
  assert.equal(short.at(-1)?.type, "end", "the model is free after an error");
  assert.deepEqual(on.errors, []);
});

Deno.test("a run whose models are not here says why, and shows the other one alone", async () => {
  using on = scene();
  const hub = writeRunWithModel(on.runs, 1, { hub: "owner/name", revision: "main" });
  const gone = writeRunWithModel(on.runs, 2, { path: "../../home/someone/gone" });
  const bare = writeRun(on.runs, 3, { end: "failed" });
  const linked = writeRun(on.runs, 4), twin = writeRun(on.runs, 5);
  symlinkSync(MODEL, join(on.runs, linked, "model"));
  mkdirSync(join(on.runs, twin, "model"));
  writeFileSync(join(on.runs, twin, "model", "config.json"), "{");
  writeFileSync(join(on.runs, twin, LOCK), "recipe: {}\nlock: {}\n");
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [hub, "original", /^Cannot find owner\/name on this machine, and nothing is downloaded here/],
    [gone, "original", /^Cannot open model …\/gone: there is no such file or folder/],
    [bare, "packed", /^Cannot write with this run: it left no packed model/],
    [linked, "packed", /^Cannot write with this run: it left no packed model/],
    [twin, "packed", /^Cannot /],
    [twin, "original", /^Cannot find the original: the run's lock does not say/],
  ];
  for (const [run, side, says] of cases) {
    const told = await events(await on.post(`/api/runs/${run}/${side}/text`, { prompt: "The", maxTokens: 1 }));
    assert.equal(told.length, 1);
    assert.match(told[0].type === "error" ? told[0].error : JSON.stringify(told), says);
    assert.ok(!JSON.stringify(told).includes(on.folder));
  }
  const page = await (await on.ask(`/runs/${hub}/try`)).text();
  assert.match(page, /data-side="packed" data-able="yes"/);
  assert.match(page, /<p class="message">Cannot find owner\/name on this machine/);
  // What comes later is found.
  renameSync(join(on.runs, hub, "model"), join(on.runs, bare, "model"));
  const later = await events(await on.post(`/api/runs/${bare}/packed/text`, { prompt: "The", maxTokens: 1 }));
  assert.equal(later.at(-1)?.type, "end");
  assert.deepEqual(on.errors, []);
});

Deno.test("Writers close models that nobody uses, the least recently used first where there are many", async () => {
  using on = scene();
  const runs = [1, 2, 3].map((number) => writeRunWithModel(on.runs, number));
  const writers = new Writers({ store: new RunStore(on.runs), cache: on.cache, idle: 200, most: 2 });
  for (const run of runs) await writers.find(run, "packed");
  assert.equal(writers.open, 2);
  const write = writers.take(runs[2], "packed"), stop = new AbortController();
  assert.throws(() => writers.take(runs[2], "packed"), /Cannot write now/);
  const text = write?.({ prompt: "The", maxTokens: 400, temperature: 0, seed: 0 }, stop.signal);
  await text?.next();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(writers.open, 1, "the one that writes stays");
  stop.abort();
  const rest = await Array.fromAsync(text ?? []);
  const last = rest.at(-1);
  assert.equal(last?.type === "end" && last.why, "stopped");
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(writers.open, 0);
});
