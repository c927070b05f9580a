import assert from "node:assert/strict";
import { join } from "node:path";
import { recipeWith } from "../arithmetic_test_support.ts";
import { type ArtifactCache, openCache } from "../cache/cache.ts";
import { readRun } from "../history.ts";
import { outputKey, stepKey } from "../keys.ts";
import { exportMirror } from "./export.ts";
import { contentPath, parseIndex, parseStep, renderIndex, stepPath } from "./layout.ts";
import { mirrorsAt, runOn, serveFolder, withMirror } from "./mirror_test_support.ts";

const recipe = recipeWith({ calibrate: { inputs: "original" } });

async function inFolder(work: (folder: string, cache: ArtifactCache) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-export-" });
  const cache = await openCache(join(folder, "cache"));
  try {
    await work(folder, cache);
  } finally {
    cache.close();
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Publishes one output of a step of its own. */
async function put(
  cache: ArtifactCache,
  name: string,
  { value = null, facts = {}, files = {}, metadata, retain = "keep", seconds = 1 }: {
    readonly value?: null | string;
    readonly facts?: Readonly<Record<string, string>>;
    readonly files?: Readonly<Record<string, string>>;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly retain?: "keep" | "transient";
    readonly seconds?: number;
  } = {},
): Promise<string> {
  const components = { stage: "test", code: "1", reads: {}, facts: { name, ...facts }, inputs: {} };
  const key = stepKey(components), draft = cache.draft();
  draft.value(value);
  const numbers = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
  if (metadata) await draft.write("values.safetensors", { values: numbers }, metadata);
  for (const [file, text] of Object.entries(files)) Deno.writeTextFileSync(draft.path(file), text);
  await cache.publish({
    ...{ stepKey: key, components, step: name, stage: "test", model: "m", seconds, stages: {}, estimate: 1 },
    drafts: { out: { draft, retain } },
  });
  return key;
}

const indexOf = (folder: string) => parseIndex(Deno.readTextFileSync(join(folder, "index.json")));

/** All files below a folder. */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(join(folder, name)).map((inner) => `${name}/${inner}`) : [name]
  ).filter((name) => name !== ".lock").sort();
}

Deno.test("exportMirror() makes static files of what is kept, adds to them, and keeps what is there", () =>
  inFolder(async (folder, cache) => {
    const mirror = join(folder, "mirror");
    const a = await put(cache, "a", { files: { "x.txt": "same", "y/z.txt": "other" } });
    await put(cache, "hidden", { retain: "transient", files: { "x.txt": "gone soon" } });
    const first = await exportMirror(cache, mirror);
    assert.deepEqual([first.steps, first.added, first.bytes, first.left], [1, 1, 9, []]);
    const [step] = parseStep(Deno.readTextFileSync(join(mirror, stepPath(a))), a).values();
    const contents = step.files.map(({ sha256 }) => contentPath(sha256));
    assert.deepEqual(filesIn(mirror), ["index.json", stepPath(a), ...contents].sort());
    assert.equal(step.key, outputKey(a, "out"));
    const written = Deno.statSync(join(mirror, stepPath(a))).ino;
    const b = await put(cache, "b", { files: { "x.txt": "same" } });
    const second = await exportMirror(cache, mirror);
    assert.deepEqual([second.steps, second.added], [2, 1]);
    assert.equal(Deno.statSync(join(mirror, stepPath(a))).ino, written);
    assert.deepEqual([...indexOf(mirror).keys()].sort(), [a, b].sort());
    assert.equal(filesIn(mirror).length, 5, "equal content is there once");
    assert.deepEqual(await exportMirror(cache, mirror), { ...second, added: 0 });
    cache.discard(outputKey(a, "out"));
    assert.equal((await exportMirror(cache, mirror)).steps, 2, "what the cache has lost stays");
    assert.deepEqual((await cache.verify()).damaged, []);
  }));

Deno.test("exportMirror() leaves out what tells of this machine, wherever it stands", () =>
  inFolder(async (folder, cache) => {
    await put(cache, "sound", {
      value: "https://example.org/a/b",
      files: { "config.json": '{"name": "owner/model"}' },
    });
    await put(cache, "value", { value: "/home/somebody/text.txt" });
    await put(cache, "fact", { facts: { text: "C:\\Users\\me\\text.txt" } });
    await put(cache, "key of a fact", { facts: { "/data/secret/x": "1" } });
    await put(cache, "host", { value: "made on build-host.lan" });
    await put(cache, "config", { files: { "model/config.json": '{"_name_or_path": "/srv/models/mine"}' } });
    await put(cache, "metadata", { metadata: { from: "/srv/models/mine" } });
    const { steps, left } = await exportMirror(cache, join(folder, "mirror"), { names: ["build-host"] });
    assert.equal(steps, 1);
    assert.deepEqual(
      left.map(({ step, why }) => `${step}: ${why}`).sort(),
      [
        "config: it tells of this machine, at _name_or_path of model/config.json",
        "fact: it tells of this machine, at components.facts.text",
        "host: it tells of this machine, at value",
        "key of a fact: it tells of this machine, at components.facts.…",
        "metadata: it tells of this machine, at from of values.safetensors",
        "value: it tells of this machine, at value",
      ],
    );
    const all = filesIn(join(folder, "mirror")).map((name) => Deno.readTextFileSync(join(folder, "mirror", name)))
      .join();
    assert.doesNotMatch(all, /home|Users|secret|build-host|srv/);
  }));

Deno.test("exportMirror() takes stages and steps that are asked for, and what is costliest per byte where room is short", () =>
  inFolder(async (folder, cache) => {
    const cheap = await put(cache, "cheap", { files: { "a.txt": "x".repeat(100) }, seconds: 1 });
    const dear = await put(cache, "dear", { files: { "a.txt": "y".repeat(100) }, seconds: 9 });
    const stepsOf = async (name: string, options: Parameters<typeof exportMirror>[2]) => {
      const { left } = await exportMirror(cache, join(folder, name), options);
      return { steps: [...indexOf(join(folder, name)).keys()], left: left.map(({ step }) => step) };
    };
    assert.deepEqual(await stepsOf("a", { limit: 150 }), { steps: [dear], left: ["cheap"] });
    assert.deepEqual(await stepsOf("a", { limit: 150 }), { steps: [dear], left: ["cheap"] });
    assert.deepEqual(await stepsOf("b", { steps: new Set([cheap]) }), { steps: [cheap], left: [] });
    assert.deepEqual((await stepsOf("c", { stages: ["other"] })).steps, []);
    assert.deepEqual((await stepsOf("d", { stages: ["test"] })).steps.length, 2);
  }));

Deno.test("exportMirror() leaves out what is damaged, and refuses folders that are no sound mirror", () =>
  inFolder(async (folder, cache) => {
    const key = outputKey(await put(cache, "a", { files: { "a.txt": "abc" } }), "out");
    Deno.writeTextFileSync(join(cache.folder, "artifacts", key.slice(0, 2), key, "a.txt"), "abd");
    const { steps, left } = await exportMirror(cache, join(folder, "mirror"));
    assert.equal(steps, 0);
    assert.match(left[0].why, /it is damaged: a\.txt has sha256/);
    Deno.writeTextFileSync(join(folder, "mirror", "index.json"), "{}");
    await assert.rejects(exportMirror(cache, join(folder, "mirror")), /index\.json is damaged: .*export again/);
    Deno.mkdirSync(join(folder, "other"));
    Deno.writeTextFileSync(join(folder, "other", "thesis.txt"), "");
    await assert.rejects(exportMirror(cache, join(folder, "other")), /as it holds other files, and no index\.json/);
  }));

Deno.test("exports side by side lose nothing", () =>
  inFolder(async (folder, cache) => {
    const [a, b] = [await put(cache, "a"), await put(cache, "b")];
    const only = (key: string) => exportMirror(cache, join(folder, "mirror"), { steps: new Set([key]) });
    await Promise.all([only(a), only(b)]);
    assert.deepEqual([...indexOf(join(folder, "mirror")).keys()].sort(), [a, b].sort());
  }));

Deno.test("a cache filled from a mirror exports the same mirror, and does not say where it was from", () =>
  withMirror(recipe, async ({ folder, mirror, server, fresh }) => {
    await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
    await exportMirror(fresh, join(folder, "again"));
    const [first, again] = [indexOf(mirror), indexOf(join(folder, "again"))];
    assert.ok(again.size > 0);
    for (const [key, { outputs }] of again) assert.deepEqual(outputs, first.get(key)?.outputs);
    const text = filesIn(join(folder, "again")).map((name) => Deno.readTextFileSync(join(folder, "again", name)))
      .join();
    assert.ok(!text.includes(server.url.host));
  }));

Deno.test("a run's journal has the keys of its steps, so that the run alone can be exported", () =>
  withMirror(recipe, async ({ folder, fresh }) => {
    const { run } = await runOn(fresh, recipe);
    await runOn(fresh, recipeWith({ calibrate: { inputs: "original" }, spbo: { iterations: 3 } }));
    const [first] = readRun(join(folder, "fresh", "runs"), run).events;
    assert.ok(first.type === "run-started");
    const steps = new Set(first.steps.flatMap(({ key }) => key ?? []));
    assert.equal(steps.size, first.steps.length);
    const mine = await exportMirror(fresh, join(folder, "mine"), { steps });
    const all = await exportMirror(fresh, join(folder, "all"));
    assert.deepEqual([mine.steps, all.steps], [7, 11]);
    await using server = serveFolder(join(folder, "mine"));
    const empty = await openCache(join(folder, "empty", "cache"));
    const again = await runOn(empty, recipe, { mirrors: mirrorsAt([server.url]) });
    empty.close();
    assert.deepEqual(again.ran, []);
  }));

Deno.test("parseIndex() reads what renderIndex() writes, and refuses everything else", () => {
  const step = { bytes: 3, sha256: "a".repeat(64), outputs: { out: 1 } };
  const index = new Map([["b".repeat(64), step]]);
  const text = renderIndex(index);
  assert.deepEqual(parseIndex(text), index);
  const wrong: [string, RegExp][] = [
    ["<html>", /is not JSON/],
    ["[]", /is not what it should be/],
    ['{"format":2,"steps":{}}', /at format/],
    [text.replace('"bytes":3', '"bytes":-1'), /at steps\.b+\.bytes/],
    [text.replace('"bytes":3', '"bytes":1e300'), /bytes/],
    [text.replace("b".repeat(64), "../".repeat(3)), /at steps/],
    [text.replace('"out"', '"-x"'), /outputs/],
    [text.replace('"out":1', '"out":1.5'), /outputs\.out/],
    [text.replace('"bytes":3', '"bytes":3,"more":1'), /at steps/],
  ];
  for (const [each, says] of wrong) {
    assert.throws(() => parseIndex(each), (e) => e instanceof SyntaxError && says.test(e.message), each);
  }
});
