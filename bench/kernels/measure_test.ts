import assert from "node:assert/strict";
import { openCpuDevice } from "../../kernels/cpu.ts";
import { roomOps } from "../../kernels/room_ops_test_support.ts";
import { blockCases } from "./block_cases.ts";
import { codingCases } from "./coding_cases.ts";
import { goalsOf, isBusy } from "./goals.ts";
import { gridCases } from "./grid_cases.ts";
import { layerCases } from "./layer_cases.ts";
import { type Measured, measureKernels } from "./measure.ts";
import { memoryCases } from "./memory_cases.ts";
import { packedCases } from "./packed_cases.ts";
import { productCases } from "./product_cases.ts";
import { rate, renderDevice, renderGoals, toJson } from "./render.ts";

Deno.test("every operation of the devices has a quick row, and its least work is finite", async () => {
  const all = [
    ...productCases(),
    ...memoryCases(),
    ...blockCases(),
    ...gridCases(),
    ...packedCases(),
    ...codingCases(),
  ];
  const quick = all.filter((each) => each.quick), ops = new Set(quick.map(({ op }) => op));
  const missing = (await roomOps()).filter(({ name }) => !ops.has(name));
  assert.deepEqual(missing, []);
  for (const { op, size, work } of quick) {
    const least = work();
    const counts = least.bound === "memory" ? [least.bytes("cpu"), least.bytes("webgpu")] : [
      least.bound === "compute" ? least.flops : 0,
    ];
    assert.ok(counts.every((count) => count > 0 && Number.isFinite(count)), `${op} ${size}: ${counts}`);
  }
});

/** Quick rows of some operations. */
function cases(...ops: readonly string[]) {
  return [...productCases(), ...memoryCases(), ...blockCases()].filter(({ op, quick }) => quick && ops.includes(op));
}

Deno.test("measureKernels() gives each operation on each device its time, counts and rate", async () => {
  const device = openCpuDevice(), rounds: number[] = [];
  try {
    const rows = await measureKernels(cases("rank", "decode", "copy", "cholesky"), [device], {
      samples: 3,
      seconds: 0.002,
      onRound: (round) => rounds.push(round),
    });
    assert.deepEqual(rounds, [1, 2, 3]);
    const json = JSON.parse(JSON.stringify(toJson({ size: "quick", devices: [device], rows, goals: goalsOf(rows) })));
    assert.deepEqual(Object.keys(json), ["size", "devices", "busy", "goals"]);
    const [{ kind, name, rows: rated }] = json.devices;
    assert.deepEqual([kind, name], ["cpu", device.name]);
    assert.deepEqual(rated.map((row: Measured) => `${row.op} ${row.size}`), [
      "cholesky 128",
      "copy 576 × 128",
      "copy 1536 × 576",
      "rank 576 × 128",
      "decode 576 × 128",
    ]);
    for (const row of rated) {
      assert.equal(row.device, "cpu");
      assert.ok(row.seconds > 0 && row.seconds < 1, `${row.op}: ${row.seconds} s`);
      assert.ok(row.range[0] <= row.seconds && row.seconds <= row.range[1]);
      assert.ok(row.rate > 0 && row.repetitions >= 1);
      assert.deepEqual([row.samples, row.dispatches, row.downloads], [3, 0, 0]);
      assert.equal(row.bound === "memory" ? row.bytes > 0 : row.flops > 0, true);
      // Of the best copy; without a gemm there is nothing to compare the factor with.
      if (row.bound === "memory") assert.ok(row.ofLimit > 0, `${row.op}: ${row.ofLimit}`);
      else assert.equal(row.ofLimit, null);
    }
    assert.equal(Math.max(...rated.slice(1, 3).map((row: { ofLimit: number }) => row.ofLimit)), 1);
    assert.equal(rated[3].bytes, 576 * 128 * 5);
  } finally {
    await device.destroy();
  }
});

Deno.test("a layer is measured with the one download that it waits for", async () => {
  const device = openCpuDevice();
  try {
    const [row] = await measureKernels(layerCases().slice(0, 1), [device], { samples: 1, seconds: 0.01 });
    assert.deepEqual([row.op, row.bound, row.downloads, row.repetitions], ["layer", "layer", 1, 1]);
    assert.equal(rate([row], "cpu")[0].rate, 576 * 576 / row.seconds / 1e6);
    assert.ok(row.spent > 576 ** 3 / 3);
  } finally {
    await device.destroy();
  }
});

Deno.test("isBusy() is true when the times of most rows differ widely", () => {
  const wide = row({ range: [1, 1.6] }), narrow = row({ range: [1, 1.1] });
  assert.deepEqual([isBusy([wide, wide, narrow]), isBusy([wide, narrow, narrow]), isBusy([])], [true, false, false]);
});

/** A row of WebGPU that took a millisecond. */
function row(change: Partial<Measured>): Measured {
  const nothing = { flops: 0, bytes: 0, spent: 0, weights: 0, dispatches: 0, downloads: 0 };
  const timed = { seconds: 1e-3, range: [1e-3, 1e-3] as const, repetitions: 1, samples: 1 };
  return { op: "gemm", size: "", device: "webgpu", bound: "compute", ...timed, ...nothing, ...change };
}

Deno.test("goalsOf() holds what was measured on WebGPU against each goal", () => {
  const third = 600 ** 3 / 3;
  const rows = [
    row({ size: "1024³", flops: 1.5e7, matmul: 0.9e-4 }),
    row({ op: "syrk", size: "100 × 100 × 10", flops: 1e5, spent: 1.1e5 }),
    row({ op: "factorHessian", size: "600", flops: third, spent: 2.1 * third, seconds: third / 8e9 }),
    row({ op: "layer", size: "1 × 1", bound: "layer", downloads: 2 }),
    row({ op: "gemm", size: "1024³", device: "cpu", flops: 1e9, matmul: 1e-3 }),
  ];
  const goals = goalsOf(rows);
  assert.deepEqual(goals.map(({ name, met }) => [name, met]), [
    ["gemm at 1024³", true],
    ["factor of 600, rate over that of gemm at 1024³", false],
    ["factor of 600, operations over those of Cholesky, inverse, Cholesky", false],
    ["syrk of 100, tiles over all tiles", true],
    ["downloads of a layer", false],
  ]);
  assert.match(goals[0].found, /^15\.0 GFLOP\/s, 9\.0 % of/);
  assert.equal(goals[1].found, "0.53");
  assert.match(renderGoals(goals)[4], /: 2; 1: not met$/);
  assert.deepEqual(goalsOf([]), []);
});

Deno.test("renderDevice() stays within its width, each row with unit and limit", () => {
  const rows = [
    row({ size: "1024³ aᵀ", flops: 2e7, spent: 2.5e7, dispatches: 3, matmul: 1e-4 }),
    row({ op: "searchSegments", size: "1536 × 128", bound: "memory", bytes: 1e6, seconds: 0.15, dispatches: 1000 }),
    row({ op: "copy", size: "1536 × 128", bound: "memory", bytes: 1e6, seconds: 5e-5 }),
  ];
  const lines = renderDevice({ kind: "webgpu", name: "Some GPU", choices: [] }, rate(rows, "webgpu"), 100);
  assert.ok(lines.every((line) => [...line].length <= 100));
  const words = lines.map((line) => line.replaceAll(/ {2,}/g, " | "));
  assert.equal(words[4], "gemm | 1024³ aᵀ | 1.00 ms | 20.0 | GFLOP/s | 100 % | 10 % | 1.25 | 3");
  assert.equal(words[5], "searchSegments | 1536 × 128 | 150 ms | 0.0067 | GB/s | <0.1 % | 1000");
  assert.equal(words[6], "copy | 1536 × 128 | 50.0 µs | 20.0 | GB/s | 100 %");
});
