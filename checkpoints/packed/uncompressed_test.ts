import assert from "node:assert/strict";
import { join } from "node:path";
import { fromFloat16 } from "../../files/float16.ts";
import { type Tensor, toFloat32, writeSafetensors } from "../../files/safetensors.ts";
import { llama } from "../../models/families/mod.ts";
import { encodeGguf, ggufTensor } from "../gguf_test_support.ts";
import { openCheckpoint } from "../open.ts";
import { uncompressedTensors } from "./write.ts";

Deno.test("uncompressedTensors() keeps every value of every type that a file of weights has", async () => {
  const values = [1, -65_504, 2 ** -24];
  const folder = await Deno.makeTempDir();
  try {
    const bf16 = new Uint16Array([0x3f80, 0xff7f, 0x0001]);
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    await writeSafetensors(join(folder, "model.safetensors"), {
      f64: { dtype: "F64", shape: [3], data: Float64Array.of(1e9, 0.1, -3e38) },
      f32: { dtype: "F32", shape: [3], data: Float32Array.of(1e9, 0.1, 3e38) },
      f16: { dtype: "F16", shape: [3], data: new Uint16Array(new Float16Array(values).buffer) },
      bf16: { dtype: "BF16", shape: [3], data: bf16 },
    });
    const checkpoint = await openCheckpoint({ path: folder });
    const warnings: string[] = [];
    for await (const [name, tensor] of uncompressedTensors(checkpoint, new Set(), (text) => void warnings.push(text))) {
      assert.equal(tensor.dtype, name === "f64" ? "F32" : name.toUpperCase());
      assert.deepEqual(toFloat32(tensor), await checkpoint.read(name), name);
    }
    assert.deepEqual(warnings, ["Stored as F32 what is not compressed: f64 (F64)"]);
    checkpoint.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("uncompressedTensors() rounds quantized tensors to F16, or to F32 what F16 has no number for", async () => {
  const folder = await Deno.makeTempDir();
  try {
    /** One block of Q8_0: a scale and 32 codes, of which the first is 127. */
    const block = (scale: number) => {
      const data = new Uint8Array(34);
      data.set(new Uint8Array(new Float16Array([scale]).buffer));
      data[2] = 127;
      return { shape: [1, 32], type: 8, data };
    };
    const path = join(folder, "m.gguf");
    const norm: Tensor = { dtype: "F32", shape: [2], data: Float32Array.of(1e9, 1) };
    const tensors = {
      "token_embd.weight": block(1),
      "output.weight": block(1000),
      "output_norm.weight": ggufTensor(norm),
    };
    await Deno.writeFile(path, encodeGguf({ "general.architecture": "llama" }, tensors));
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    const checkpoint = await openCheckpoint({ path, config: folder }, { gguf: llama.gguf ? [llama.gguf] : [] });
    const warnings: string[] = [];
    const found: Record<string, Tensor> = {};
    for await (const [name, tensor] of uncompressedTensors(checkpoint, new Set(), (text) => void warnings.push(text))) {
      found[name] = tensor;
      assert.ok(toFloat32(tensor).every(Number.isFinite), name);
    }
    const { "model.embed_tokens.weight": small, "lm_head.weight": large } = found;
    assert.deepEqual([small.dtype, large.dtype, found["model.norm.weight"].dtype], ["F16", "F32", "F32"]);
    assert.ok(small.data instanceof Uint16Array && fromFloat16(small.data)[0] === 127);
    assert.equal(large.data[0], 127_000);
    assert.deepEqual(warnings, [
      "Stored as F16 what is not compressed: model.embed_tokens.weight (Q8_0)",
      "Stored as F32 what is not compressed: lm_head.weight (Q8_0)",
    ]);
    checkpoint.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
