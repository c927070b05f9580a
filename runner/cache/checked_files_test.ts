import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type HashContent, hashContent } from "../../files/hash_content.ts";
import { stateOf } from "../../files/file_state.ts";
import { CheckedFiles, settle } from "./checked_files.ts";

const anHourAgo = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);

async function withFile(body: (path: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-checked-" });
  try {
    const path = join(folder, "model.safetensors");
    Deno.writeTextFileSync(path, "content");
    Deno.utimeSync(path, anHourAgo, anHourAgo);
    await body(path);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Hashes, and counts how often. */
function counting(): { readonly hash: HashContent; count: number } {
  const counter = {
    count: 0,
    hash: (...args: Parameters<HashContent>) => (counter.count++, hashContent(...args)),
  };
  return counter;
}

Deno.test("CheckedFiles.content() hashes a file once, also when it is asked for side by side", () =>
  withFile(async (path) => {
    const counter = counting();
    const checked = new CheckedFiles(counter.hash);
    const [one, other] = await Promise.all([checked.content(path), checked.content(path)]);
    assert.deepEqual([one, other, await checked.content(path)], [one, one, one]);
    assert.equal(counter.count, 1);
    await checked.read(path);
    assert.equal(counter.count, 2);
    checked.clear();
    await checked.content(path);
    assert.equal(counter.count, 3);
  }));

Deno.test("CheckedFiles.content() hashes a file again when its size, time or inode differ, and tells that one is gone", () =>
  withFile(async (path) => {
    const counter = counting();
    const checked = new CheckedFiles(counter.hash);
    const sound = await checked.content(path);
    const changes: readonly (() => void)[] = [
      () => Deno.writeTextFileSync(path, "longer content"),
      () => Deno.utimeSync(path, anHourAgo, new Date(anHourAgo.getTime() - 1000)),
      () => {
        Deno.copyFileSync(path, `${path}.other`);
        Deno.utimeSync(`${path}.other`, anHourAgo, anHourAgo);
        Deno.renameSync(`${path}.other`, path);
      },
    ];
    for (const [number, change] of changes.entries()) {
      change();
      assert.notEqual((await checked.content(path))?.sha256, sound?.sha256);
      assert.equal(counter.count, number + 2);
    }
    Deno.removeSync(path);
    assert.equal(await checked.content(path), undefined);
    assert.equal(counter.count, 4);
  }));

Deno.test("CheckedFiles.content() does not trust a file that may change again within one tick of its clock", () =>
  withFile(async (path) => {
    const counter = counting();
    const checked = new CheckedFiles(counter.hash);
    const soon = new Date(Date.now() + 3_600_000);
    Deno.utimeSync(path, soon, soon);
    await checked.content(path);
    await checked.content(path);
    assert.equal(counter.count, 2);
  }));

Deno.test("settle() lets what was written count as known", () =>
  withFile(async (path) => {
    const counter = counting();
    const checked = new CheckedFiles(counter.hash);
    Deno.truncateSync(path, 1 << 24);
    let state = stateOf(path);
    if (state !== undefined && state.modified % 1000 === 0) {
      // Then its time looks like one of whole seconds.
      await delay(5);
      Deno.truncateSync(path, 1 << 25);
      state = stateOf(path);
    }
    assert.ok(state !== undefined);
    await settle([state]);
    const content = { bytes: state.size, sha256: "as written" };
    checked.written(path, state, content);
    assert.deepEqual(await checked.content(path), content);
    assert.equal(counter.count, 0);
  }));

Deno.test("hashContent() ends with the chunk in which it is aborted", () =>
  withFile(async (path) => {
    Deno.truncateSync(path, 200 << 20);
    const controller = new AbortController();
    const reason = new Error("stop");
    const chunks: number[] = [];
    const hashing = new CheckedFiles((file, options) =>
      hashContent(file, {
        ...options,
        onChunk(done) {
          chunks.push(done);
          controller.abort(reason);
        },
      })
    ).content(path, { signal: controller.signal });
    await assert.rejects(hashing, reason);
    assert.equal(chunks.length, 1);
    assert.ok(chunks[0] <= 1 << 20);
  }));
