import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../checkpoints/open.ts";
import { modelSpec } from "./config.ts";
import { blockLinears, blockShapes, blockTensors, embeddingTensors, headTensors } from "./tensors.ts";

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

Deno.test("blockLinears() refuses blocks that are not there", () => {
  assert.throws(() => blockLinears(SPEC, 1), /block 1 as the model has blocks 0 to 0/);
});
