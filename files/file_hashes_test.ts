import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type FileHashes, type FileStat, hashFile, inMemoryHashes, rememberHash } from "./file_hashes.ts";
import { stateOf } from "./file_state.ts";

/** A memo that counts, over the in-memory one; small files too are remembered. */
function counting(): FileHashes & { readonly sets: FileStat[]; hits: number } {
  const memo = inMemoryHashes(0);
  return {
    always: 0,
    sets: [],
    hits: 0,
    get(file) {
      const known = memo.get(file);
      if (known !== undefined) this.hits++;
      return known;
    },
    set(file, sha256) {
      this.sets.push(file);
      memo.set(file, sha256);
    },
  };
}

async function withFile(body: (path: string, content: Uint8Array) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const content = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7 & 255);
    const path = join(folder, "weights.bin");
    await Deno.writeFile(path, content);
    await body(path, content);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const anHourAgo = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);

/** Until a change must show in a time of whole seconds. */
const settled = () => delay(2050);

Deno.test("hashFile() remembers a settled file, and sees one of its size and time in its place, however it was put there", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [old, other] = [3, 7].map((factor) => Uint8Array.from({ length: 70_000 }, (_, i) => i * factor & 255));
    // Equal where a sample is taken, so that only the system's date differs.
    const alike = old.slice();
    alike[4096] ^= 1;
    // In place, as `cp -p` and `rsync --inplace` do; renamed over it, as `mv` and `tar x` do.
    const inPlace = (path: string, bytes: Uint8Array) => Deno.writeFile(path, bytes);
    const renamed = async (path: string, bytes: Uint8Array) => {
      await Deno.writeFile(`${path}.new`, bytes);
      await Deno.utime(`${path}.new`, anHourAgo, anHourAgo);
      await Deno.rename(`${path}.new`, path);
    };
    const cases = [[inPlace, other], [inPlace, alike], [renamed, other], [renamed, alike]] as const;
    const made = await Promise.all(cases.map(async ([put, bytes], number) => {
      const path = join(folder, `${number}.bin`);
      await Deno.writeFile(path, old);
      await Deno.utime(path, anHourAgo, anHourAgo);
      return { path, put, bytes, hashes: counting() };
    }));
    await settled();
    for (const { path, hashes } of made) {
      for (let time = 0; time < 2; time++) assert.equal(await hashFile(path, hashes), sha256(old));
      assert.deepEqual([hashes.sets.length, hashes.hits], [1, 1]);
      assert.deepEqual([hashes.sets[0].path, hashes.sets[0].size], [await Deno.realPath(path), old.length]);
    }
    for (const { path, put, bytes, hashes } of made) {
      await put(path, bytes);
      await Deno.utime(path, anHourAgo, anHourAgo);
      assert.equal((await Deno.stat(path)).mtime?.getTime(), anHourAgo.getTime());
      assert.equal(await hashFile(path, hashes), sha256(bytes));
      assert.equal(hashes.hits, 1);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("hashFile() takes a sample, so that another file is seen where even the system's date is the same", () =>
  withFile(async (path) => {
    const seen: string[] = [];
    const hashes = { always: 0, set() {}, get: ({ print }: FileStat) => void seen.push(print) };
    await hashFile(path, hashes);
    await hashFile(path, hashes);
    const state = stateOf(path)?.print ?? "none";
    assert.equal(seen[0], seen[1]);
    assert.ok(seen[0].startsWith(`${state} `) && /^[0-9a-f]{64}$/.test(seen[0].slice(state.length + 1)));
    const other = `${path}.other`;
    await Deno.copyFile(path, other);
    using file = await Deno.open(other, { write: true });
    await file.seek(-1, Deno.SeekMode.End);
    await file.write(Uint8Array.of(99));
    await hashFile(other, hashes);
    assert.notEqual(seen[2].slice(-64), seen[0].slice(-64));
  }));

Deno.test("hashFile() does not remember a file that changed just now, nor a small one at all", () =>
  withFile(async (path, content) => {
    const hashes = counting();
    await Deno.utime(path, anHourAgo, anHourAgo);
    assert.equal(await hashFile(path, hashes), sha256(content));
    const memo = inMemoryHashes();
    const refuse = () => assert.fail("asked");
    assert.equal(await hashFile(path, { ...memo, get: refuse, set: refuse }), sha256(content));
    await rememberHash(path, sha256(content), { ...memo, set: refuse });
    assert.equal(hashes.sets.length, 0);
  }));

Deno.test("hashFile() names a file that is missing", () =>
  assert.rejects(hashFile("none.bin", inMemoryHashes()), { name: "InputError", message: /none\.bin/ }));

Deno.test("hashFile() tells how far a large file is hashed, and ends when it is aborted", () =>
  withFile(async (path) => {
    const controller = new AbortController();
    await Deno.truncate(path, 3 * 2 ** 28);
    const told: string[] = [];
    const tell = (message: string) => {
      told.push(message);
      if (told.length === 2) controller.abort(new Error("stop"));
    };
    await assert.rejects(hashFile(path, { ...inMemoryHashes(), tell }, { signal: controller.signal }), /^Error: stop$/);
    assert.deepEqual(told, ["hashing weights.bin, 0.3 of 0.8 GB", "hashing weights.bin, 0.5 of 0.8 GB"]);
  }));
