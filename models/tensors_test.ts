import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../checkpoints/open.ts";
import { modelSpec } from "./config.ts";
import {
  blockLinears,
  blockShapes,
  blockTensors,
  embeddingTensors,
  headTensors,
  readTensors,
  resolveTensor,
} from "./tensors.ts";

const FOLDERS = ["../configs/models/tiny-llama", "../tests/fixtures/tiny-opt"];

for (const folder of FOLDERS) {
  Deno.test(`blockShapes() and its kin name every tensor of ${folder} once, with its shape`, async () => {
    const checkpoint = await openCheckpoint({ path: fileURLToPath(new URL(folder, import.meta.url)) });
    const spec = modelSpec(checkpoint.config);
    const blocks = Array.from({ length: spec.blocks }, (_, block) => blockTensors(spec, block)).flat();
    const names = new Set([...embeddingTensors(spec), ...blocks, ...headTensors(spec)]);
    assert.deepEqual([...names].sort(), [...checkpoint.tensors.keys()].sort());
    for (const [name, shape] of blockShapes(spec, 1)) assert.deepEqual(checkpoint.tensors.get(name)?.shape, shape);
    for (const { name, rows, cols } of blockLinears(spec, 0)) {
      assert.deepEqual(checkpoint.tensors.get(`${name}.weight`)?.shape, [rows, cols]);
    }
    checkpoint.close();
  });
}

const SPEC = modelSpec({
  model_type: "opt",
  hidden_size: 8,
  ffn_dim: 16,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  vocab_size: 5,
  max_position_embeddings: 4,
});

Deno.test("resolveTensor() finds names with and without prefix", () => {
  const name = "model.decoder.layers.0.fc1.weight";
  for (const stored of [name, "decoder.layers.0.fc1.weight"]) {
    assert.equal(resolveTensor(checkpoint({ [stored]: [16, 8] }), name), stored);
  }
  assert.throws(
    () => resolveTensor(checkpoint({}), name),
    /"model.decoder.layers.0.fc1.weight" .* "test" does not hold/,
  );
});

Deno.test("readTensors() reads under canonical names, and refuses other shapes before it reads", async () => {
  const shapes = new Map([["model.decoder.final_layer_norm.bias", [8]]]);
  const source = checkpoint({ "decoder.final_layer_norm.bias": [8] });
  assert.deepEqual(await readTensors(source, shapes), { "model.decoder.final_layer_norm.bias": new Float32Array(8) });
  const other = readTensors(checkpoint({ "decoder.final_layer_norm.bias": [2, 4] }), shapes);
  await assert.rejects(other, /its shape must be \[8\]: current value is \[2,4\]/);
});

Deno.test("blockLinears() refuses blocks that are not there", () => {
  assert.throws(() => blockLinears(SPEC, 1), /block 1 as the model has blocks 0 to 0/);
});

function checkpoint(shapes: Readonly<Record<string, readonly number[]>>) {
  const tensors = Object.entries(shapes).map(([name, shape]) =>
    [name, { name, dtype: "F32", shape, bytes: 0 }] as const
  );
  return {
    label: "test",
    tensors: new Map(tensors),
    read: (name: string) => Promise.resolve(new Float32Array(shapes[name].reduce((a, b) => a * b, 1))),
  };
}
