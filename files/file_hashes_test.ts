import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type FileHashes, type FileStat, hashFile, inMemoryHashes } from "./file_hashes.ts";

/** A memo that counts, over the in-memory one. */
function counting(): FileHashes & { readonly sets: FileStat[]; hits: number } {
  const memo = inMemoryHashes();
  return {
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
const anHourAgo = () => new Date(Date.now() - 3_600_000);

Deno.test("hashFile() remembers a settled file and hashes a changed one again", () =>
  withFile(async (path, content) => {
    const hashes = counting();
    await Deno.utime(path, anHourAgo(), anHourAgo());
    assert.equal(await hashFile(path, hashes), sha256(content));
    assert.equal(await hashFile(path, hashes), sha256(content));
    assert.deepEqual([hashes.sets.length, hashes.hits], [1, 1]);
    assert.equal(hashes.sets[0].path, await Deno.realPath(path));
    assert.equal(hashes.sets[0].size, content.length);

    content[5] ^= 1;
    await Deno.writeFile(path, content);
    assert.equal(await hashFile(path, hashes), sha256(content));
    assert.equal(hashes.hits, 1);
  }));

Deno.test("hashFile() does not remember a file that changed just now", () =>
  withFile(async (path, content) => {
    const hashes = counting();
    assert.equal(await hashFile(path, hashes), sha256(content));
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
