import assert from "node:assert/strict";
import { readTensors, resolveTensor } from "./read_tensors.ts";

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
