import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCache } from "../runner/cache/cache.ts";
import { tuningFile } from "./tuning_file.ts";

Deno.test("tuningFile() keeps what others set, and takes what it cannot read for nothing", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const cache = join(folder, "cache"), path = join(cache, "devices.json");
    assert.equal(tuningFile(cache).get("a"), undefined);
    const [one, other] = [tuningFile(cache), tuningFile(cache)];
    one.set("a", { rate: 1.5 });
    other.set("b", [2]);
    assert.deepEqual([one.get("a"), one.get("b"), one.get("c")], [{ rate: 1.5 }, [2], undefined]);
    for (const damaged of ["", "{", "7", "null"]) {
      writeFileSync(path, damaged);
      assert.equal(one.get("a"), undefined, damaged);
    }
    one.set("a", 3);
    assert.equal(other.get("a"), 3);
    assert.deepEqual(readdirSync(cache), ["devices.json"], "nothing unfinished is left");

    // A file where the cache's folder should be: nothing is remembered, and nothing fails.
    tuningFile(path).set("a", 4);
    assert.equal(tuningFile(path).get("a"), undefined);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("tuningFile() lives beside artifacts: no command of the cache minds it", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    tuningFile(folder).set("a", 1);
    const cache = await openCache(folder);
    assert.deepEqual([(await cache.verify({ fix: true })).checked, cache.usage().bytes], [0, 0]);
    cache.collect({ size: 0 });
    cache.close();
    assert.equal(tuningFile(folder).get("a"), 1);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
