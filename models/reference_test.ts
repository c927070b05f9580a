/** Real models against what PyTorch and transformers computed from the same weights. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";
import { modelSpec } from "./config.ts";
import { type Forward, openForward, type Windows } from "./forward.ts";
import { generate } from "../inference/generate.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { openModel } from "./open_model.ts";
import { blockShapes, embeddingShapes, headShapes } from "./tensors.ts";

/** Largest difference of a logit over the largest logit. Measured: 1e-6 (tiny-llama, tiny-opt), 2e-6 (SmolLM2). */
const TOLERANCE = 1e-5;

const TINY = [
  { name: "tiny-llama", folder: "../configs/models/tiny-llama", perplexity: 24.898 },
  { name: "tiny-opt", folder: "../tests/fixtures/tiny-opt", perplexity: 47.184 },
];

for (const { name, folder, perplexity } of TINY) {
  Deno.test(`openForward() meets transformers' logits and perplexity on ${name}`, async () => {
    const checkpoint = await openModel({ path: here(folder) });
    const reference = (await readSafetensors(here(`testdata/logits-${name}.safetensors`))).tensors;
    const heldout = (await readSafetensors(here(`${folder}/windows.safetensors`))).tensors.heldout;
    const forward = await openForward(modelSpec(checkpoint.config));
    try {
      const head = await readTensors(checkpoint, headShapes(forward.spec));
      const hidden = await run(forward, checkpoint, { ids: integers(reference.input_ids), windows: 2, length: 256 });
      const logits = await forward.logits(head, hidden);
      const { vocab } = forward.spec;
      const rows = Array.from({ length: 512 }, (_, token) => logits.subarray(token * vocab, (token + 1) * vocab));
      assert.deepEqual(rows.map(likeliest), [...integers(reference.likeliest)]);
      const positions = [...integers(reference.positions)];
      near(positions.flatMap((position) => [...rows[position]]), floats(reference.logits));

      const ids = integers(heldout);
      const size = { windows: 200, length: 256 };
      const losses = await forward.loss(head, await run(forward, checkpoint, { ids, ...size }), ids, size);
      const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
      assert.equal(Math.exp(mean).toFixed(3), perplexity.toFixed(3));
    } finally {
      await forward.close();
      checkpoint.close();
    }
  });
}

Deno.test("openForward() and generate() meet transformers on SmolLM2-135M from GGUF", async () => {
  const model = here("../../shared/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!existsSync(model)) return console.log(`skipped: ${model} is not part of the repository`);
  const checkpoint = await openModel({ path: model });
  const reference = (await readSafetensors(here("../../shared/reference/logits-smollm2-135m.safetensors"))).tensors;
  const states = floats(reference.hidden_states);
  const ids = integers(reference.input_ids);
  const forward = await openForward(modelSpec(checkpoint.config));
  try {
    const block = ids.length * forward.spec.hidden;
    let after = 0;
    const check = (hidden: Float32Array) => {
      // The reference's last states are those after the final norm.
      if (after < forward.spec.blocks) near(hidden, states.subarray(after * block, (after + 1) * block));
      after++;
    };
    const hidden = await run(forward, checkpoint, { ids, windows: 1, length: ids.length, check });
    assert.equal(after, forward.spec.blocks + 1);
    const logits = await forward.logits(await readTensors(checkpoint, headShapes(forward.spec)), hidden);
    const expected = floats(reference.logits);
    near(logits, expected);
    const { vocab } = forward.spec;
    for (let at = 0; at < logits.length; at += vocab) {
      assert.equal(likeliest(logits.subarray(at, at + vocab)), likeliest(expected.subarray(at, at + vocab)));
    }
  } finally {
    await forward.close();
  }
  const text = await readFile(here("../../shared/reference/smollm2-135m.json"), "utf8");
  const { greedy }: { greedy: { ids: number[] } } = JSON.parse(text);
  const prompt = greedy.ids.slice(0, 5);
  assert.deepEqual([...prompt, ...await Array.fromAsync(generate(checkpoint, prompt))], greedy.ids);
  checkpoint.close();
});

/** Hidden states after the last block; `check` sees them before the first block and after each. */
async function run(
  forward: Forward,
  checkpoint: Checkpoint,
  { ids, windows, length, check }: Windows & { ids: Int32Array; check?: (hidden: Float32Array) => void },
): Promise<Float32Array> {
  const embedding = await readTensors(checkpoint, embeddingShapes(forward.spec));
  let hidden = await forward.embed(embedding, ids, { windows, length });
  for (let index = 0; index < forward.spec.blocks; index++) {
    check?.(hidden);
    const weights = await readTensors(checkpoint, blockShapes(forward.spec, index));
    const block = await forward.openBlock(index, weights, { gather: "none", output: true, move: true });
    hidden = (await block.run(hidden, { windows, length })).hidden ?? hidden;
    await block.finish();
  }
  check?.(hidden);
  return hidden;
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

function near(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  assert.equal(actual.length, expected.length);
  let [difference, largest] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  assert.ok(difference <= TOLERANCE * largest, `off by ${difference} of ${largest}`);
}

function likeliest(logits: Float32Array): number {
  return logits.reduce((best, logit, id) => logit > logits[best] ? id : best, 0);
}

function floats({ data }: Tensor): Float32Array {
  assert.ok(data instanceof Float32Array);
  return data;
}

function integers({ data }: Tensor): Int32Array {
  assert.ok(data instanceof Int32Array);
  return data;
}
