import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { InputError } from "../files/input_error.ts";
import type { Tensor } from "../files/safetensors.ts";
import { encodeSafetensors } from "../files/safetensors_test_support.ts";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import { openModel } from "../models/open_model.ts";
import { inPlace } from "./model_files.ts";
import { openCheckpoint, type OpenCheckpointOptions } from "./open.ts";

type Files = Readonly<Record<string, string | Uint8Array>>;

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"5d".repeat(32)}\nsize 462000\n`;
const PAGE = "<!DOCTYPE html><html><head><title>429 Too Many Requests</title></head></html>";
const ANSWER = '{"error":"Invalid credentials in Authorization header"}';

const tensor = (...values: number[]): Tensor => ({
  dtype: "F32",
  shape: [values.length],
  data: Float32Array.from(values),
});
const [A, B] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const INDEX = "model.safetensors.index.json";

/** A whole model, its shards in a folder. */
async function model(where = ""): Promise<Record<string, string | Uint8Array>> {
  return {
    "config.json": '{"model_type": "llama"}',
    [where + A]: await encodeSafetensors({ a: tensor(1, 2) }),
    [where + B]: await encodeSafetensors({ b: tensor(3) }),
    [INDEX]: JSON.stringify({ weight_map: { a: where + A, b: where + B } }),
  };
}

async function withFolder<T>(files: Files, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, name);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeFile(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
    }
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const isInput = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof InputError, String(error));
  assert.match(error.message, message);
  return true;
};

async function read(path: string, name: string, options: OpenCheckpointOptions = {}): Promise<number[]> {
  const checkpoint = await openCheckpoint({ path }, options);
  try {
    return [...await checkpoint.read(name)];
  } finally {
    checkpoint.close();
  }
}

Deno.test("openCheckpoint() says of every file of a model what it is instead, and the remedy", async (t) => {
  const whole = await model();
  const weights = await encodeSafetensors({ a: tensor(1) });
  const single = { "config.json": '{"model_type": "llama"}', "model.safetensors": weights };
  const places: [string, Files][] = [
    [A, whole],
    [INDEX, whole],
    ["config.json", single],
    ["model.safetensors", single],
    ["tokenizer.json", single],
    ["tokenizer_config.json", single],
    ["pytorch_model.bin", { "config.json": "{}" }],
    ["vocab.json", { ...single, "merges.txt": "" }],
    ["merges.txt", { ...single, "vocab.json": "{}" }],
    ["special_tokens_map.json", { ...single, "vocab.json": "{}", "merges.txt": "#version\n" }],
    ["m.gguf", {}],
  ];
  const contents: [string | Uint8Array, RegExp][] = [
    [POINTER, /it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`/],
    [PAGE, /it is an HTML page \("429 Too Many Requests"\).*download it again/],
    [ANSWER, /it is the answer of a server \("Invalid credentials.*download it again/],
    ["", /it is empty; download it again/],
    [new Uint8Array(4096), /bytes are all zero.*download it again/],
  ];
  for (const [name, files] of places) {
    await t.step(name, async () => {
      for (const [content, message] of contents) {
        await withFolder({ ...files, [name]: content }, async (folder) => {
          const path = name.endsWith(".gguf") ? join(folder, name) : folder;
          await assert.rejects(openModel({ path }), isInput(message));
          await assert.rejects(openModel({ path }), isInput(new RegExp(name.replaceAll(".", "\\."))));
        });
      }
      await withFolder(files, async (folder) => {
        const path = join(folder, name);
        await Deno.remove(path).catch(() => {});
        await Deno.symlink("../../blobs/abab", path);
        const opened = name.endsWith(".gguf") ? path : folder;
        await assert.rejects(
          openModel({ path: opened }),
          isInput(/it is a link to \.\.\/\.\.\/blobs\/abab, which is not there/),
        );
        await Deno.remove(path);
        await Deno.mkdir(path);
        if (opened === folder) await assert.rejects(openModel({ path: opened }), isInput(/it is a folder, not a file/));
      });
    });
  }
});

Deno.test("openCheckpoint() reads a config as Python does: byte order mark, Infinity, NaN, the last of equal keys", async () => {
  const files = {
    "model.safetensors": await encodeSafetensors({ a: tensor(1) }),
    "config.json":
      '\ufeff{"model_type": "x", "limit": [0.0, Infinity], "low": -Infinity, "jitter": NaN, "model_type": "llama"}',
    "tokenizer.json": "{}",
    "tokenizer_config.json": '{"model_max_length": Infinity, "add_bos_token": true}',
  };
  await withFolder(files, async (path) => {
    const { config, tokenizer, close } = await openCheckpoint({ path });
    close();
    assert.deepEqual(config, { model_type: "llama", limit: [0, Infinity], low: -Infinity, jitter: NaN });
    assert.deepEqual(tokenizer?.kind === "files" && tokenizer.config, {
      model_max_length: Infinity,
      add_bos_token: true,
      tokenizer_class: "LlamaTokenizer",
    });
  });
});

Deno.test("openCheckpoint() reads shards in a sub-folder, however the index spells it", async () => {
  await withFolder(await model("shards/"), async (path) => assert.deepEqual(await read(path, "b"), [3]));
  const files = { ...await model("shards/"), [INDEX]: JSON.stringify({ weight_map: { a: `./shards//${A}` } }) };
  await withFolder(files, async (path) => assert.deepEqual(await read(path, "a"), [1, 2]));
});

Deno.test("openCheckpoint() reads shards that are links out of the folder, as caches of Hugging Face have them", async () => {
  const { [A]: shard, ...rest } = await model();
  await withFolder({ "blobs/abab": shard }, (cache) =>
    withFolder(rest, async (path) => {
      await Deno.symlink(join(cache, "blobs/abab"), join(path, A));
      assert.deepEqual(await read(path, "a"), [1, 2]);
    }));
});

Deno.test("openCheckpoint() reads shards in a sub-folder of a hub's model, planned and downloaded", async () => {
  await using hub = startFakeHub();
  hub.addRepo({ kind: "model", id: "tiny/sharded", files: await model("shards/") });
  const cache = await Deno.makeTempDir();
  try {
    for (const purpose of ["plan", "run"] as const) {
      const options = { cache, endpoint: hub.url, token: null, purpose };
      const checkpoint = await openCheckpoint({ hub: "tiny/sharded", revision: "main" }, options);
      assert.deepEqual([...checkpoint.tensors.keys()].sort(), ["a", "b"]);
      if (purpose === "run") assert.deepEqual([...await checkpoint.read("b")], [3]);
      checkpoint.close();
    }
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("openCheckpoint() reads no shard outside of the model's folder", async () => {
  const outside = [
    "../x.safetensors",
    "/etc/passwd",
    "shards/../../x.safetensors",
    "..\\x.safetensors",
    "C:\\x.safetensors",
  ];
  for (const file of outside) {
    assert.equal(inPlace(file), undefined, file);
    const files = { ...await model(), [INDEX]: JSON.stringify({ weight_map: { a: file } }) };
    await withFolder(
      files,
      (path) => assert.rejects(openCheckpoint({ path }), isInput(/outside of the model's folder/)),
    );
  }
});

Deno.test("openCheckpoint() takes the single file beside shards, and says so", async () => {
  const files = { ...await model(), "model.safetensors": await encodeSafetensors({ a: tensor(7) }) };
  await withFolder(files, async (path) => {
    const told: string[] = [];
    assert.deepEqual(await read(path, "a", { warn: (message) => void told.push(message) }), [7]);
    assert.equal(told.length, 1);
    assert.match(told[0], /has model\.safetensors and model\.safetensors\.index\.json: the single file is read/);
  });
});
