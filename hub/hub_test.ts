import assert from "node:assert/strict";
import { join } from "node:path";
import { type FileStat, hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { FAKE_TOKEN, type FakeHub, startFakeHub } from "./fake_hub_test_support.ts";
import {
  downloadDatasetFile,
  downloadFile,
  downloadPath,
  endpointOf,
  findToken,
  type HubAccess,
  listDataset,
  openRemote,
  resolveModel,
  UnreachableError,
} from "./mod.ts";

const weights = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const files = {
  "config.json": '{"model_type":"llama"}',
  "model.safetensors": weights,
  "tokenizer.json": "{}",
  "folder/with space.txt": "hello",
};

/** Runs `body` with a fake hub that has the model owner/name, and an empty cache. */
async function withHub(
  body: (hub: FakeHub, access: HubAccess, commit: string) => Promise<void>,
): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    const commit = hub.addRepo({ kind: "model", id: "owner/name", files });
    await body(hub, { cache, endpoint: hub.url, token: null, retryDelay: 1 }, commit);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("resolveModel() gives the commit and all files of all pages", () =>
  withHub(async (hub, access, commit) => {
    const repo = await resolveModel("owner/name", "main", access);
    assert.equal(repo.commit, commit);
    assert.deepEqual([...repo.files.keys()], Object.keys(files));
    assert.equal(repo.files.get("model.safetensors")?.size, weights.length);
    assert.match(repo.files.get("model.safetensors")?.sha256 ?? "", /^[0-9a-f]{64}$/);
    assert.equal(repo.files.get("config.json")?.sha256, undefined);
    const before = hub.requests.length;
    assert.deepEqual(await resolveModel("owner/name", commit, access), repo);
    assert.equal(hub.requests.length, before, "a known commit needs no request");
  }));

Deno.test("resolveModel() without network uses what the branch meant last, and warns", () =>
  withHub(async (_hub, access, commit) => {
    await resolveModel("owner/name", "main", access);
    const warnings: string[] = [];
    const offline = {
      ...access,
      endpoint: "http://127.0.0.1:1",
      warn: (message: string) => void warnings.push(message),
    };
    assert.equal((await resolveModel("owner/name", "main", offline)).commit, commit);
    assert.match(warnings.join(), new RegExp(`Cannot reach.*using commit ${commit}`));
    await assert.rejects(resolveModel("owner/name", "v2", offline), (error) => {
      assert.ok(error instanceof UnreachableError);
      assert.match(error.message, /Cannot reach http:\/\/127\.0\.0\.1:1 .*HF_ENDPOINT/);
      return true;
    });
  }));

Deno.test("requests say clearly what the hub refuses", () =>
  withHub(async (hub, access) => {
    hub.addRepo({ kind: "model", id: "owner/gated", files, gated: true });
    await rejects(resolveModel("owner/none", "main", access), /no such repository.*HF_TOKEN/);
    await rejects(resolveModel("owner/name", "v9", access), /revision v9.*no such revision/);
    const repo = await resolveModel("owner/gated", "main", access);
    const gated = /config\.json of model owner\/gated.*gated; accept its terms at http:\/\/[\d.:]+\/owner\/gated; give/;
    await rejects(downloadFile(repo, "config.json", access), gated);
    await rejects(downloadFile(repo, "config.json", { ...access, token: "hf_other" }), /the token that was sent/);
    await downloadFile(repo, "config.json", { ...access, token: FAKE_TOKEN });
    await rejects(downloadFile(repo, "none.json", access), /none\.json of model owner\/gated.*no such file/);
  }));

Deno.test("the token goes to the hub and nowhere else", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", { ...access, token: FAKE_TOKEN });
    await downloadFile(repo, "model.safetensors", { ...access, token: FAKE_TOKEN });
    const [elsewhere, here] = [hub.requests.filter(({ path }) => path.includes("/cdn/")), hub.requests];
    assert.ok(elsewhere.length > 0 && elsewhere.every(({ authorization }) => authorization === null));
    assert.equal(here.filter(({ authorization }) => authorization !== null).length, here.length - elsewhere.length);
  }));

Deno.test("findToken() looks in the usual places, in their order", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "xdg", "huggingface"), { recursive: true });
    await Deno.mkdir(join(folder, "home"));
    await Deno.writeTextFile(join(folder, "xdg", "huggingface", "token"), "hf_xdg\n");
    await Deno.writeTextFile(join(folder, "home", "token"), "hf_home\n");
    await Deno.writeTextFile(join(folder, "path"), " hf_path\n");
    const all = {
      HF_TOKEN: "hf_env",
      HF_TOKEN_PATH: join(folder, "path"),
      HF_HOME: join(folder, "home"),
      XDG_CACHE_HOME: join(folder, "xdg"),
    };
    assert.equal(await findToken(all), "hf_env");
    assert.equal(await findToken({ ...all, HF_TOKEN: "" }), "hf_path");
    assert.equal(await findToken({ ...all, HF_TOKEN: undefined, HF_TOKEN_PATH: undefined }), "hf_home");
    assert.equal(await findToken({ XDG_CACHE_HOME: all.XDG_CACHE_HOME }), "hf_xdg");
    assert.equal(await findToken({ HF_HOME: folder }), undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("endpointOf() is HF_ENDPOINT, unless the caller says otherwise", () => {
  const before = Deno.env.get("HF_ENDPOINT");
  try {
    Deno.env.set("HF_ENDPOINT", "https://mirror.example/");
    assert.equal(endpointOf({ cache: "" }), "https://mirror.example");
    assert.equal(endpointOf({ cache: "", endpoint: "http://other" }), "http://other");
    Deno.env.delete("HF_ENDPOINT");
    assert.equal(endpointOf({ cache: "" }), "https://huggingface.co");
  } finally {
    if (before !== undefined) Deno.env.set("HF_ENDPOINT", before);
  }
});

Deno.test("downloadFile() remembers the hash of what it wrote", () =>
  withHub(async (_hub, access) => {
    const hashes = inMemoryHashes(0);
    const repo = await resolveModel("owner/name", "main", access);
    const target = await downloadFile(repo, "model.safetensors", { ...access, hashes });
    const known: string[] = [];
    const asking = {
      always: 0,
      set: () => assert.fail("hashed again"),
      get: (file: FileStat) => known[known.push(hashes.get(file) ?? "") - 1],
    };
    assert.equal(await hashFile(target, asking), repo.files.get("model.safetensors")?.sha256);
    assert.equal(known.length, 1);
  }));

Deno.test("downloadFile() writes the file once, under its commit", () =>
  withHub(async (hub, access, commit) => {
    const repo = await resolveModel("owner/name", "main", access);
    const messages: string[] = [];
    for (const path of ["model.safetensors", "folder/with space.txt", "config.json"]) {
      const target = await downloadFile(repo, path, { ...access, progress: (message) => void messages.push(message) });
      assert.equal(target, downloadPath(repo, path, access));
      assert.ok(target.includes(join("downloads", "models", "owner", "name", commit)));
      const before = hub.requests.length;
      await downloadFile(repo, path, access);
      assert.equal(hub.requests.length, before, "an intact file is not asked for again");
      await assert.rejects(Deno.stat(`${target}.part`), Deno.errors.NotFound);
    }
    assert.deepEqual(await Deno.readFile(downloadPath(repo, "model.safetensors", access)), weights);
    assert.match(messages.join("\n"), /model\.safetensors: 100 % of [\d.]+ KiB/);
  }));

Deno.test("downloadFile() continues a broken download by range", async (t) => {
  for (const wholeOnly of [false, true]) {
    await t.step(
      wholeOnly ? "from a server without ranges" : "from a server with ranges",
      () =>
        withHub(async (hub, access) => {
          const repo = await resolveModel("owner/name", "main", access);
          if (wholeOnly) {
            const target = downloadPath(repo, "model.safetensors", access);
            await Deno.mkdir(join(target, ".."), { recursive: true });
            await Deno.writeFile(`${target}.part`, weights.subarray(0, 200_000));
            hub.trouble.set("model.safetensors", { wholeOnly });
          } else {
            hub.trouble.set("model.safetensors", { dropAfter: 70_000 });
          }
          const target = await downloadFile(repo, "model.safetensors", access);
          assert.deepEqual(await Deno.readFile(target), weights);
          const ranges = hub.requests.map(({ range }) => range).filter((range) => range !== null);
          assert.ok(
            ranges.length > 0 && ranges.every((range) => Number(/=(\d+)-$/.exec(range)?.[1]) > 0),
            ranges.join(),
          );
        }),
    );
  }
});

Deno.test("downloadFile() refetches what does not have the promised hash, on its way or on the disk", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    const warnings: string[] = [];
    const warning = { ...access, warn: (message: string) => void warnings.push(message) };
    hub.trouble.set("model.safetensors", { corrupt: 1 });
    const target = await downloadFile(repo, "model.safetensors", warning);
    assert.deepEqual(await Deno.readFile(target), weights);
    assert.match(warnings.join(), /not the right ones/);

    for (const path of ["model.safetensors", "config.json"]) {
      const target = await downloadFile(repo, path, access);
      const good = await Deno.readFile(target);
      for (const bad of [good.map((byte, i) => i === 5 ? byte ^ 1 : byte), good.subarray(1)]) {
        await Deno.writeFile(target, bad);
        await downloadFile(repo, path, access);
        assert.deepEqual(await Deno.readFile(target), good);
      }
    }
    hub.trouble.set("tokenizer.json", { corrupt: 99 });
    await rejects(downloadFile(repo, "tokenizer.json", access), /tokenizer\.json.*hash [0-9a-f]{40}/);
  }));

Deno.test("downloadFile() retries what fails for the moment and then gives up", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    hub.trouble.set("config.json", { fail: { status: 503, times: 2 } });
    await downloadFile(repo, "config.json", access);
    hub.trouble.set("tokenizer.json", { fail: { status: 500, times: 99 } });
    await rejects(downloadFile(repo, "tokenizer.json", access), /the hub answered 500/);
    hub.trouble.set("model.safetensors", { dropAfter: 0 });
    await rejects(downloadFile(repo, "model.safetensors", access), /Cannot reach/);
  }));

Deno.test("downloadFile() waits as long as the hub asks for", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access), began = performance.now();
    hub.trouble.set("config.json", { fail: { status: 429, times: 1, headers: { "retry-after": "1" } } });
    await downloadFile(repo, "config.json", access);
    assert.ok(performance.now() - began >= 1000);
    hub.trouble.set("tokenizer.json", { fail: { status: 429, times: 99 } });
    await rejects(downloadFile(repo, "tokenizer.json", access), /the hub answered 429/);
  }));

Deno.test("downloadFile() by several at once fetches the file once", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    const targets = await Promise.all(
      Array.from({ length: 4 }, () => downloadFile(repo, "model.safetensors", access)),
    );
    assert.equal(new Set(targets).size, 1);
    assert.deepEqual(await Deno.readFile(targets[0]), weights);
    assert.equal(hub.requests.filter(({ path }) => path.includes("/cdn/")).length, 1);
    await assert.rejects(Deno.stat(`${targets[0]}.part`), Deno.errors.NotFound);
  }));

Deno.test("downloadFile() stops when told to and keeps what came", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    hub.trouble.set("model.safetensors", { dropAfter: 70_000 });
    const controller = new AbortController();
    const stopping = { ...access, signal: controller.signal, progress: () => controller.abort(new Error("stop")) };
    await assert.rejects(downloadFile(repo, "model.safetensors", stopping), /stop/);
    assert.ok((await Deno.stat(`${downloadPath(repo, "model.safetensors", access)}.part`)).size > 0);
  }));

Deno.test("downloadFile() says when the disk cannot hold the file", () =>
  withHub(async (_hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    const huge = { path: "huge.bin", size: 2 ** 52, sha256: "0".repeat(64), oid: "0".repeat(40) };
    const error = await downloadFile({ ...repo, files: new Map([["huge.bin", huge]]) }, "huge.bin", access)
      .catch((error) => error);
    assert.match(error.message, /disk is full.*--cache/);
    assert.equal(error.code, "ENOSPC");
  }));

Deno.test("downloadDatasetFile() and listDataset() find datasets", () =>
  withHub(async (hub, access) => {
    hub.addRepo({ kind: "dataset", id: "owner/name", files: { "data/test.parquet": weights.subarray(0, 100) } });
    const path = await downloadDatasetFile("owner/name", "main", "data/test.parquet", access);
    assert.deepEqual(await Deno.readFile(path), weights.subarray(0, 100));
    assert.deepEqual([...(await listDataset("owner/name", "main", access)).files.keys()], ["data/test.parquet"]);
  }));

Deno.test("openRemote() reads ranges without downloading", () =>
  withHub(async (hub, access) => {
    const repo = await resolveModel("owner/name", "main", access);
    const source = openRemote(repo, "model.safetensors", access);
    assert.equal(source.size, weights.length);
    assert.deepEqual(await source.read(1000, 1010), weights.slice(1000, 1010));
    assert.deepEqual(await source.read(0, weights.length), weights);
    assert.equal((await source.read(7, 7)).length, 0);
    await rejects(source.read(10, weights.length + 1), /300000 bytes/);
    await assert.rejects(Deno.stat(downloadPath(repo, "model.safetensors", access)), Deno.errors.NotFound);
    hub.trouble.set("model.safetensors", { wholeOnly: true });
    await rejects(source.read(1000, 1010), /by range/);
  }));
