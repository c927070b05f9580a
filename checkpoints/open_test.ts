import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FAKE_TOKEN, startFakeHub } from "../hub/fake_hub_test_support.ts";
import { resolveModel } from "../hub/mod.ts";
import { decodeLayer } from "../kernels/binary/ops.ts";
import { randomLayer } from "../kernels/binary/quantized_layer_test_support.ts";
import { encodeGguf, ggufTensor } from "./gguf_test_support.ts";
import { InputError } from "../files/input_error.ts";
import { llama } from "../models/families/mod.ts";
import { openCheckpoint } from "./open.ts";
import { openPacked } from "./packed/open.ts";
import { encodeLayer } from "./packed/planes.ts";
import { writePackedModel } from "./packed/write.ts";
import { type Tensor, toFloat32 } from "../files/safetensors.ts";
import { encodeSafetensors } from "../files/safetensors_test_support.ts";

const tinyLlama = fileURLToPath(new URL("../configs/models/tiny-llama", import.meta.url));
const config = JSON.stringify({ model_type: "llama" });
const tensor = (values: number[]): Tensor => ({ dtype: "F32", shape: [values.length], data: new Float32Array(values) });

type Files = Readonly<Record<string, string | Uint8Array>>;

async function withFolder<T>(files: Files, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(
        join(folder, name),
        typeof content === "string" ? new TextEncoder().encode(content) : content,
      );
    }
    return await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** A model in two shards. */
async function sharded(): Promise<Record<string, string | Uint8Array>> {
  return {
    "config.json": config,
    "tokenizer.json": "{}",
    "model-00001-of-00002.safetensors": await encodeSafetensors({ a: tensor([1, 2]), stray: tensor([9]) }),
    "model-00002-of-00002.safetensors": await encodeSafetensors({ b: tensor([3]) }),
    "model.safetensors.index.json": JSON.stringify({
      metadata: {},
      weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
    }),
  };
}

Deno.test("openCheckpoint() reads a folder with one safetensors file", async () => {
  const checkpoint = await openCheckpoint({ path: tinyLlama });
  assert.equal(checkpoint.format, "safetensors");
  assert.equal(checkpoint.label, "tiny-llama");
  assert.equal(checkpoint.local, true);
  assert.equal(checkpoint.bytes, 10_498_408);
  assert.equal(checkpoint.config.hidden_size, 256);
  assert.equal(checkpoint.tokenizer?.kind, "files");
  const name = "model.layers.2.mlp.down_proj.weight";
  assert.deepEqual(checkpoint.tensors.get(name), { name, dtype: "F16", shape: [256, 768], bytes: 256 * 768 * 2 });
  assert.equal((await checkpoint.read(name)).length, 256 * 768);
  await rejects(checkpoint.read("none"), /"none" of tiny-llama.*no such tensor/);
  checkpoint.close();
});

Deno.test("openCheckpoint() reads shards by their index and nothing beside it", async () =>
  withFolder(await sharded(), async (path) => {
    const checkpoint = await openCheckpoint({ path });
    assert.deepEqual([...checkpoint.tensors.keys()], ["a", "b"]);
    assert.deepEqual([...await checkpoint.read("a"), ...await checkpoint.read("b")], [1, 2, 3]);
    checkpoint.close();
  }));

Deno.test("openCheckpoint() takes config and tokenizer from another folder when told to", async () => {
  const { "config.json": _, "tokenizer.json": __, ...weights } = await sharded();
  await withFolder(weights, async (path) => {
    await rejects(openCheckpoint({ path }), /config\.json.*no such file/);
    const checkpoint = await openCheckpoint({ path, config: tinyLlama });
    assert.equal(checkpoint.config.hidden_size, 256);
    assert.equal(checkpoint.tokenizer?.kind, "files");
    checkpoint.close();
  });
});

Deno.test("openCheckpoint() says what is wrong with a folder", async (t) => {
  const whole = await sharded();
  const weights = await encodeSafetensors({ a: tensor([1]) });
  const without = (name: string) => Object.fromEntries(Object.entries(whole).filter(([key]) => key !== name));
  const index = (value: unknown) => ({ ...whole, "model.safetensors.index.json": JSON.stringify(value) });
  const cases: [string, Files, RegExp][] = [
    ["nothing in it", {}, /neither model\.safetensors nor pytorch_model\.bin, whole or in shards/],
    ["a GGUF file only", { "config.json": config, "m.gguf": "x" }, /found m\.gguf; name that file/],
    [
      "an adapter beside the weights",
      { "model.safetensors": weights, "config.json": config, "adapter_model.safetensors": weights },
      /an adapter lies in its folder \(adapter_model\.safetensors\); merge it/,
    ],
    ["an adapter alone", { "adapter_config.json": "{}", "adapter_model.bin": "x" }, /an adapter lies .*; merge it/],
    ["no config", { "model.safetensors": weights }, /config\.json.*no such file/],
    ["a config that is not JSON", { "model.safetensors": weights, "config.json": "{" }, /config\.json/],
    ["a config that is a list", { "model.safetensors": weights, "config.json": "[]" }, /not a JSON object/],
    [
      "weights quantized by someone else",
      { "model.safetensors": weights, "config.json": '{"quantization_config":{"quant_method":"gptq"}}' },
      /quantized already \(quant_method: "gptq"\)/,
    ],
    ["a missing shard", without("model-00002-of-00002.safetensors"), /"b" lies in "model-00002.*missing/],
    ["an index without a map", index({}), /weight_map/],
    [
      "an index that leads out of the folder",
      index({ weight_map: { a: "../a.safetensors" } }),
      /"a" lies in "\.\.\/a\.safetensors", which is outside/,
    ],
    [
      "an index with a tensor its shard lacks",
      index({ weight_map: { c: "model-00001-of-00002.safetensors" } }),
      /"c", which model-00001-of-00002\.safetensors does not hold/,
    ],
    [
      "a truncated shard",
      { ...whole, "model-00001-of-00002.safetensors": weights.subarray(0, weights.length - 1) },
      /model-00001-of-00002\.safetensors.*ends at byte \d+: the file has \d+ bytes and is truncated/,
    ],
  ];
  for (const [name, files, message] of cases) {
    await t.step(name, () => withFolder(files, (path) => rejects(openCheckpoint({ path }), message)));
  }
  await t.step("no folder", () => rejects(openCheckpoint({ path: join(tinyLlama, "none") }), /no such file or folder/));
  await t.step(
    "a file of no known kind",
    () => rejects(openCheckpoint({ path: join(tinyLlama, "config.json") }), /\.gguf/),
  );
});

Deno.test("read() refuses types that are not weights, NaN and infinity, naming tensor, index and file", async () => {
  const tensors: Record<string, Tensor> = {
    codes: { dtype: "I8", shape: [2], data: new Int8Array(2) },
    nan: tensor([0, 1, NaN]),
    infinite: { dtype: "F16", shape: [2], data: new Uint16Array([0x3c00, 0xfc00]) },
    brain: { dtype: "BF16", shape: [1], data: new Uint16Array([0x7f80]) },
    large: tensor([-3.4028234663852886e38, 3.4028234663852886e38]),
  };
  await withFolder({ "config.json": config, "model.safetensors": await encodeSafetensors(tensors) }, async (path) => {
    const checkpoint = await openCheckpoint({ path });
    await rejects(checkpoint.read("codes"), /"codes" of model\.safetensors.*current dtype is I8/);
    await rejects(checkpoint.read("nan"), /"nan" of model\.safetensors.*value 2 is NaN/);
    await rejects(checkpoint.read("infinite"), /"infinite" of model\.safetensors.*value 1 is -Infinity/);
    await rejects(checkpoint.read("brain"), /value 0 is Infinity/);
    assert.deepEqual(await checkpoint.read("large"), toFloat32(tensors.large));
    checkpoint.close();
  });
});

Deno.test("read() notices a file that is cut after it was opened", async () => {
  await withFolder(
    { "config.json": config, "model.safetensors": await encodeSafetensors({ a: tensor([1, 2, 3]) }) },
    async (path) => {
      const checkpoint = await openCheckpoint({ path });
      await Deno.truncate(join(path, "model.safetensors"), 70);
      await rejects(checkpoint.read("a"), /model\.safetensors: the file ends at byte 70/);
      checkpoint.close();
    },
  );
});

Deno.test("identity() hashes each file once, however many tensors it holds", async () =>
  withFolder(await sharded(), async (path) => {
    const asked: string[] = [];
    const hashes = { always: 0, get: ({ path }: { path: string }) => void asked.push(path), set: () => undefined };
    const checkpoint = await openCheckpoint({ path }, { hashes });
    for (let i = 0; i < 3; i++) await checkpoint.identity(["a", "b"]);
    assert.equal(asked.length, 2);
    checkpoint.close();
  }));

Deno.test("identity() follows content and names, not paths, order or other shards", async () => {
  const identity = async (files: Files, names: string[]) =>
    await withFolder(files, async (path) => {
      const checkpoint = await openCheckpoint({ path });
      try {
        return await checkpoint.identity(names);
      } finally {
        checkpoint.close();
      }
    });
  const files = await sharded();
  const other = { ...files, "model-00002-of-00002.safetensors": await encodeSafetensors({ b: tensor([4]) }) };
  const ab = await identity(files, ["a", "b"]);
  assert.match(ab, /^[0-9a-f]{64}$/);
  assert.equal(await identity(files, ["b", "a", "a"]), ab);
  assert.notEqual(await identity(files, ["a"]), ab);
  assert.notEqual(await identity(other, ["a", "b"]), ab);
  assert.equal(await identity(other, ["a"]), await identity(files, ["a"]));
  await rejects(identity(files, ["none"]), /"none"/);
});

Deno.test("openCheckpoint() recognises a packed model by its config, and opens it only where it may", () =>
  withFolder({}, async (path) => {
    const shape = { rows: 4, cols: 16, groupSize: 8, keep: 4, of: 8, segments: 2, salient: false };
    const layer = randomLayer({ ...shape, type: "semi-structured" }, 1);
    await writePackedModel(path, {
      layers: [["q_proj", encodeLayer(layer, { mask: "bitmask", scales: "f32" })]],
      others: [["norm.weight", tensor([1, 2])]],
      config: { model_type: "llama" },
      tokenizer: undefined,
      source: {},
    });
    await assert.rejects(
      openCheckpoint({ path }),
      /quantized already \(quant_method: "pbs2p"\); give the original model/,
    );
    const checkpoint = await openCheckpoint({ path }, { packed: openPacked });
    assert.equal(checkpoint.format, "packed");
    assert.deepEqual(await checkpoint.read("q_proj.weight"), decodeLayer(layer));
    checkpoint.close();
  }));

Deno.test("openCheckpoint() of a hub model: planned from headers, then downloaded, with one identity", async () => {
  const files = await sharded();
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    hub.addRepo({ kind: "model", id: "o/m", files: { ...files, "onnx/model.onnx": "x" }, gated: true });
    const source = { hub: "o/m", revision: "main" };
    const options = { cache, endpoint: hub.url, token: FAKE_TOKEN, retryDelay: 1 };
    const plan = await openCheckpoint(source, { ...options, purpose: "plan" });
    assert.equal(plan.local, false);
    assert.match(plan.label, /^o\/m@[0-9a-f]{8}$/);
    assert.deepEqual([...plan.tensors.keys()], ["a", "b"]);
    await rejects(plan.read("a"), /planning only/);
    const weights = hub.requests.filter(({ path }) => path.endsWith(".safetensors"));
    assert.ok(weights.length > 0 && weights.every(({ range }) => range !== null), "weights are read by range only");

    const run = await openCheckpoint(source, options);
    assert.equal(run.local, true);
    assert.deepEqual([...await run.read("a")], [1, 2]);
    assert.deepEqual([run.tensors, run.config, run.tokenizer, run.bytes], [
      plan.tensors,
      plan.config,
      plan.tokenizer,
      plan.bytes,
    ]);
    await withFolder(files, async (path) => {
      const local = await openCheckpoint({ path });
      assert.equal(await plan.identity(["a", "b"]), await local.identity(["a", "b"]));
      assert.equal(await run.identity(["a", "b"]), await local.identity(["a", "b"]));
      local.close();
    });
    run.close();
    plan.close();

    const { commit } = await resolveModel(source.hub, source.revision, options);
    const before = hub.requests.length;
    (await openCheckpoint({ hub: "o/m", revision: commit }, { ...options, endpoint: "http://127.0.0.1:1" })).close();
    assert.equal(hub.requests.length, before, "a downloaded commit needs no network");
    await rejects(openCheckpoint({ ...source, revision: "none" }, options), /no such revision/);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("openCheckpoint() of one GGUF file of a hub model", async () => {
  const gguf = encodeGguf({
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 8,
    "llama.embedding_length": 4,
    "llama.feed_forward_length": 4,
    "llama.attention.head_count": 1,
    "llama.attention.layer_norm_rms_epsilon": 0.5,
  }, { "token_embd.weight": ggufTensor({ dtype: "F32", shape: [1, 4], data: new Float32Array([1, 2, 3, 4]) }) });
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    hub.addRepo({ kind: "model", id: "o/m", files: { "m.gguf": gguf, "n.gguf": gguf } });
    const options = { cache, endpoint: hub.url, token: null, retryDelay: 1, gguf: llama.gguf ? [llama.gguf] : [] };
    const source = { hub: "o/m", revision: "main", file: "m.gguf" };
    const plan = await openCheckpoint(source, { ...options, purpose: "plan" });
    const run = await openCheckpoint(source, options);
    assert.equal(plan.config.hidden_size, 4);
    assert.deepEqual([...await run.read("model.embed_tokens.weight")], [1, 2, 3, 4]);
    const names = ["model.embed_tokens.weight"];
    assert.equal(await plan.identity(names), await run.identity(names));
    run.close();
    plan.close();
    assert.ok(!hub.requests.some(({ path }) => path.endsWith("n.gguf")));
    const { gguf: _, ...unaware } = options;
    await assert.rejects(openCheckpoint(source, unaware), { name: "RangeError", message: /give `gguf`/ });
    await rejects(openCheckpoint({ ...source, file: "x.gguf" }, options), /x\.gguf.*no such file/);
    await rejects(openCheckpoint({ ...source, file: "x.bin" }, options), /must be a \.gguf/);
    await rejects(openCheckpoint({ hub: "o/m", revision: "main" }, options), /found m\.gguf; name that file/);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("openCheckpoint() of a hub model without a folder for downloads is a mistake of the caller", () =>
  assert.rejects(openCheckpoint({ hub: "o/m", revision: "main" }), RangeError));
