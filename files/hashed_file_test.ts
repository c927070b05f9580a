import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { inMemoryHashes } from "./file_hashes.ts";
import { openHashed } from "./hashed_file.ts";

const [old, other] = [3, 7].map((factor) => Uint8Array.from({ length: 100_000 }, (_, i) => i * factor & 255));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const anHourAgo = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);
const CHANGED = {
  name: "InputError",
  message: /^Cannot go on with .*weights\.bin: it has changed since it was opened; /,
};

async function withFile(body: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "weights.bin");
    await Deno.writeFile(path, old);
    await Deno.utime(path, anHourAgo, anHourAgo);
    await body(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("openHashed() refuses to read on where other bytes were written into the file, hashed or not", () =>
  withFile(async (path) => {
    const [hashed, unhashed] = [await openHashed(path, inMemoryHashes()), await openHashed(path, inMemoryHashes())];
    assert.equal(await hashed.sha256(), sha256(old));
    assert.deepEqual(await hashed.source.read(10, 20), old.slice(10, 20));
    await Deno.writeFile(path, other);
    const reads = [hashed.source.read(10, 20), hashed.source.read(0, 5), unhashed.source.read(0, 1)];
    await Promise.all(reads.map((read) => assert.rejects(read, CHANGED)));
    await assert.rejects(unhashed.sha256(), CHANGED);
    for (const { source } of [hashed, unhashed]) source.close();
  }));

Deno.test("openHashed() reads on where a file was renamed, replaced by another, linked or given other rights after it was hashed", () =>
  withFile(async (path) => {
    const changes: readonly (() => Promise<void>)[] = [
      () => Deno.chmod(path, 0o600),
      () => Deno.link(path, `${path}.link`),
      () => Deno.utime(path, anHourAgo, new Date(anHourAgo.getTime() - 1000)),
      () => Deno.rename(path, `${path}.old`),
      () => Deno.writeFile(path, other),
    ];
    const { source, sha256: hash } = await openHashed(path, inMemoryHashes());
    assert.equal(await hash(), sha256(old));
    for (const change of Deno.build.os === "windows" ? [] : changes) {
      await change();
      assert.deepEqual(await Promise.all([source.read(0, 3), source.read(5, 9)]), [old.slice(0, 3), old.slice(5, 9)]);
    }
    source.close();
  }));

Deno.test("openHashed() does not take the hash of a file that was put in the place of the one it opened", () =>
  withFile(async (path) => {
    const { source, sha256: hash } = await openHashed(path, inMemoryHashes());
    await Deno.writeFile(`${path}.new`, other);
    await Deno.utime(`${path}.new`, anHourAgo, anHourAgo);
    await Deno.rename(`${path}.new`, path);
    await assert.rejects(hash(), CHANGED);
    source.close();
  }));

Deno.test("openHashed() refuses a folder", () =>
  withFile(async (path) => {
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assert.rejects(openHashed(path, inMemoryHashes()), {
      name: "InputError",
      message: /it is a folder, not a file$/,
    });
  }));
