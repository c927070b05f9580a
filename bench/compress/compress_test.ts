import assert from "node:assert/strict";
import { join } from "node:path";
import { openCheckpoint } from "../../checkpoints/open.ts";
import { readSafetensors } from "../../files/safetensors.ts";
import { modelSpec } from "../../models/config.ts";
import { blockLinears } from "../../models/tensors.ts";
import { median, openGemmRate } from "./gemm_rate.ts";
import { officialSeconds, RIVALS, scaleTo } from "./official.ts";
import { writeRandomLlama } from "./random_llama.ts";
import { OTHER, sumParts, type TimedStep } from "./timed_steps.ts";

function step(id: string, seconds: number, credited: Record<string, number> = {}): TimedStep {
  const [, stage, block] = /^([a-z-]+)(?:\[(\d+)\])?$/.exec(id) ?? [];
  return { id, stage, seconds, credited, memory: 1, ...(block === undefined ? {} : { block: Number(block) }) };
}

Deno.test("sumParts() splits seconds into the two parts and by stage", () => {
  const credited = { "fine-search": 1, spbo: 4, compensate: 2 };
  const parts = sumParts([
    step("coarse-search", 0.5),
    step("calibrate[0]", 3),
    step("spbo[0]", 8, credited),
    step("pack[0]", 1),
    step("calibrate[1]", 5),
    step("spbo[1]", 9, credited),
    step("pack[1]", 1),
    step("pack", 2),
    step("evaluate[0]", 100),
  ], 2);
  assert.deepEqual(parts, {
    quantizing: { seconds: 21, stages: { "fine-search": 2, spbo: 8, compensate: 4, pack: 4, [OTHER]: 3 } },
    forward: { seconds: 8.5, stages: { calibrate: 8, "coarse-search": 0.5 } },
  });
});

Deno.test("sumParts() scales what some blocks cost up to all, each stage by the blocks it was measured on", () => {
  const { quantizing, forward } = sumParts([
    ...[0, 1, 2, 3].map((block) => step(`coarse-search[${block}]`, 1)),
    step("calibrate[0]", 2),
    step("spbo[0]", 3, { spbo: 2 }),
    step("pack", 0.5),
  ], 4);
  assert.deepEqual(quantizing, { seconds: 12.5, stages: { spbo: 8, pack: 0.5, [OTHER]: 4 } });
  assert.deepEqual(forward, { seconds: 12, stages: { calibrate: 8, "coarse-search": 4 } });
});

Deno.test("median() is the middle one, or between the middle two", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([9, 1, 5, 7]), 6);
  assert.throws(() => median([]), RangeError);
});

Deno.test("openGemmRate() gives a positive rate for every sample", async () => {
  const gemm = await openGemmRate();
  try {
    await gemm.sample(2);
    assert.equal(gemm.rates.length, 2);
    assert.ok(gemm.rates.every((rate) => rate > 0 && rate < 1e6));
  } finally {
    await gemm.close();
  }
});

const timed = { official: true, quantize_seconds: 40, forward_seconds: 8, blocks_run: 6 };
const arb = { ...timed, model: "a", method: "arb-llm", quantize_seconds: 60 };
const peers = {
  protocol: { gemm_gflops: 200, note: "x" },
  rows: [
    { ...timed, model: "a", method: "billm", official: false, quantize_seconds: 1, settings: {} },
    { ...timed, model: "a", method: "billm", settings: { blocksize: 128 } },
    { ...arb, settings: { variant: "arb-rc", column_groups: false }, quantize_seconds: 30 },
    { ...arb, settings: { variant: "arb-rc", column_groups: true } },
    { model: "b", method: "gptq", official: false },
  ],
};

Deno.test("officialSeconds() takes the official row of the model and its variant", () => {
  assert.deepEqual(officialSeconds(peers, "a", RIVALS.pbs2p), { quantize: 40, forward: 8, gemm: 200 });
  assert.equal(officialSeconds(peers, "a", RIVALS["arb-rc"]).quantize, 60);
  assert.throws(() => officialSeconds(peers, "a", RIVALS["arb-x"]), /no official row of a/);
  assert.throws(() => officialSeconds(peers, "b", RIVALS.billm), /BiLLM as the record has no official row of b/);
});

Deno.test("scaleTo() halves the seconds on a machine of twice the rate", () => {
  assert.deepEqual(scaleTo(400, officialSeconds(peers, "a", RIVALS.billm)), { quantize: 20, forward: 4, gemm: 400 });
});

Deno.test("writeRandomLlama() writes a checkpoint that opens, of finite weights with the wanted spread", async () => {
  const folder = await Deno.makeTempDir();
  const shape = { hidden: 64, ffn: 176, heads: 4, blocks: 2, vocab: 50, windows: 3, length: 16, seed: 7 };
  try {
    const bytes = await writeRandomLlama(folder, shape);
    assert.equal((await Deno.stat(join(folder, "model.safetensors"))).size, bytes);
    const checkpoint = await openCheckpoint({ path: folder });
    try {
      const spec = modelSpec(checkpoint.config);
      assert.equal(spec.blocks, 2);
      for (const { name, rows, cols } of blockLinears(spec, 1)) {
        const values = await checkpoint.read(`${name}.weight`);
        assert.equal(values.length, rows * cols);
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
        // Of 4096 values at least: the mean's standard error is 0.0003.
        assert.ok(Math.abs(mean) < 0.0015, `${mean}`);
        assert.ok(Math.abs(deviation / 0.02 - 1) < 0.05, `${deviation}`);
      }
      assert.ok((await checkpoint.read("model.norm.weight")).every((value) => value === 1));
    } finally {
      checkpoint.close();
    }
    const { calibration } = (await readSafetensors(join(folder, "windows.safetensors"))).tensors;
    assert.deepEqual(calibration.shape, [3, 16]);
    assert.ok([...calibration.data].every((id) => id >= 0 && id < 50));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("writeRandomLlama() writes the same bytes for the same seed, others for another", async () => {
  const folder = await Deno.makeTempDir();
  const shape = { hidden: 32, ffn: 64, heads: 2, blocks: 1, vocab: 20, windows: 1, length: 8 };
  const read = async (seed: number) => {
    await writeRandomLlama(folder, { ...shape, seed });
    return await Deno.readFile(join(folder, "model.safetensors"));
  };
  try {
    const first = await read(1);
    assert.deepEqual(await read(1), first);
    assert.notDeepEqual(await read(2), first);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
