/** Models as facebook/opt-* repositories hold them: sharded state dicts, vocab.json and merges.txt. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { openCheckpoint } from "./open.ts";
import { readSafetensors, toFloat32 } from "../files/safetensors.ts";
import { encodeSafetensors } from "../files/safetensors_test_support.ts";

const testdata = fileURLToPath(new URL("testdata", import.meta.url));
const tinyOpt = join(testdata, "tiny_opt");
const shard = "pytorch_model-00001-of-00002.bin";

type Files = Record<string, Uint8Array>;
const files = (): Files =>
  Object.fromEntries(readdirSync(tinyOpt).map((name) => [name, Uint8Array.from(readFileSync(join(tinyOpt, name)))]));

async function withFolder<T>(content: Files, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of Object.entries(content)) await Deno.writeFile(join(folder, name), bytes);
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

/** Every tensor has the bits that PyTorch loads. */
async function assertWeights(checkpoint: Checkpoint): Promise<void> {
  const { tensors } = await readSafetensors(join(testdata, "tiny_opt.safetensors"));
  assert.deepEqual([...checkpoint.tensors.keys()].sort(), Object.keys(tensors).sort());
  for (const [name, tensor] of Object.entries(tensors)) {
    const { dtype, shape, bytes } = checkpoint.tensors.get(name)!;
    assert.deepEqual([dtype, shape, bytes], [tensor.dtype, tensor.shape, tensor.data.byteLength], name);
    const values = await checkpoint.read(name);
    assert.deepEqual(new Uint32Array(values.buffer), new Uint32Array(toFloat32(tensor).buffer), name);
  }
}

Deno.test("openCheckpoint() reads a folder with PyTorch shards, its config and its tokenizer", async () => {
  const checkpoint = await openCheckpoint({ path: tinyOpt });
  assert.deepEqual([checkpoint.format, checkpoint.local, checkpoint.config.model_type], ["pytorch", true, "opt"]);
  assert.equal(checkpoint.bytes, files()[shard].length + files()[shard.replace("1-of", "2-of")].length);
  assert.equal(checkpoint.tokenizer?.kind, "vocab");
  await assertWeights(checkpoint);
  await rejects(checkpoint.read("none"), /"none" of tiny_opt.*no such tensor/);
  checkpoint.close();
});

Deno.test("openCheckpoint() prefers safetensors to PyTorch files", async () => {
  const tensors = { w: { dtype: "F32", shape: [1], data: new Float32Array([7]) } } as const;
  await withFolder({ ...files(), "model.safetensors": await encodeSafetensors(tensors) }, async (path) => {
    const checkpoint = await openCheckpoint({ path });
    assert.deepEqual([checkpoint.format, [...checkpoint.tensors.keys()]], ["safetensors", ["w"]]);
    checkpoint.close();
  });
});

Deno.test("openCheckpoint() of one PyTorch file: shared storages, and types that are not weights", async () => {
  const views = Uint8Array.from(readFileSync(join(testdata, "views.bin")));
  await withFolder({ "pytorch_model.bin": views, "config.json": files()["config.json"] }, async (path) => {
    const checkpoint = await openCheckpoint({ path });
    assert.deepEqual(await checkpoint.read("tied"), await checkpoint.read("base"));
    assert.deepEqual(checkpoint.tensors.get("transposed")?.shape, [8, 6]);
    await rejects(checkpoint.read("short"), /"short" of pytorch_model\.bin.*F64: current dtype is I16/);
    checkpoint.close();
  });
});

Deno.test("read() refuses NaN in PyTorch files, and a file that is cut after it was opened", async () => {
  const content = files();
  const bytes = content[shard];
  const begin = await placeOf("decoder.layers.0.fc1.weight", bytes);
  bytes.set([0x00, 0x7e], begin + 2 * 5);
  await withFolder(content, async (path) => {
    const checkpoint = await openCheckpoint({ path });
    await rejects(checkpoint.read("decoder.layers.0.fc1.weight"), /fc1\.weight" of pytorch_model-0.*value 5 is NaN/);
    await Deno.truncate(join(path, shard), 3000);
    await rejects(checkpoint.read("decoder.embed_tokens.weight"), /Cannot read .*pytorch_model-00001-of-00002\.bin/);
    checkpoint.close();
  });
});

Deno.test("identity() of PyTorch files follows content and names", async () => {
  const identity = (content: Files, name: string) =>
    withFolder(content, async (path) => {
      const checkpoint = await openCheckpoint({ path });
      try {
        return await checkpoint.identity([name]);
      } finally {
        checkpoint.close();
      }
    });
  const [first, last] = ["decoder.embed_tokens.weight", "decoder.layers.1.fc2.bias"];
  const changed = files();
  const begin = await placeOf(first, changed[shard]);
  changed[shard][begin] ^= 1;
  assert.equal(await identity(files(), first), await identity(files(), first));
  assert.notEqual(await identity(changed, first), await identity(files(), first));
  assert.equal(await identity(changed, last), await identity(files(), last));
  await rejects(identity({ ...files(), [shard]: new Uint8Array(9) }, first), /its first 9 of 9 bytes are all zero/);
});

Deno.test("openCheckpoint() of an OPT on the hub: planned from headers, then downloaded, with one identity", async () => {
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    hub.addRepo({ kind: "model", id: "facebook/opt-tiny", files: { ...files(), "flax_model.msgpack": "x" } });
    const source = { hub: "facebook/opt-tiny", revision: "main" };
    const options = { cache, endpoint: hub.url, token: null, retryDelay: 1 };
    const plan = await openCheckpoint(source, { ...options, purpose: "plan" });
    const name = "decoder.layers.0.fc1.weight";
    assert.deepEqual([plan.local, plan.tensors.get(name)?.shape, plan.tokenizer?.kind], [false, [32, 16], "vocab"]);
    await rejects(plan.read(name), /planning only/);
    const weights = hub.requests.filter(({ path }) => path.endsWith(".bin"));
    assert.ok(weights.length > 0 && weights.every(({ range }) => range !== null), "weights are read by range only");
    assert.ok(!hub.requests.some(({ path }) => path.endsWith(".msgpack")));

    const run = await openCheckpoint(source, options);
    await assertWeights(run);
    assert.deepEqual([run.tensors, run.config, run.tokenizer, run.bytes], [
      plan.tensors,
      plan.config,
      plan.tokenizer,
      plan.bytes,
    ]);
    const local = await openCheckpoint({ path: tinyOpt });
    const names = [...local.tensors.keys()];
    assert.equal(await plan.identity(names), await local.identity(names));
    assert.equal(await run.identity(names), await local.identity(names));
    for (const checkpoint of [plan, run, local]) checkpoint.close();
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

/** Where a tensor's bytes begin in a file. */
async function placeOf(name: string, file: Uint8Array): Promise<number> {
  const { data } = (await readSafetensors(join(testdata, "tiny_opt.safetensors"))).tensors[name];
  const place = Buffer.from(file.buffer).indexOf(new Uint8Array(data.buffer));
  assert.ok(place > 0);
  return place;
}
