import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { llama } from "../models/families/mod.ts";
import { encodeGguf, ggufTensor } from "./gguf_test_support.ts";
import { openCheckpoint } from "./open.ts";
import { sameBytes } from "./same_bytes.ts";
import { memorySource } from "./zip_test_support.ts";

/** More than is compared at once. */
const SIZE = 5_000_000;

for (
  const [name, changed, sampled, expected] of [
    ["equal", undefined, false, true],
    ["the first byte", 0, false, false],
    ["the last byte", SIZE - 1, false, false],
    ["the first byte, of samples", 0, true, false],
    ["the last byte, of samples", SIZE - 1, true, false],
    ["a byte that no sample has", 1_000_000, true, true],
  ] as const
) {
  Deno.test(`sameBytes() compares to the first difference: ${name}`, async () => {
    const bytes = new Uint8Array(2 * SIZE);
    if (changed !== undefined) bytes[SIZE + changed] = 1;
    const source = memorySource(bytes);
    const [a, b] = [0, SIZE].map((begin) => ({ source, begin, end: begin + SIZE }));
    assert.equal(await sameBytes(a, b, { sampled }), expected);
    const read = source.ranges.reduce((sum, [begin, end]) => sum + end - begin, 0);
    if (sampled) assert.ok(read <= 8 * 4096, `${read} bytes`);
    source.ranges.length = 0;
    assert.ok(await sameBytes(a, a));
    assert.ok(!await sameBytes(a, { ...b, end: b.end - 1 }));
    assert.deepEqual(source.ranges, [], "nothing is read of what is one, or of another length");
  });
}

Deno.test("Checkpoint.same() compares type, shape and bytes in files of every kind", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tensor = (shape: number[], values: number[]): Tensor => ({
      dtype: "F32",
      shape,
      data: Float32Array.from(values),
    });
    const [embedding, other] = [tensor([2, 2], [1, 2, 3, 4]), tensor([2, 2], [1, 2, 3, 5])];
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    await writeSafetensors(join(folder, "model.safetensors"), {
      ...{ a: embedding, b: embedding, c: other, d: tensor([4, 1], [1, 2, 3, 4]) },
      e: { dtype: "I32", shape: [2, 2], data: new Int32Array(Float32Array.of(1, 2, 3, 4).buffer) },
    });
    const model = await openCheckpoint({ path: folder });
    assert.deepEqual(
      await Promise.all(["a", "b", "c", "d", "e"].map((name) => model.same("a", name))),
      [true, true, false, false, false],
    );
    await assert.rejects(model.same("a", "f"), { name: "InputError", message: /"f"/ });
    model.close();

    const path = join(folder, "m.gguf");
    const [token_embd, output] = [ggufTensor(embedding), ggufTensor(other)];
    const tensors = { "token_embd.weight": token_embd, "output.weight": output, "blk.0.ffn_up.weight": token_embd };
    await Deno.writeFile(path, encodeGguf({ "general.architecture": "llama" }, tensors));
    const gguf = await openCheckpoint({ path, config: folder }, { gguf: llama.gguf ? [llama.gguf] : [] });
    assert.ok(!await gguf.same("model.embed_tokens.weight", "lm_head.weight"));
    assert.ok(await gguf.same("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"));
    gguf.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Checkpoint.same() compares PyTorch's views in the order of their shapes", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const views = fileURLToPath(new URL("testdata/views.bin", import.meta.url));
    await Deno.copyFile(views, join(folder, "pytorch_model.bin"));
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    const model = await openCheckpoint({ path: folder });
    const floats = [...model.tensors.values()].filter(({ dtype }) => dtype === "F32").map(({ name }) => name);
    assert.ok(floats.length >= 4);
    let equal = 0;
    for (const a of floats) {
      for (const b of floats) {
        const shapes = [a, b].map((name) => JSON.stringify(model.tensors.get(name)?.shape));
        const [x, y] = [await model.read(a), await model.read(b)];
        const expected = shapes[0] === shapes[1] && x.every((value, i) => Object.is(value, y[i]));
        assert.equal(await model.same(a, b), expected, `${a} and ${b}`);
        equal += Number(expected);
      }
    }
    assert.ok(equal >= floats.length);
    model.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
