/** Runs that follow one another on one pipeline: what they open once, and what a run that failed leaves to the next. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadRecipe } from "../pipeline/mod.ts";
import { type Machine, openSubject } from "../pipeline/subject.ts";
import { sharedMachine } from "../pipeline/shared_machine.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { stages } from "../stages/mod.ts";
import type { Planning, Stage } from "../stages/planning.ts";
import { openToolShelves } from "../stages/tools/mod.ts";
import { modelBytes, temporaryFolder } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** Counts the workers that are started while something is done. */
async function workersOf(work: () => Promise<void>): Promise<number> {
  const { Worker } = globalThis;
  let started = 0;
  globalThis.Worker = class extends Worker {
    constructor(...options: ConstructorParameters<typeof Worker>) {
      super(...options);
      started++;
    }
  };
  try {
    await work();
    return started;
  } finally {
    globalThis.Worker = Worker;
  }
}

/** A folder with a model, and runs of it that share a machine or do not; each has a cache of its own. */
async function prepare(folder: string) {
  await writeTinyModel(folder);
  let count = 0;
  return async (keep: number, machine?: Machine, made: readonly Stage[] = stages) => {
    const path = writeTinyRecipe(folder, tinyRecipe(folder, { "coarse-search": { keep } }));
    const { recipe } = await loadRecipe(path), cache = await openCache(join(folder, `cache-${count++}`));
    try {
      const options = { purpose: "run", device: "cpu", cache: cache.folder } as const;
      const subject = await openSubject(made, recipe, options, machine);
      try {
        const plan = await makePlan(subject, cache, { recipe });
        return await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs") });
      } finally {
        await subject.close();
      }
    } finally {
      cache.close();
    }
  };
}

/** Stages whose step does its work, and then something else. */
function after(id: string, work: (planning: Planning) => Promise<void>): readonly Stage[] {
  return stages.map((stage) => ({
    ...stage,
    plan: (planning, settings) =>
      stage.plan(planning, settings).map((step) =>
        step.id !== id ? step : {
          ...step,
          async run(context) {
            await step.run(context);
            await work(planning);
          },
        }
      ),
  }));
}

Deno.test("runs on one machine open workers and sessions once, and make the bytes of runs alone", async () => {
  using temporary = temporaryFolder();
  const run = await prepare(temporary.path), shelves = openToolShelves();
  const machine = { ...sharedMachine(), shelves };
  const bytes: Uint8Array[][] = [[], []];
  const into = (list: Uint8Array[], shared?: Machine) => async () => {
    for (const keep of [4, 5]) list.push(modelBytes({ path: (await run(keep, shared)).folder }));
  };
  try {
    const alone = await workersOf(into(bytes[0]));
    const together = await workersOf(into(bytes[1], machine));
    assert.deepEqual(bytes[1], bytes[0]);
    assert.equal(together, alone / 2);
  } finally {
    await shelves.close();
  }
});

Deno.test("a run that fails with a block open or its worker dead leaves the next one no part of it", async () => {
  using temporary = temporaryFolder();
  const run = await prepare(temporary.path), shelves = openToolShelves();
  const machine = { ...sharedMachine(), shelves };
  const broken = after("calibrate[0]", async (planning) => {
    const { tools } = planning.use(import.meta.url, ["forward", "weights"]);
    const forward = await tools.forward();
    await forward.openBlock(0, await tools.weights.block(0), { gather: "none", output: true });
    throw new Error("broken on purpose");
  });
  const dead = after("calibrate[0]", async (planning) => {
    const { tools } = planning.use(import.meta.url, ["forward"]);
    await (await tools.forward()).close();
    throw new Error("dead on purpose");
  });
  try {
    const wanted = modelBytes({ path: (await run(4, machine)).folder });
    for (const [made, why] of [[broken, /broken on purpose/], [dead, /dead on purpose/]] as const) {
      const failed = await run(4, machine, made);
      assert.match(failed.error?.message ?? "", why);
      const started = await workersOf(async () => {
        const next = await run(4, machine);
        assert.equal(next.error, undefined);
        assert.deepEqual(modelBytes({ path: next.folder }), wanted);
      });
      assert.equal(started, 1, "passes are opened anew, while the layers' workers go on");
    }
  } finally {
    await shelves.close();
  }
});
