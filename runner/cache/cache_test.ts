import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import type { Tensor } from "../../files/safetensors.ts";
import { ALWAYS_HASHED, hashFile } from "../../files/file_hashes.ts";
import { CorruptArtifactError } from "./artifact.ts";
import { type ArtifactCache, openCache } from "./cache.ts";
import type { Publication } from "./publication.ts";
import { outputKey, stepKey } from "../keys.ts";
import { parseManifest } from "./manifest.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-cache-" });
  try {
    await work(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function tensorOf(...values: number[]): Tensor {
  return { dtype: "F32", shape: [values.length], data: Float32Array.from(values) };
}

/** Publishes one artifact. @returns its key */
async function put(
  cache: ArtifactCache,
  { name, numbers = 4, seconds = 1, retain = "keep" }: {
    readonly name: string;
    readonly numbers?: number;
    readonly seconds?: number;
    readonly retain?: "keep" | "transient";
  },
): Promise<string> {
  const components = { stage: "test", code: "1", reads: {}, facts: { name }, inputs: {} };
  const draft = cache.draft();
  draft.value({ name });
  await draft.write("values.safetensors", { values: tensorOf(...Array.from({ length: numbers }, (_, i) => i)) });
  const key = stepKey(components);
  const about: Publication = {
    ...{ stepKey: key, components, step: name, stage: "test", model: "m", seconds, stages: { test: seconds } },
    ...{ estimate: 1, drafts: { out: { draft, retain } } },
  };
  await cache.publish(about);
  return outputKey(key, "out");
}

/** Publishes a version of one step. @returns the key of its output */
async function putVersion(cache: ArtifactCache, version: number): Promise<string> {
  const components = { stage: "test", code: `${version}`, reads: {}, facts: {}, inputs: {} };
  const key = stepKey(components);
  const draft = cache.draft();
  await cache.publish({
    ...{ stepKey: key, components, step: "s", stage: "test", model: "m", seconds: 1, stages: {}, estimate: 1 },
    drafts: { out: { draft, retain: "keep" } },
  });
  return outputKey(key, "out");
}

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesUnder(join(folder, name)) : [join(folder, name)]
  ).sort();
}

Deno.test("publish() makes an artifact that reads back, with what a step wrote itself", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const components = { stage: "pack", code: "1", reads: {}, facts: {}, inputs: {} };
    const draft = cache.draft();
    draft.value({ bits: 3.2 });
    await draft.write("a.safetensors", { x: tensorOf(1, 2, 3) }, { note: "n" });
    Deno.writeTextFileSync(draft.path("model/config.json"), "{}");
    const key = stepKey(components);
    await cache.publish({
      ...{ stepKey: key, components, step: "pack", stage: "pack", model: "m", seconds: 2, stages: {}, estimate: 1 },
      drafts: { model: { draft, retain: "keep" } },
    });
    const artifact = cache.read(outputKey(key, "model"));
    assert.deepEqual(artifact.value, { bits: 3.2 });
    assert.deepEqual(artifact.files, ["a.safetensors", "model/config.json"]);
    assert.deepEqual((await artifact.read("a.safetensors")).x.data, Float32Array.of(1, 2, 3));
    assert.equal(Deno.readTextFileSync(await artifact.path("model/config.json")), "{}");
    await assert.rejects(artifact.read("b"), /its files are: a.safetensors, model\/config.json/);
    assert.throws(() => draft.value(1), /its step has ended/);
    assert.deepEqual([...Deno.readDirSync(join(folder, "tmp"))], []);
    cache.close();
  }));

Deno.test("draft() refuses file names that lead elsewhere, and announced files that were not written", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const draft = cache.draft();
    for (const name of ["", "..", "../x", "/etc/x", "a//b", "a/../b", "manifest.json", ".hidden", "a\\b", "C:x"]) {
      assert.throws(() => draft.path(name), RangeError, name);
    }
    draft.path("missing.bin");
    await assert.rejects(draft.finish(), /announced it and did not write it/);
    cache.abandon(draft);
    cache.close();
  }));

Deno.test("parseManifest() notices any change of any byte", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const key = await put(cache, { name: "é" });
    const path = join(folder, "artifacts", key.slice(0, 2), key, "manifest.json");
    const bytes = Deno.readFileSync(path);
    assert.equal(parseManifest(bytes, key).step, "é");
    assert.throws(() => parseManifest(bytes, key.replaceAll(/[0-9]/g, "a")), SyntaxError);
    fc.assert(fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = bytes.slice();
      damaged[at] ^= flip;
      assert.throws(() => parseManifest(damaged, key), SyntaxError, `byte ${at}`);
    }));
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] ^= 1 << (at % 8);
      assert.throws(() => parseManifest(damaged, key), SyntaxError, `byte ${at}`);
      assert.throws(() => parseManifest(bytes.subarray(0, at), key), SyntaxError, `length ${at}`);
    }
    assert.throws(() => parseManifest(Uint8Array.of(...bytes, 0x20), key), SyntaxError);
    cache.close();
  }));

Deno.test("read() and verify() notice every changed, missing or longer byte of an artifact's files", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const key = await put(cache, { name: "a" });
    const path = join(folder, "artifacts", key.slice(0, 2), key, "values.safetensors");
    const bytes = Deno.readFileSync(path);
    const damages = Array.from(bytes, (_, at) => {
      const damaged = bytes.slice();
      damaged[at] ^= 1 << (at % 8);
      return damaged;
    });
    for (const damaged of [...damages, bytes.subarray(0, -1), bytes.subarray(0, 0), Uint8Array.of(...bytes, 0)]) {
      Deno.writeFileSync(path, damaged);
      const told: CorruptArtifactError[] = [];
      await assert.rejects(
        cache.read(key, { report: (error) => told.push(error) }).read("values.safetensors"),
        CorruptArtifactError,
      );
      await assert.rejects(cache.read(key).path("values.safetensors"), CorruptArtifactError);
      assert.equal(told.length, 1);
      assert.equal((await cache.verify()).damaged.length, 1);
    }
    Deno.removeSync(path);
    await assert.rejects(cache.read(key).path("values.safetensors"), /values.safetensors is gone/);
    const fixed = await cache.verify({ fix: true });
    assert.deepEqual(fixed.damaged.map(({ step, detail }) => [step, detail]), [["a", "values.safetensors is gone"]]);
    assert.deepEqual([cache.has(key), cache.list().length, (await cache.verify()).checked], [false, 0, 0]);
    cache.close();
  }));

Deno.test("collect() evicts the fewest seconds per byte first, then what was used longest ago, and never pins", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const dear = await put(cache, { name: "dear", numbers: 1000, seconds: 900 });
    const old = await put(cache, { name: "old", numbers: 1000, seconds: 10 });
    const fresh = await put(cache, { name: "fresh", numbers: 1000, seconds: 10 });
    const cheap = await put(cache, { name: "cheap", numbers: 1000, seconds: 1 });
    const pinned = await put(cache, { name: "pinned", numbers: 1000, seconds: 0 });
    await new Promise((done) => setTimeout(done, 5));
    cache.read(fresh);
    cache.pin("run", [pinned]);
    const other = await openCache(folder);
    const { bytes } = cache.usage();
    const plan = other.collect({ size: 0, dryRun: true });
    assert.deepEqual(plan.evicted.map(({ key }) => key), [cheap, old, fresh, dear]);
    assert.deepEqual([plan.kept, plan.pinned, plan.bytes], [bytes / 5, bytes / 5, bytes * 4 / 5]);
    assert.equal(cache.usage().bytes, bytes);
    assert.deepEqual(other.collect({ size: bytes * 3 / 5 }).evicted.map(({ key }) => key), [cheap, old]);
    assert.deepEqual([cheap, old, fresh, dear, pinned].map((key) => cache.has(key)), [false, false, true, true, true]);
    cache.close();
    assert.deepEqual(other.collect({ size: 0 }).evicted.length, 3);
    assert.deepEqual(filesUnder(join(folder, "artifacts")), []);
    assert.deepEqual(filesUnder(join(folder, "tmp")), []);
    other.close();
  }));

Deno.test("drop() leaves what another run needs", () =>
  inFolder(async (folder) => {
    const [a, b] = [await openCache(folder), await openCache(folder)];
    const key = await put(a, { name: "hidden", retain: "transient" });
    b.pin("other", [key]);
    assert.equal(a.drop(key), false);
    b.unpin("other", [key]);
    assert.equal(a.drop(key), true);
    assert.equal(b.has(key), false);
    a.close();
    b.close();
  }));

Deno.test("openCache() rebuilds a missing or damaged index from the manifests", () =>
  inFolder(async (folder) => {
    const first = await openCache(folder);
    const key = await put(first, { name: "a", seconds: 7 });
    const before = first.list().map(({ used: _used, ...info }) => info);
    first.close();
    const index = join(folder, "index.sqlite");
    const damages = [
      () => Deno.removeSync(index),
      () => Deno.writeTextFileSync(index, "not a database, but long enough to be one".repeat(100)),
      () => Deno.truncateSync(index, 5000),
      () => {
        const bytes = Deno.readFileSync(index);
        bytes.fill(0xff, 4096, 12_288);
        Deno.writeFileSync(index, bytes);
      },
    ];
    for (const damage of damages) {
      damage();
      const cache = await openCache(folder);
      assert.deepEqual(cache.list().map(({ used: _used, ...info }) => info), before);
      assert.equal(cache.producer(key)?.seconds, 7);
      assert.equal(cache.records("m", "a").length, 1);
      cache.close();
    }
  }));

Deno.test("findDamaged() reads only what changed since it was checked, and unknown things if asked to", () =>
  inFolder(async (folder) => {
    const first = await openCache(folder);
    const keys = [await put(first, { name: "a" }), await put(first, { name: "b" })];
    assert.deepEqual([...await first.findDamaged([...keys, "0".repeat(64)])], []);
    const path = await first.read(keys[0]).path("values.safetensors");
    const sound = Deno.readFileSync(path);
    Deno.writeFileSync(path, sound.map((byte, at) => at === 9 ? byte ^ 4 : byte));
    assert.deepEqual([...(await first.findDamaged(keys)).keys()], [keys[0]]);
    first.close();
    Deno.removeSync(join(folder, "index.sqlite"));
    const cache = await openCache(folder);
    assert.deepEqual([...(await cache.findDamaged(keys, { unknown: false })).keys()], []);
    assert.deepEqual([...(await cache.findDamaged(keys)).keys()], [keys[0]]);
    Deno.writeFileSync(path, sound);
    assert.deepEqual([...await cache.findDamaged(keys)], []);
    cache.close();
  }));

Deno.test("records() keeps the newest of a step, and those with artifacts", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const first = await putVersion(cache, 0);
    const gone = [];
    for (let version = 1; version <= 40; version++) gone.push(await putVersion(cache, version));
    for (const key of gone.slice(0, 20)) cache.discard(key);
    const last = await putVersion(cache, 41);
    const records = cache.records("m", "s").map(({ components }) => components.code);
    assert.deepEqual([records[0], records.includes("0"), records.includes("5"), records.includes("25")], [
      "41",
      true,
      false,
      true,
    ]);
    assert.equal(cache.producer(first)?.components.code, "0");
    assert.equal(cache.producer(last)?.components.code, "41");
    cache.close();
  }));

Deno.test("tryLease() is one's alone until it is released or its owner is gone", () =>
  inFolder(async (folder) => {
    const [a, b] = [await openCache(folder), await openCache(folder)];
    assert.deepEqual([a.tryLease("k"), a.tryLease("k"), b.tryLease("k")], [true, false, false]);
    a.release("k");
    assert.deepEqual([b.tryLease("k"), a.tryLease("k")], [true, false]);
    b.close();
    assert.equal(a.tryLease("k"), true);
    a.close();
  }));

Deno.test("openCache() sweeps drafts and pins of those that are gone, and leaves those of others", () =>
  inFolder(async (folder) => {
    const a = await openCache(folder);
    const mine = a.draft();
    const gone = join(folder, "tmp", `${crypto.randomUUID()}.0`);
    Deno.mkdirSync(gone);
    Deno.writeTextFileSync(join(gone, "half.safetensors"), "half");
    Deno.writeTextFileSync(join(folder, "live", `${crypto.randomUUID()}.lock`), "");
    const b = await openCache(folder);
    assert.deepEqual([...Deno.readDirSync(join(folder, "tmp"))].map(({ name }) => join(folder, "tmp", name)), [
      mine.folder,
    ]);
    assert.equal([...Deno.readDirSync(join(folder, "live"))].length, 2);
    a.close();
    b.close();
  }));

Deno.test("publish() keeps the older of two different results and says so, or replaces it", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder);
    const components = { stage: "test", code: "1", reads: {}, facts: {}, inputs: {} };
    const key = stepKey(components);
    const publish = async (value: number, replace = false) => {
      const draft = cache.draft();
      draft.value(value);
      const { different } = await cache.publish({
        ...{
          stepKey: key,
          components,
          step: "s",
          stage: "test",
          model: "m",
          seconds: 1,
          stages: {},
          estimate: 1,
          replace,
        },
        drafts: { out: { draft, retain: "keep" } },
      });
      return [different, cache.read(outputKey(key, "out")).value];
    };
    assert.deepEqual(await publish(1), [[], 1]);
    assert.deepEqual(await publish(1), [[], 1]);
    assert.deepEqual(await publish(2), [["out"], 1]);
    assert.deepEqual(await publish(2, true), [["out"], 2]);
    assert.deepEqual(await publish(2, true), [[], 2]);
    cache.close();
  }));

Deno.test("fileHashes remembers hashes of large files until they change, also for a later process", () =>
  inFolder(async (folder) => {
    const first = await openCache(join(folder, "cache"));
    const path = join(folder, "weights.bin");
    Deno.writeTextFileSync(path, "weights");
    Deno.truncateSync(path, ALWAYS_HASHED + 1);
    Deno.utimeSync(path, 1_000_000, 1_000_000);
    await new Promise((done) => setTimeout(done, 2050));
    const hash = await hashFile(path, first.fileHashes);
    first.close();
    const cache = await openCache(join(folder, "cache"));
    let asked = 0;
    const spy = { get: cache.fileHashes.get, set: () => void asked++ };
    assert.equal(await hashFile(path, spy), hash);
    assert.equal(asked, 0);
    using file = Deno.openSync(path, { write: true });
    file.writeSync(new TextEncoder().encode("weight5"));
    Deno.utimeSync(path, 1_000_000, 1_000_000);
    assert.notEqual(await hashFile(path, spy), hash);
    cache.close();
  }));

Deno.test("usage() adds up by stage and output", () =>
  inFolder(async (folder) => {
    const cache = await openCache(folder, { size: 1000 });
    await put(cache, { name: "a", seconds: 1 });
    await put(cache, { name: "b", seconds: 2 });
    Deno.mkdirSync(join(folder, "downloads", "x"), { recursive: true });
    Deno.writeTextFileSync(join(folder, "downloads", "x", "y"), "12345");
    const { bytes } = cache.list()[0];
    assert.deepEqual(cache.usage(), {
      ...{ bytes: 2 * bytes, limit: 1000, downloads: 5 },
      rows: [{ stage: "test", output: "out", artifacts: 2, bytes: 2 * bytes, seconds: 3 }],
    });
    cache.close();
  }));
