import assert from "node:assert/strict";
import { readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { canonicalJson, outputKey, sha256, stepKey } from "../keys.ts";
import type { Json } from "../stage.ts";
import { draws } from "../../files/mutate_test_support.ts";
import { CorruptArtifactError } from "./artifact.ts";
import { type ArtifactCache, openCache } from "./cache.ts";
import { CacheIndex } from "./cache_index.ts";
import { IndexError } from "./index_file.ts";
import { parseManifest } from "./manifest.ts";

/** A cache in a folder of its own, with something beside it that must stay. */
async function inCache(work: (folder: string, key: string) => Promise<void>): Promise<void> {
  const outside = Deno.makeTempDirSync({ prefix: "pbs2p-damage-" });
  const folder = join(outside, "cache");
  try {
    Deno.writeTextFileSync(join(outside, "precious.txt"), "precious");
    const cache = await openCache(folder);
    const key = await put(cache);
    cache.close();
    await work(folder, key);
    assert.deepEqual(readdirSync(outside).sort(), ["cache", "precious.txt"]);
    assert.equal(Deno.readTextFileSync(join(outside, "precious.txt")), "precious");
  } finally {
    Deno.removeSync(outside, { recursive: true });
  }
}

async function put(cache: ArtifactCache): Promise<string> {
  const components = { stage: "test", code: "1", reads: { a: [1] }, facts: {}, inputs: {} };
  const draft = cache.draft();
  draft.value({ a: [1, 2, { b: null }] });
  const data = Float32Array.of(1, 2, 3);
  await draft.write("values.safetensors", { values: { dtype: "F32", shape: [3], data } });
  await cache.publish({
    ...{
      stepKey: stepKey(components),
      components,
      step: "s",
      stage: "test",
      model: "m",
      seconds: 7,
      stages: { test: 7 },
    },
    ...{ estimate: 1, drafts: { out: { draft, retain: "keep" } } },
  });
  return outputKey(stepKey(components), "out");
}

/** Numbers from 0 to below 1, the same each time. */
function seeded(seed: number): () => number {
  const draw = draws(seed);
  return () => draw(2 ** 32) / 2 ** 32;
}

const LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n";

Deno.test("openCache() makes an index anew that is damaged in any way, and keeps the artifacts", () =>
  inCache(async (folder) => {
    const index = join(folder, "index.sqlite");
    const sound = Deno.readFileSync(index);
    const sql = (statements: string) => {
      const database = new DatabaseSync(index);
      database.exec(statements);
      database.close();
    };
    const instead = (make: () => void) => {
      Deno.removeSync(index);
      make();
    };
    const damages: Readonly<Record<string, () => void>> = {
      "Git LFS pointer": () => Deno.writeTextFileSync(index, LFS),
      empty: () => Deno.truncateSync(index, 0),
      zeros: () => Deno.writeFileSync(index, new Uint8Array(sound.length)),
      "half of it": () => Deno.writeFileSync(index, sound.subarray(0, sound.length >> 1)),
      "no tables": () => sql("DROP TABLE artifacts; DROP TABLE steps"),
      "no index": () => sql("DROP INDEX steps_by_name"),
      "another column": () => sql("ALTER TABLE artifacts RENAME COLUMN bytes TO size"),
      "a view in place of a table": () => sql("DROP TABLE pins; CREATE VIEW pins AS SELECT 1"),
      "a table more": () => sql('CREATE TABLE "odd "" name" (x)'),
      "the layout of an older version": () =>
        sql(
          "PRAGMA user_version = 2; DROP TABLE file_hashes; CREATE TABLE file_hashes (path TEXT PRIMARY KEY, " +
            "size INTEGER NOT NULL, mtime TEXT NOT NULL, inode TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT",
        ),
      "a folder": () => instead(() => Deno.mkdirSync(index)),
      "a link to nowhere": () => instead(() => symlinkSync(join(folder, "no", "where"), index)),
      "a folder in place of its log": () => Deno.mkdirSync(`${index}-wal`),
      "a log of noise": () => Deno.writeTextFileSync(`${index}-wal`, "noise".repeat(5000)),
    };
    const first = await openCache(folder);
    const listed = first.list().map(({ used: _used, ...info }) => info);
    first.close();
    for (const [name, damage] of Object.entries(damages)) {
      damage();
      const cache = await openCache(folder);
      assert.deepEqual(cache.list().map(({ used: _used, ...info }) => info), listed, name);
      assert.deepEqual((await cache.verify()).damaged, [], name);
      cache.close();
    }
  }));

Deno.test("openCache() works or says what to do, but never in SQLite's words, after any change of any bytes of an index", () =>
  inCache(async (folder, key) => {
    const index = join(folder, "index.sqlite");
    const filled = await openCache(folder);
    filled.fileHashes.set({ path: "/w", size: 1, print: "p" }, "a".repeat(64));
    filled.close();
    const sound = Deno.readFileSync(index);
    const random = seeded(9);
    for (let round = 0; round < 60; round++) {
      const bytes = sound.slice();
      const begin = Math.floor(random() * bytes.length);
      const length = round % 3 === 0 ? 1 : Math.floor(random() * 3000);
      for (let at = begin; at < Math.min(bytes.length, begin + length); at++) bytes[at] = random() * 256;
      for (const suffix of ["-wal", "-shm"]) rmSync(index + suffix, { force: true });
      Deno.writeFileSync(index, bytes);
      try {
        const cache = await openCache(folder);
        try {
          cache.list();
          cache.records("m", "s");
          assert.ok([undefined, "a".repeat(64)].includes(cache.fileHashes.get({ path: "/w", size: 1, print: "p" })));
          assert.deepEqual(cache.read(key).files, ["values.safetensors"]);
          assert.deepEqual([...await cache.findDamaged([key])], []);
          cache.collect({ size: 2 ** 40 });
        } finally {
          cache.close();
        }
      } catch (error) {
        assert.ok(error instanceof IndexError, `round ${round}: ${error}`);
        assert.match(error.message, /^Cannot use the cache's index .*index\.sqlite: it is damaged .*; remove it: /);
      }
    }
  }));

Deno.test("openCache() says that an index is locked, or a folder that holds something", () =>
  inCache(async (folder) => {
    const path = join(folder, "index.sqlite");
    const other = new DatabaseSync(path);
    other.exec("BEGIN EXCLUSIVE");
    assert.throws(() => new CacheIndex(path, () => {}, { timeout: 20 }), {
      name: "IndexError",
      message: /^Cannot use the cache's index .*: another process keeps it locked; end that one, or choose another/,
    });
    other.close();
    Deno.removeSync(path);
    Deno.mkdirSync(join(path, "mine"), { recursive: true });
    await assert.rejects(openCache(folder), {
      name: "IndexError",
      message: /it is a folder, and not empty; move it away$/,
    });
    assert.ok(Deno.statSync(join(path, "mine")).isDirectory);
  }));

Deno.test("collect() removes nothing outside of the cache, whatever an index says", () =>
  inCache(async (folder) => {
    (await openCache(folder)).close();
    const database = new DatabaseSync(join(folder, "index.sqlite"));
    const names = ["../../../precious.txt", "..", "", "a".repeat(64)];
    for (const name of names) {
      database.prepare(
        "INSERT INTO artifacts SELECT ?, step_key, step, stage, output, model, retain, 9e9, 0, 1, 1, '[[7]', '' FROM artifacts LIMIT 1",
      )
        .run(name);
    }
    database.exec("UPDATE artifacts SET print = '[7, [\"../x\"]]' WHERE print <> '[[7]'");
    database.close();
    const cache = await openCache(folder);
    assert.equal((await cache.findDamaged(cache.list().map(({ key }) => key))).size, 0);
    cache.collect({ size: 0 });
    assert.deepEqual(cache.list(), []);
    cache.close();
  }));

/** A manifest with a digest that fits, whatever it says. */
function forge(manifest: unknown): string {
  const body = canonicalJson(manifest as Json);
  return `{"manifest":${body},"sha256":"${sha256(body)}"}\n`;
}

/** Changes one thing somewhere in a tree. */
function mutate(value: unknown, random: () => number): unknown {
  const odd = [null, -1, 1.5, 1e300, "", "../../../precious.txt", "\0", [], {}, true, [[[[0]]]], 2 ** 60];
  const isTree = typeof value === "object" && value !== null && Object.keys(value).length > 0;
  if (!isTree || random() < 0.15) return odd[Math.floor(random() * odd.length)];
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value };
  const names = Object.keys(copy);
  const name = names[Math.floor(random() * names.length)];
  const action = random();
  if (action < 0.15) Reflect.deleteProperty(copy, name);
  else if (action < 0.25) Reflect.set(copy, `${name}2`, Reflect.get(copy, name));
  else Reflect.set(copy, name, mutate(Reflect.get(copy, name), random));
  return Array.isArray(copy) ? copy.filter((item) => item !== undefined) : copy;
}

Deno.test("verify() and read() report an artifact whose manifest was forged, and touch nothing else", () =>
  inCache(async (folder, key) => {
    const path = join(folder, "artifacts", key.slice(0, 2), key, "manifest.json");
    const honest = Deno.readFileSync(path);
    const { manifest } = JSON.parse(new TextDecoder().decode(honest));
    assert.deepEqual(new TextEncoder().encode(forge(manifest)), honest);
    const [file] = manifest.files;
    const escape = (name: string) => ({ ...manifest, files: [{ ...file, name }] });
    const tables: unknown[] = [
      ...[null, 7, "text", [], {}, { ...manifest, files: {} }, { ...manifest, files: [null] }],
      ...["../../../../precious.txt", "/etc/passwd", "a/../../x", ".", "manifest.json", "a\\..\\b", "C:x", "\0"].map(
        escape,
      ),
      ...[{ ...manifest, created: 1.5 }, { ...manifest, seconds: "1" }, { ...manifest, components: [] }],
      ...[-1, 2 ** 60, 1.5, "9"].map((bytes) => ({ ...manifest, files: [{ ...file, bytes }] })),
      {
        ...manifest,
        files: [{ ...file, bytes: Number.MAX_SAFE_INTEGER }, { ...file, bytes: Number.MAX_SAFE_INTEGER }],
      },
      { ...manifest, retain: "for ever" },
      { ...manifest, more: 1 },
    ];
    const random = seeded(3);
    const texts = [
      ...tables.map(forge),
      ...Array.from({ length: 300 }, () => forge(mutate(manifest, random) ?? null)),
      ...[
        LFS,
        "",
        "{}",
        '{"manifest":',
        "[".repeat(100_000),
        `{"manifest":${"[".repeat(50_000)}${"]".repeat(50_000)},"sha256":""}`,
      ],
    ];
    const cache = await openCache(folder);
    for (const [number, text] of texts.entries()) {
      Deno.writeTextFileSync(path, text);
      let sound = true;
      try {
        parseManifest(new TextEncoder().encode(text), key);
      } catch (error) {
        assert.ok(error instanceof SyntaxError, `${error}`);
        assert.doesNotMatch(error.message, /Unexpected|JSON at position|call stack|content key/);
        sound = false;
      }
      assert.ok(!sound || number >= tables.length, text);
      if (!sound) assert.throws(() => cache.read(key), CorruptArtifactError);
      // What fits in form is checked against the files.
      else {for (const name of cache.read(key).files) {
          await cache.read(key).path(name).catch((error) => assert.ok(error instanceof CorruptArtifactError));
        }}
      const { damaged } = await cache.verify();
      if (!sound) assert.deepEqual(damaged.map(({ key }) => key), [key]);
    }
    cache.close();
    Deno.removeSync(join(folder, "index.sqlite"));
    const rebuilt = await openCache(folder);
    assert.equal(rebuilt.list().length, 0);
    assert.equal((await rebuilt.verify({ fix: true })).damaged.length, 1);
    await put(rebuilt);
    assert.deepEqual((await rebuilt.verify()).damaged, []);
    rebuilt.close();
  }));

Deno.test("verify() reports what is no file, without waiting or reading it, and a new artifact takes its place", () =>
  inCache(async (folder, key) => {
    const place = join(folder, "artifacts", key.slice(0, 2), key);
    const [values, manifest] = [join(place, "values.safetensors"), join(place, "manifest.json")];
    const instead = (path: string, make: () => void) => () => {
      Deno.removeSync(path, { recursive: true });
      make();
    };
    const pipe = (path: string) => void new Deno.Command("mkfifo", { args: [path] }).outputSync();
    const damages = [
      instead(values, () => Deno.mkdirSync(values)),
      instead(manifest, () => Deno.mkdirSync(manifest)),
      instead(manifest, () => symlinkSync("/dev/zero", manifest)),
      instead(values, () => symlinkSync("values.safetensors", values)),
      // So long that hashing it would take a day.
      () => Deno.truncateSync(values, 2 ** 43),
      () => Deno.truncateSync(manifest, 2 ** 40),
      ...Deno.build.os === "windows"
        ? []
        : [instead(values, () => pipe(values)), instead(manifest, () => pipe(manifest))],
      instead(place, () => Deno.writeTextFileSync(place, "not a folder")),
      instead(join(place, ".."), () => Deno.writeTextFileSync(join(place, ".."), "not a folder")),
    ];
    for (const [number, damage] of damages.entries()) {
      damage();
      const cache = await openCache(folder);
      await assert.rejects(
        async () => await cache.read(key).path("values.safetensors"),
        CorruptArtifactError,
        `${number}`,
      );
      const { damaged } = await cache.verify({ fix: true });
      if (cache.has(key)) assert.equal(damaged.length, 1, `${number}`);
      await put(cache);
      assert.deepEqual((await cache.verify()).damaged, [], `${number}`);
      assert.ok((await cache.read(key).path("values.safetensors")).endsWith("values.safetensors"));
      cache.close();
    }
  }));
