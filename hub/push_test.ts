import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { InputError } from "../files/input_error.ts";
import { FAKE_READER, FAKE_TOKEN, type FakeHub, startFakeHub } from "./fake_hub_test_support.ts";
import { STORAGE_TOKEN } from "./fake_hub_writes_test_support.ts";
import { compareUploads, downloadFile, type HubAccess, lookAtTarget, push, resolveModel, type Upload } from "./mod.ts";
import { ConflictError, sender } from "./send.ts";

/** Random, so that what is sent is not shorter than what is stored. */
const weights = new Uint8Array(300_000);
for (let at = 0; at < weights.length; at += 60_000) crypto.getRandomValues(weights.subarray(at, at + 60_000));
const files = { "README.md": "# tiny\n", "model/config.json": "{}", "model/model.safetensors": weights };

/** A folder with the files as uploads, a hub, and access to it. */
async function withPush(body: (hub: FakeHub, access: HubAccess, uploads: Upload[]) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    const uploads: Upload[] = [];
    for (const [path, content] of Object.entries(files)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      const file = join(cache, path.replace("/", "-"));
      await Deno.writeFile(file, bytes);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      uploads.push({ path, bytes: bytes.length, sha256, content: pathToFileURL(file) });
    }
    await using hub = startFakeHub();
    await body(hub, { cache, endpoint: hub.url, token: FAKE_TOKEN, retryDelay: 1 }, uploads);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

/** Looks, compares and pushes, as the command does. */
async function pushAll(uploads: readonly Upload[], access: HubAccess, branch = "main") {
  const target = await lookAtTarget("me/tiny", branch, access);
  return await push(await compareUploads(uploads, target), target, access, { title: "tiny" });
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

async function assertThere(access: HubAccess, revision: string): Promise<void> {
  const repo = await resolveModel("me/tiny", revision, access);
  for (const [path, content] of Object.entries(files)) {
    const found = await Deno.readFile(await downloadFile(repo, path, access));
    assert.deepEqual(found, typeof content === "string" ? new TextEncoder().encode(content) : content, path);
  }
}

for (const transfer of ["basic", "multipart", "xet"] as const) {
  Deno.test(`push() makes the repository and a commit with all files, uploads by ${transfer}`, () =>
    withPush(async (hub, access, uploads) => {
      hub.storage.transfer = transfer;
      const { commit, url } = await pushAll(uploads, access);
      assert.equal(url, `${hub.url}/me/tiny/commit/${commit}`);
      await assertThere(access, commit);
      const elsewhere = hub.requests.filter(({ host }) => host !== new URL(hub.url).host);
      const tokens = new Set(elsewhere.map(({ authorization }) => authorization));
      const own = transfer === "xet" ? `Bearer ${STORAGE_TOKEN}` : null;
      assert.ok(elsewhere.length > 0 && [...tokens].every((token) => token === null || token === own));
    }));

  Deno.test(`push() goes on over dropped connections, uploads by ${transfer}`, () =>
    withPush(async (hub, access, uploads) => {
      Object.assign(hub.storage, { transfer, drops: 2 });
      const { commit } = await pushAll(uploads, access);
      assert.equal(hub.storage.drops, 0);
      await assertThere(access, commit);
    }));

  Deno.test(`push() sends no token where an upload is redirected to, by ${transfer}`, () =>
    withPush(async (hub, access, uploads) => {
      Object.assign(hub.storage, { transfer, redirects: 1 });
      await assertThere(access, (await pushAll(uploads, access)).commit);
      const { port } = new URL(hub.storage.url);
      const redirected = hub.requests.filter(({ host }) => host === `127.0.0.1:${port}`);
      assert.ok(redirected.length > 0 && redirected.every(({ authorization }) => authorization === null));
    }));

  Deno.test(`push() that broke goes on later, and sends nothing again that the hub has, by ${transfer}`, () =>
    withPush(async (hub, access, uploads) => {
      hub.storage.transfer = transfer;
      hub.trouble.set("commit", { fail: { status: 500, times: 1 } });
      await rejects(pushAll(uploads, access), /the hub answered 500.*what was uploaded is not sent again/);
      const sent = hub.storage.received;
      assert.ok(sent >= weights.length);
      await assertThere(access, (await pushAll(uploads, access)).commit);
      assert.equal(hub.storage.received, sent);
    }));
}

Deno.test("push() gives up on a storage that always drops, and the next push goes on", () =>
  withPush(async (hub, access, uploads) => {
    hub.storage.drops = 1000;
    await rejects(pushAll(uploads, access), /Cannot reach http:\/\/localhost:\d+ for model me\/tiny/);
    hub.storage.drops = 0;
    await assertThere(access, (await pushAll(uploads, access)).commit);
  }));

Deno.test("push() sends what is new or changed alone, and commits nothing where nothing is", () =>
  withPush(async (hub, access, uploads) => {
    const first = await pushAll(uploads, access);
    const batches = () => hub.requests.filter(({ path }) => path.endsWith("/batch")).length, before = batches();
    assert.equal((await pushAll(uploads, access)).commit, first.commit);
    const [card, ...rest] = uploads;
    const content = new Blob(["# other\n"]), sha256 = createHash("sha256").update("# other\n").digest("hex");
    const target = await lookAtTarget("me/tiny", "main", access);
    const compared = await compareUploads([{ ...card, content, bytes: content.size, sha256 }, ...rest], target);
    assert.deepEqual(compared.map(({ state }) => state), ["changed", "unchanged", "unchanged"]);
    const { commit } = await push(compared, target, access, { title: "card" });
    assert.notEqual(commit, first.commit);
    assert.equal(batches(), before, "no large file is asked for");
  }));

Deno.test("push() waits as long as the hub asks for, and gives up after some times", () =>
  withPush(async (hub, access, uploads) => {
    const busy = (times: number) => ({ fail: { status: 429, times, headers: { "retry-after": "1" } } });
    hub.trouble.set("batch", busy(1));
    hub.trouble.set("commit", busy(1));
    const began = performance.now();
    await assertThere(access, (await pushAll(uploads, access)).commit);
    assert.ok(performance.now() - began >= 2000);
    hub.trouble.set("create", { fail: { status: 429, times: 99 } });
    const other = { ...await lookAtTarget("me/other", "main", access) };
    await rejects(
      push(await compareUploads(uploads, other), other, access, { title: "t" }),
      /model me\/other: the hub has had too many requests \(429 trouble 429\).*later/,
    );
  }));

Deno.test("push() refuses to commit on what it has not looked at", () =>
  withPush(async (hub, access, uploads) => {
    await pushAll(uploads, access);
    const [card, ...rest] = uploads, content = new Blob(["mine"]);
    const mine = [{ ...card, content, bytes: 4, sha256: "0".repeat(64) }, ...rest];
    const target = await lookAtTarget("me/tiny", "main", access);
    hub.addRepo({ kind: "model", id: "me/tiny", files: { "theirs.txt": "x" } });
    await assert.rejects(push(await compareUploads(mine, target), target, access, { title: "t" }), (error) => {
      assert.ok(error instanceof ConflictError);
      assert.match(error.message, /model me\/tiny: it has changed since it was looked at.*412 A commit has happened/);
      return true;
    });
    hub.trouble.set("create", { fail: { status: 409, times: 1 } });
    const other = await lookAtTarget("me/other", "main", access);
    await rejects(push(await compareUploads(uploads, other), other, access, { title: "t" }), /409/);
  }));

Deno.test("push() finds a commit whose answer was lost", () =>
  withPush(async (hub, access, uploads) => {
    hub.trouble.set("commit", { lost: 1 });
    const { commit } = await pushAll(uploads, access);
    await assertThere(access, commit);
    assert.equal(hub.requests.filter(({ path }) => path.includes("/commit/")).length, 1);
  }));

Deno.test("push() says clearly what the hub refuses", () =>
  withPush(async (hub, access, uploads) => {
    const page = /settings\/tokens/.source;
    await rejects(pushAll(uploads, { ...access, token: null }), new RegExp(`without a token.*${page}.*HF_TOKEN`));
    await rejects(pushAll(uploads, { ...access, token: "secret" }), /does not begin with hf_/);
    await rejects(pushAll(uploads, { ...access, token: "hf_old" }), new RegExp(`not accepted \\(401.*${page}`));
    await rejects(pushAll(uploads, { ...access, token: FAKE_READER }), /may not do this \(403.*write/);
    hub.addRepo({ kind: "model", id: "me/tiny", files: { "old.txt": "x" } });
    hub.trouble.set("preupload", { fail: { status: 404, times: 1 } });
    await rejects(pushAll(uploads, access), /no such repository or branch.*404 trouble 404/);
    hub.trouble.set("put", { fail: { status: 400, times: 1 } });
    await rejects(pushAll(uploads, access), /the hub refuses it \(400 trouble 400\)/);
  }));

Deno.test("push() gives no token where the hub itself redirects to, and nothing to whom it names without encryption", () =>
  withPush(async (hub, access, uploads) => {
    hub.addRepo({ kind: "model", id: "me/tiny", files: { "old.txt": "x" } });
    const elsewhere = new URL(hub.storage.url), path = "/api/models/me/tiny/preupload/main";
    const headers = { location: `${elsewhere.origin}${path}` };
    hub.trouble.set("preupload", { fail: { status: 307, times: 1, headers } });
    await rejects(pushAll(uploads, access), /not accepted \(401/);
    const told = hub.requests.filter(({ host }) => host === elsewhere.host);
    assert.deepEqual(told.map(({ method, authorization }) => [method, authorization]), [["POST", null]]);
    hub.trouble.set("commit", { fail: { status: 302, times: 1, headers } });
    await rejects(pushAll(uploads, access), /it answers 302 to POST and names localhost/);
    const send = sender({ ...access, endpoint: "https://hub.invalid" }, { what: "model me/tiny", token: FAKE_TOKEN });
    await rejects(send(`${elsewhere.origin}/put/1`, { method: "PUT", body: "x" }), /without encryption \(http:\)/);
    assert.equal(hub.requests.filter(({ path }) => path === "/put/1").length, 0);
  }));

Deno.test("push() makes a branch that is not there, and a private repository where it is asked to", () =>
  withPush(async (hub, access, uploads) => {
    hub.addRepo({ kind: "model", id: "me/tiny", files: { "old.txt": "x" } });
    const { commit } = await pushAll(uploads, access, "trial");
    assert.equal((await resolveModel("me/tiny", "trial", access)).commit, commit);
    assert.ok(!(await resolveModel("me/tiny", "main", access)).files.has("README.md"));
    const target = await lookAtTarget("me/hidden", "main", access);
    await push(await compareUploads(uploads, target), target, access, { title: "t", private: true });
    assert.equal((await lookAtTarget("me/hidden", "main", access)).private, true);
    await rejects(
      resolveModel("me/hidden", "main", { ...access, token: null }),
      /no such repository, or it is private/,
    );
  }));

Deno.test("push() stops when it is told to", () =>
  withPush(async (hub, access, uploads) => {
    hub.trouble.set("batch", { fail: { status: 429, times: 9, headers: { "retry-after": "100" } } });
    const stop = new AbortController();
    const stopping = { ...access, signal: stop.signal, progress: () => stop.abort(new Error("stop")) };
    await assert.rejects(pushAll(uploads, stopping), /stop/);
  }));
