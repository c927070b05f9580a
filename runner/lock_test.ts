import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ArithmeticOptions, openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import { readRun } from "./history.ts";
import { readLock, type RunLock } from "./lock.ts";
import { makePlan } from "./plan.ts";
import { executeRun, type RunOptions, type RunResult } from "./run.ts";
import { differences, hashTensor, VALUE } from "./step_hashes.ts";

/** Runs the arithmetic in a folder. @returns the result, and the lock that it left */
async function run(
  folder: string,
  { spbo = {}, pipeline = {}, until, ...options }: Partial<RunOptions> & {
    readonly spbo?: Record<string, unknown>;
    readonly pipeline?: ArithmeticOptions;
    readonly until?: string;
  } = {},
): Promise<RunResult & { readonly lock: RunLock }> {
  const cache = await openCache(join(folder, "cache"));
  try {
    const recipe = recipeWith({ spbo }), subject = openArithmetic(recipe, { blocks: 2, ...pipeline });
    const plan = await makePlan(subject, cache, { recipe, ...(until === undefined ? {} : { until }) });
    const result = await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs"), ...options });
    assert.equal(existsSync(join(result.folder, "recipe.lock.yaml.part")), false);
    return { ...result, lock: readLock(join(result.folder, "recipe.lock.yaml")) };
  } finally {
    cache.close();
  }
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-lock-" });
  try {
    await work(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("a lock ends with hashes of all that steps keep, the same of a cold and of a cached run", () =>
  inFolder(async (folder) => {
    const cold = await run(folder), cached = await run(folder);
    assert.deepEqual(Object.keys(cold.lock.outcome?.steps ?? {}), [
      ...["calibrate[0]", "spbo[0]", "calibrate[1]", "spbo[1]", "evaluate"],
    ]);
    assert.deepEqual(cached.lock.outcome, cold.lock.outcome);
    const { key, outputs } = cold.lock.outcome?.steps["spbo[1]"] ?? assert.fail();
    assert.match(key, /^[0-9a-f]{64}$/);
    assert.match(outputs.codes.tensors.codes, /^[0-9a-f]{64}$/);
    assert.equal((outputs.codes.value as { readonly block: number }).block, 1);
    assert.deepEqual(Object.keys(cold.lock.outcome?.steps.evaluate.outputs.model.tensors ?? {}), ["model/text.txt"]);
    assert.deepEqual(readRun(join(folder, "runs"), "last").lock, cold.lock.lock, "the outcome is none of its inputs");
  }));

Deno.test("differences() finds what another setting changes, in the order in which it was made", () =>
  inFolder(async (folder) => {
    const one = (await run(folder)).lock.outcome?.steps ?? {};
    const two = (await run(folder, { spbo: { iterations: 16 } })).lock.outcome?.steps ?? {};
    const found = Object.keys(one).map((step) => [step, differences(one[step], two[step]).map(([, name]) => name)]);
    assert.deepEqual(found.slice(0, 2), [["calibrate[0]", []], ["spbo[0]", ["codes"]]]);
    assert.deepEqual(found.at(-1), ["evaluate", [VALUE, "model/text.txt"]]);
  }));

Deno.test("a run that fails, is interrupted or stops early leaves a lock without outcome", () =>
  inFolder(async (folder) => {
    const fail = () => Promise.reject(new Error("no"));
    const failing: ArithmeticOptions = { tamper: (step) => step.id === "evaluate" ? { ...step, run: fail } : step };
    const failed = await run(folder, { pipeline: failing });
    assert.deepEqual([failed.outcome, failed.lock.outcome], ["failed", undefined]);
    const early = await run(folder, { until: "calibrate" });
    assert.deepEqual([early.outcome, early.lock.outcome], ["finished", undefined]);
    const stop = new AbortController();
    const onEvent: RunOptions["onEvent"] = ({ type }) => type === "step-started" && stop.abort();
    const stopped = await run(folder, { spbo: { iterations: 3 }, signal: stop.signal, onEvent });
    assert.deepEqual([stopped.outcome, stopped.lock.outcome], ["interrupted", undefined]);
  }));

Deno.test("hashTensor() tells types and shapes of the same bytes apart", async () => {
  const data = Float32Array.of(1, 2), bytes = new Uint8Array(data.buffer);
  const hashes = await Promise.all([
    hashTensor({ dtype: "F32", shape: [2], data }),
    hashTensor({ dtype: "F32", shape: [1, 2], data }),
    hashTensor({ dtype: "U8", shape: [8], data: bytes }),
    hashTensor({ dtype: "F32", shape: [2], data: data.slice() }),
  ]);
  assert.deepEqual([new Set(hashes).size, hashes[0] === hashes[3]], [3, true]);
});
